//! `docker stack …`.

use crate::{
    context::{Context, Invocation},
    error::{CliError, CliResult},
};

pub(crate) async fn dispatch(_context: &Context, call: &Invocation) -> CliResult {
    Err(CliError::new(format!("docker: '{}'", call.path)))
}
