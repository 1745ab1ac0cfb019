//! Resource limits of a process (getrlimit(2)), `--ulimit`.

use docklab_host::{HostError, HostResult};
use nix::{
    errno::Errno,
    sys::resource::{Resource, getrlimit, setrlimit},
};

/// Sets the limits `(name, soft, hard)`; -1 is unlimited. A process without CAP_SYS_RESOURCE cannot raise a hard limit;
/// it then gets as much as it may have, which serves a student better than a container that does not start.
pub(crate) fn apply(limits: &[(String, i64, i64)]) -> HostResult<()> {
    for (name, soft, hard) in limits {
        let resource = resource(name).ok_or_else(|| HostError::Other(format!("invalid ulimit type: {name}")))?;
        let number = |value: i64| u64::try_from(value).unwrap_or(nix::libc::RLIM_INFINITY);
        let (soft, hard) = (number(*soft), number(*hard));
        let result = match setrlimit(resource, soft, hard) {
            Err(Errno::EPERM) => {
                getrlimit(resource).and_then(|(_, allowed)| setrlimit(resource, soft.min(allowed), hard.min(allowed)))
            }
            other => other,
        };
        result.map_err(|error| HostError::other(format!("set ulimit {name}"), error.desc()))?;
    }
    Ok(())
}

fn resource(name: &str) -> Option<Resource> {
    Some(match name {
        "core" => Resource::RLIMIT_CORE,
        "cpu" => Resource::RLIMIT_CPU,
        "data" => Resource::RLIMIT_DATA,
        "fsize" => Resource::RLIMIT_FSIZE,
        "locks" => Resource::RLIMIT_LOCKS,
        "memlock" => Resource::RLIMIT_MEMLOCK,
        "msgqueue" => Resource::RLIMIT_MSGQUEUE,
        "nice" => Resource::RLIMIT_NICE,
        "nofile" => Resource::RLIMIT_NOFILE,
        "nproc" => Resource::RLIMIT_NPROC,
        "rss" => Resource::RLIMIT_RSS,
        "rtprio" => Resource::RLIMIT_RTPRIO,
        "rttime" => Resource::RLIMIT_RTTIME,
        "sigpending" => Resource::RLIMIT_SIGPENDING,
        "stack" => Resource::RLIMIT_STACK,
        _ => return None,
    })
}
