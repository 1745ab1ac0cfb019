//! `--publish` and `--expose`: which ports, and where they are bound.

use std::net::IpAddr;

use serde_json::{Map, Value, json};

use crate::{
    csv,
    error::{CliError, CliResult},
    format::quote,
};

/// Exposed ports and port bindings, as the API has them.
pub(crate) type Ports = (Map<String, Value>, Map<String, Value>);

/// One published port or range: `[IP:][HOST:]CONTAINER[/PROTOCOL]`.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Published {
    pub ip: String,
    /// First and last port on the host; none lets the engine choose.
    pub host: Option<(u16, u16)>,
    pub container: (u16, u16),
    pub protocol: String,
}

/// Reads both flags.
pub(crate) fn publish(published: &[String], exposed: &[String]) -> CliResult<Ports> {
    let mut ports = Map::new();
    let mut bindings = Map::new();
    for text in published {
        let text = if text.contains('=') { long_form(text).map_err(CliError::new)? } else { text.clone() };
        let Published { ip, host, container: (first, last), protocol } = parse(&text).map_err(CliError::new)?;
        for offset in 0..=(last - first) {
            let key = format!("{}/{protocol}", first + offset);
            let host_port = match host {
                None => String::new(),
                Some((low, high)) if first == last && low != high => format!("{low}-{high}"),
                Some((low, _)) => (low + offset).to_string(),
            };
            ports.insert(key.clone(), json!({}));
            let binding = json!({"HostIp": ip, "HostPort": host_port});
            if let Some(list) = bindings.entry(key).or_insert_with(|| json!([])).as_array_mut() {
                list.push(binding);
            }
        }
    }
    for text in exposed {
        if text.contains(':') {
            return Err(CliError::new(format!("invalid port format for --expose: {text}")));
        }
        let (range, protocol) = text.split_once('/').unwrap_or((text, "tcp"));
        let protocol = if protocol.is_empty() { "tcp" } else { protocol };
        let (first, last) = range.split_once('-').unwrap_or((range, range));
        let number = |port: &str| {
            port.parse::<u16>().map_err(|error| {
                let reason = match error.kind() {
                    std::num::IntErrorKind::PosOverflow => "value out of range",
                    _ => "invalid syntax",
                };
                CliError::new(format!(
                    "invalid range format for --expose: {range}, error: strconv.ParseUint: parsing {}: {reason}",
                    quote(port)
                ))
            })
        };
        for port in number(first)?..=number(last)? {
            ports.insert(format!("{port}/{protocol}"), json!({}));
        }
    }
    Ok((ports, bindings))
}

/// `target=80,published=8080,protocol=tcp` in the short form; other fields mean nothing to a container.
fn long_form(text: &str) -> Result<String, String> {
    let (mut target, mut published, mut protocol) = (String::new(), String::new(), "tcp".to_owned());
    for field in csv::fields(text)? {
        let Some((key, value)) = field.split_once('=').filter(|(_, value)| !value.is_empty()) else {
            return Err(format!("invalid publish opts format (should be name=value but got '{field}')"));
        };
        match key {
            "target" => value.clone_into(&mut target),
            "published" => value.clone_into(&mut published),
            "protocol" => value.clone_into(&mut protocol),
            _ => {}
        }
    }
    Ok(format!("{published}:{target}/{protocol}"))
}

/// Reads the short form; the error is the client's.
pub(crate) fn parse(text: &str) -> Result<Published, String> {
    let (address, protocol) = match text.rsplit_once('/') {
        Some((address, "")) => (address, "tcp"),
        Some((address, protocol)) => (address, protocol),
        None => (text, "tcp"),
    };
    let mut parts = address.rsplitn(3, ':');
    let container = parts.next().unwrap_or_default();
    let host = parts.next().unwrap_or_default();
    let ip = parts.next().unwrap_or_default();
    let ip = ip.strip_prefix('[').and_then(|ip| ip.strip_suffix(']')).unwrap_or(ip);
    if !ip.is_empty() && ip.parse::<IpAddr>().is_err() {
        return Err(format!("invalid IP address: {ip}"));
    }
    if container.is_empty() {
        return Err(format!("no port specified: {text}<empty>"));
    }
    let (first, last) = range(container).ok_or_else(|| format!("invalid containerPort: {container}"))?;
    let host_range = match host {
        "" => None,
        host => Some(range(host).ok_or_else(|| format!("invalid hostPort: {host}"))?),
    };
    if let Some((low, high)) = host_range
        && high - low != last - first
        && first != last
    {
        return Err(format!("invalid ranges specified for container and host Ports: {container} and {host}"));
    }
    let protocol = protocol.to_lowercase();
    if !matches!(protocol.as_str(), "tcp" | "udp" | "sctp") {
        return Err(format!("invalid proto: {protocol}"));
    }
    Ok(Published { ip: ip.to_owned(), host: host_range, container: (first, last), protocol })
}

fn range(text: &str) -> Option<(u16, u16)> {
    let (first, last) = text.split_once('-').unwrap_or((text, text));
    let (first, last) = (first.parse().ok()?, last.parse().ok()?);
    (first <= last).then_some((first, last))
}
