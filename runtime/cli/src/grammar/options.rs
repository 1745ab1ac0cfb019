//! Flags whose values Docker's client judges as it reads them, by flag and with its words.

use std::net::IpAddr;

/// Checks a value that a flag of this name was given; the flag's kind has been checked already.
pub(crate) fn check(command: &str, flag: &str, kind: &str, value: &str) -> Result<(), String> {
    let creates = matches!(command, "container run" | "container create");
    let is_service = matches!(command, "service create" | "service update");
    match flag {
        "attach" if kind == "list" => match value.to_lowercase().as_str() {
            "stdin" | "stdout" | "stderr" => Ok(()),
            _ => Err("valid streams are STDIN, STDOUT and STDERR".to_owned()),
        },
        "env" | "env-add" => environment(value),
        "label" | "container-label" | "label-add" | "container-label-add" if kind == "list" => label(value),
        "mount" | "mount-add" => crate::commands::mount::parse(value).map(|_| ()),
        "network" if creates => crate::commands::container::networks::parse(value).map(|_| ()),
        "network" | "network-add" if is_service => crate::commands::container::networks::parse(value).map(|_| ()),
        "publish" | "publish-add" if is_service => crate::commands::service_ports::parse(value).map(|_| ()),
        "secret" | "secret-add" if is_service => crate::commands::service_files::parse("secret", value).map(|_| ()),
        "config" | "config-add" if is_service => crate::commands::service_files::parse("config", value).map(|_| ()),
        "ulimit" | "ulimit-add" => crate::commands::container::limits::ulimit(value).map(|_| ()),
        "blkio-weight-device" => crate::commands::container::limits::weight(value).map(|_| ()),
        "device-read-bps" | "device-write-bps" => crate::commands::container::limits::rate(value, true).map(|_| ()),
        "device-read-iops" | "device-write-iops" => crate::commands::container::limits::rate(value, false).map(|_| ()),
        "device-cgroup-rule" => device_rule(value),
        "gpus" => crate::commands::container::limits::gpus(value).map(|_| ()),
        "add-host" | "host-add" => host(value),
        "host" if is_service => host(value),
        "dns" | "dns-add" => value
            .trim()
            .parse::<IpAddr>()
            .map(|_| ())
            .map_err(|_| format!("IP address is not correctly formatted: {}", value.trim())),
        "dns-search" | "dns-search-add" => domain(value),
        "link" if creates => link(value),
        "sysctl" | "sysctl-add" => sysctl(value),
        "placement-pref" | "placement-pref-add" | "placement-pref-rm" => match value.split_once('=') {
            None => Err("placement preference must be of the format \"<strategy>=<arg>\"".to_owned()),
            Some(("spread", _)) => Ok(()),
            Some((strategy, _)) => {
                Err(format!("unsupported placement preference {strategy} (only spread is supported)"))
            }
        },
        "default-addr-pool" => address_pool(value),
        "external-ca" => match value.split(',').find(|field| !field.contains('=')) {
            Some(field) => Err(format!("invalid field '{field}' must be a key=value pair")),
            None => Ok(()),
        },
        "tag" if command == "image build" => {
            docklab_api::Reference::parse(value).map(|_| ()).map_err(|error| error.to_string())
        }
        _ => Ok(()),
    }
}

fn environment(value: &str) -> Result<(), String> {
    match value.split('=').next() {
        Some("") | None => Err(format!("invalid environment variable: {value}")),
        Some(_) => Ok(()),
    }
}

fn label(value: &str) -> Result<(), String> {
    let name = value.split('=').next().unwrap_or_default();
    if name.is_empty() {
        return Err(format!("invalid label '{value}': empty name"));
    }
    Ok(())
}

/// `name:address` or `name=address`; the address may be `host-gateway` and may stand in brackets.
pub(crate) fn split_host(value: &str) -> Option<(&str, &str)> {
    let (name, address) = value.split_once('=').or_else(|| value.split_once(':'))?;
    let bare = address.strip_prefix('[').and_then(|address| address.strip_suffix(']')).unwrap_or(address);
    (!name.is_empty() && !address.is_empty()).then_some((name, bare))
}

fn host(value: &str) -> Result<(), String> {
    let Some((_, address)) = split_host(value) else {
        return Err(format!("bad format for add-host: {}", crate::format::quote(value)));
    };
    if address == "host-gateway" || address.parse::<IpAddr>().is_ok() {
        return Ok(());
    }
    Err(format!("invalid IP address in add-host: {}", crate::format::quote(address)))
}

fn domain(value: &str) -> Result<(), String> {
    let name = value.trim();
    if name == "." {
        return Ok(());
    }
    let good = |label: &str| {
        !label.is_empty()
            && !label.starts_with('-')
            && !label.ends_with('-')
            && label.chars().all(|letter| letter.is_ascii_alphanumeric() || matches!(letter, '-' | '_'))
    };
    let fits = name.len() < 255 && name.trim_end_matches('.').split('.').all(good) && !name.is_empty();
    if fits { Ok(()) } else { Err(format!("{value} is not a valid domain")) }
}

fn link(value: &str) -> Result<(), String> {
    match value.split(':').count() {
        _ if value.is_empty() => Err("empty string specified for links".to_owned()),
        1 | 2 => Ok(()),
        _ => Err(format!("bad format for links: {value}")),
    }
}

/// Only settings of namespaces: a container must not change the host's.
fn sysctl(value: &str) -> Result<(), String> {
    const NAMES: [&str; 8] = [
        "kernel.msgmax",
        "kernel.msgmnb",
        "kernel.msgmni",
        "kernel.sem",
        "kernel.shmall",
        "kernel.shmmax",
        "kernel.shmmni",
        "kernel.shm_rmid_forced",
    ];
    let allowed = value
        .split_once('=')
        .is_some_and(|(name, _)| NAMES.contains(&name) || name.starts_with("net.") || name.starts_with("fs.mqueue."));
    if allowed { Ok(()) } else { Err(format!("sysctl '{value}' is not allowed")) }
}

fn address_pool(value: &str) -> Result<(), String> {
    let good = value.split_once('/').is_some_and(|(address, prefix)| {
        address.parse::<IpAddr>().is_ok_and(|address| {
            prefix.parse::<u8>().is_ok_and(|prefix| prefix <= if address.is_ipv4() { 32 } else { 128 })
        })
    });
    if good { Ok(()) } else { Err(format!("invalid string being converted to CIDR: {value}")) }
}

/// `c 1:3 mr`.
fn device_rule(value: &str) -> Result<(), String> {
    let number = |text: &str| text == "*" || (!text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit()));
    let parts: Vec<&str> = value.split(' ').collect();
    let good = match parts.as_slice() {
        [kind, device, access] => {
            matches!(*kind, "a" | "b" | "c")
                && device.split_once(':').is_some_and(|(major, minor)| number(major) && number(minor))
                && (1..=3).contains(&access.len())
                && access.chars().all(|letter| matches!(letter, 'r' | 'w' | 'm'))
        }
        _ => false,
    };
    if good { Ok(()) } else { Err(format!("invalid device cgroup format '{value}'")) }
}
