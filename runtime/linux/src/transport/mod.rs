//! HTTP to the outside. (Stub, to be replaced.)

use docklab_host::HostResult;

use crate::LinuxOptions;

pub(crate) struct HttpTransport {}

impl HttpTransport {
    pub(crate) fn open(_options: &LinuxOptions) -> HostResult<Self> {
        Ok(Self {})
    }
}
