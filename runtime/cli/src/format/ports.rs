use serde_json::Value;

use crate::commands::json::{number, text};

/// The PORTS column: groups of consecutive unpublished ports, then host mappings with equal ranges folded.
pub(crate) fn ports(list: &[Value]) -> String {
    let mut entries: Vec<(i64, String, i64, String)> = list
        .iter()
        .map(|port| (number(port, "/PrivatePort"), text(port, "/IP"), number(port, "/PublicPort"), text(port, "/Type")))
        .collect();
    entries.sort();
    let mut groups: Vec<(String, String, i64, i64)> = Vec::new();
    let mut mappings = Vec::new();
    for (private, ip, public, protocol) in entries {
        if public == 0 || public == private {
            let address = if public == 0 { String::new() } else { ip };
            let last = groups.iter_mut().find(|(known, kind, _, last)| {
                *known == address && *kind == protocol && (*last + 1 == private || *last == private)
            });
            match last {
                Some(group) => group.3 = private,
                None => groups.push((address, protocol, private, private)),
            }
        } else {
            mappings.push(format!("{}:{public}->{private}/{protocol}", bracketed(&ip)));
        }
    }
    groups.sort();
    let mut shown: Vec<String> = groups
        .into_iter()
        .map(|(ip, protocol, first, last)| {
            let range = if first == last { first.to_string() } else { format!("{first}-{last}") };
            if ip.is_empty() {
                format!("{range}/{protocol}")
            } else {
                format!("{}:{range}->{range}/{protocol}", bracketed(&ip))
            }
        })
        .collect();
    shown.append(&mut mappings);
    shown.join(", ")
}

fn bracketed(ip: &str) -> String {
    if ip.contains(':') { format!("[{ip}]") } else { ip.to_owned() }
}
