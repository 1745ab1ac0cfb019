//! The control API: what `docker service`, `node`, `secret`, `config` and `network` ask of the cluster.

mod call;
mod cluster;
mod defaults;
mod networks;
mod nodes;
mod secrets;
mod services;
mod tasks;

use std::collections::BTreeMap;

use docklab_api::models::ObjectVersion;

pub use call::{Call, Joined};
pub use cluster::{TokenRotation, token_digest};
pub use defaults::insert_defaults;
pub use networks::NewNetwork;
pub(crate) use nodes::node_not_found;

use crate::error::{ControlError, ControlResult};

pub(crate) fn object_version(version: u64) -> Option<ObjectVersion> {
    Some(ObjectVersion { index: Some(version) })
}

/// An update must name the version it was made from.
pub(crate) fn check_version(current: u64, named: u64) -> ControlResult<()> {
    if current == named { Ok(()) } else { Err(ControlError::Unknown("update out of sequence".into())) }
}

/// Finds by full ID, then full name, then unique ID prefix.
pub(crate) fn find<'a, T>(
    objects: &'a BTreeMap<String, T>,
    kind: &'static str,
    wanted: &str,
    name: impl Fn(&T) -> &str,
) -> ControlResult<&'a T> {
    if let Some(object) = objects.get(wanted) {
        return Ok(object);
    }
    let named: Vec<&T> = objects.values().filter(|object| name(object) == wanted).collect();
    let matches = if named.is_empty() && !wanted.is_empty() {
        objects.iter().filter(|(id, _)| id.starts_with(wanted)).map(|(_, object)| object).collect()
    } else {
        named
    };
    match matches.as_slice() {
        [] => Err(ControlError::not_found(kind, wanted)),
        [one] => Ok(one),
        several => {
            Err(ControlError::Invalid(format!("{kind} {wanted} is ambiguous ({} matches found)", several.len())))
        }
    }
}

/// Names of services, secrets and networks: letters, digits, and `-`, `_`, `.` inside.
pub(crate) fn valid_name(name: &str) -> bool {
    let inner = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.');
    let edge = |byte: Option<u8>| byte.is_some_and(|byte| byte.is_ascii_alphanumeric());
    edge(name.bytes().next()) && edge(name.bytes().last()) && name.bytes().all(inner)
}
