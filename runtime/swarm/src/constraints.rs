use std::net::IpAddr;

use thiserror::Error;

use crate::objects::Node;

/// Why a placement constraint cannot be read.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum ConstraintError {
    #[error("key '{0}' is invalid")]
    Key(String),
    #[error("value '{0}' is invalid")]
    Value(String),
    #[error("constraint expected one operator from ==, !=")]
    Operator,
}

/// `node.role==worker`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Constraint {
    key: String,
    equal: bool,
    value: String,
}

impl Constraint {
    pub fn parse(text: &str) -> Result<Self, ConstraintError> {
        // The first operator of either kind splits.
        let split = [("==", true), ("!=", false)]
            .into_iter()
            .filter_map(|(operator, equal)| text.find(operator).map(|at| (at, equal)))
            .min_by_key(|(at, _)| *at);
        let (at, equal) = split.ok_or(ConstraintError::Operator)?;
        let key = text[..at].trim();
        let value = text[at + 2..].trim();
        let word = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
        let key_fits =
            key.bytes().next().is_some_and(word) && key.bytes().all(|byte| word(byte) || matches!(byte, b'-' | b'.'));
        if !key_fits {
            return Err(ConstraintError::Key(key.to_owned()));
        }
        let allowed = |byte: u8| word(byte) || b":-*.()?+[]\\^$|/ @=".contains(&byte);
        if value.is_empty() || !value.bytes().all(allowed) {
            return Err(ConstraintError::Value(value.to_owned()));
        }
        Ok(Self { key: key.to_owned(), equal, value: value.to_owned() })
    }

    /// Whether a node satisfies it. An unknown key is never satisfied; a missing label is empty.
    pub fn matches(&self, node: &Node) -> bool {
        let platform = node.description.platform.as_ref();
        let label = |labels: Option<&std::collections::HashMap<String, String>>, name: &str| {
            self.equals(labels.and_then(|labels| labels.get(name)).map_or("", String::as_str))
        };
        let lower = self.key.to_ascii_lowercase();
        match lower.as_str() {
            "node.id" => self.equals(&node.id),
            "node.hostname" => self.equals(node.hostname()),
            "node.ip" => self.address(&node.address),
            "node.role" => self.equals(if node.is_manager() { "manager" } else { "worker" }),
            "node.platform.os" => self.equals(platform.and_then(|platform| platform.os.as_deref()).unwrap_or("")),
            "node.platform.arch" => {
                self.equals(platform.and_then(|platform| platform.architecture.as_deref()).unwrap_or(""))
            }
            _ if lower.starts_with("node.labels.") => {
                label(node.spec.labels.as_ref(), self.key.get("node.labels.".len()..).unwrap_or(""))
            }
            _ if lower.starts_with("engine.labels.") => label(
                node.description.engine.as_ref().and_then(|engine| engine.labels.as_ref()),
                self.key.get("engine.labels.".len()..).unwrap_or(""),
            ),
            _ => false,
        }
    }

    fn equals(&self, actual: &str) -> bool {
        self.value.eq_ignore_ascii_case(actual) == self.equal
    }

    fn address(&self, actual: &str) -> bool {
        let Ok(actual) = actual.parse::<IpAddr>() else { return false };
        let inside = match self.value.split_once('/') {
            None => match self.value.parse::<IpAddr>() {
                Ok(wanted) => wanted == actual,
                Err(_) => return false,
            },
            Some((base, length)) => match (base.parse::<IpAddr>(), length.parse::<u32>()) {
                (Ok(base), Ok(length)) => in_subnet(actual, base, length),
                _ => return false,
            },
        };
        inside == self.equal
    }
}

fn in_subnet(address: IpAddr, base: IpAddr, length: u32) -> bool {
    match (address, base) {
        (IpAddr::V4(address), IpAddr::V4(base)) if length <= 32 => {
            let mask = u32::MAX.checked_shl(32 - length).unwrap_or(0);
            address.to_bits() & mask == base.to_bits() & mask
        }
        (IpAddr::V6(address), IpAddr::V6(base)) if length <= 128 => {
            let mask = u128::MAX.checked_shl(128 - length).unwrap_or(0);
            address.to_bits() & mask == base.to_bits() & mask
        }
        _ => false,
    }
}

/// The constraints of a task's placement; what cannot be read matches nothing, so that it never places a task wrongly.
pub(crate) fn all_match(constraints: Option<&Vec<String>>, node: &Node) -> bool {
    constraints
        .into_iter()
        .flatten()
        .all(|text| Constraint::parse(text).is_ok_and(|constraint| constraint.matches(node)))
}
