//! `--network`: a name, or `name=NETWORK,alias=A,ip=…`, and the flags that fill in the first one.

use serde_json::{Map, Value, json};

use crate::{
    context::Invocation,
    csv,
    error::{CliError, CliResult},
};

/// One `--network` as it was written.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Attachment {
    pub target: String,
    pub aliases: Vec<String>,
    pub driver_options: Map<String, Value>,
    pub ipv4: String,
    pub ipv6: String,
    pub mac_address: String,
    pub link_local: Vec<String>,
    pub links: Vec<String>,
    pub priority: i64,
}

/// Reads one value; the error is the client's, for a flag's value.
pub(crate) fn parse(text: &str) -> Result<Attachment, String> {
    let mut attachment = Attachment::default();
    if !is_long(text) {
        if text.contains(',') {
            return Err(format!("invalid field {}", text.split(',').next().unwrap_or_default()));
        }
        text.clone_into(&mut attachment.target);
        return Ok(attachment);
    }
    for field in csv::fields(text)? {
        let Some((key, value)) = field.split_once('=') else { return Err(format!("invalid field {field}")) };
        match key.trim().to_lowercase().as_str() {
            "name" => value.clone_into(&mut attachment.target),
            "alias" => attachment.aliases.push(value.to_owned()),
            "ip" => value.clone_into(&mut attachment.ipv4),
            "ip6" => value.clone_into(&mut attachment.ipv6),
            "mac-address" => value.clone_into(&mut attachment.mac_address),
            "link-local-ip" => attachment.link_local.push(value.to_owned()),
            "driver-opt" => {
                let (name, option) = value.split_once('=').ok_or("invalid key value pair format in driver options")?;
                attachment.driver_options.insert(name.trim().to_lowercase(), json!(option.trim().to_lowercase()));
            }
            "gw-priority" => {
                attachment.priority =
                    value.parse().map_err(|_| format!("invalid gw-priority ({value}): invalid syntax"))?;
            }
            other => return Err(format!("invalid field key {other}")),
        }
    }
    if attachment.target.is_empty() {
        return Err("network name/id is not specified".to_owned());
    }
    Ok(attachment)
}

/// The long form has a word on both sides of an equals sign.
fn is_long(text: &str) -> bool {
    let word = |letter: char| letter.is_ascii_alphanumeric() || letter == '_';
    text.char_indices()
        .any(|(at, letter)| letter == '=' && text[..at].ends_with(word) && text[at + 1..].starts_with(word))
}

/// True for networks that users make: the others have no names of their own inside.
fn is_user_defined(name: &str) -> bool {
    !matches!(name, "default" | "bridge" | "host" | "none") && !name.starts_with("container:")
}

/// The network mode, and the endpoints of every network that was named.
pub(crate) fn endpoints(call: &Invocation) -> CliResult<(String, Map<String, Value>)> {
    let flags = &call.flags;
    let mut attachments: Vec<Attachment> = flags
        .list("network")
        .iter()
        .chain(&flags.list("net"))
        .map(|text| parse(text).map_err(CliError::new))
        .collect::<CliResult<_>>()?;
    if attachments.is_empty() {
        attachments.push(Attachment { target: "default".to_owned(), ..Attachment::default() });
    }
    let mut endpoints = Map::new();
    let mode = attachments[0].target.clone();
    for (index, mut attachment) in attachments.into_iter().enumerate() {
        if attachment.target.is_empty() {
            return Err(CliError::new("no name set for network"));
        }
        if index == 0 {
            from_flags(call, &mut attachment)?;
        }
        if !attachment.aliases.is_empty() && !is_user_defined(&attachment.target) {
            return Err(CliError::new("network-scoped aliases are only supported for user-defined networks"));
        }
        if endpoints.contains_key(&attachment.target) {
            return Err(CliError::new(format!("network {:?} is specified multiple times", attachment.target)));
        }
        let is_plain = attachment == Attachment { target: attachment.target.clone(), ..Attachment::default() };
        if !is_plain || flags.given("network") || flags.given("net") {
            endpoints.insert(attachment.target.clone(), endpoint(&attachment));
        } else {
            endpoints.insert(attachment.target.clone(), json!({}));
        }
    }
    Ok((mode, endpoints))
}

/// `--network-alias`, `--ip` and their kin say more of the first network.
fn from_flags(call: &Invocation, attachment: &mut Attachment) -> CliResult<()> {
    let flags = &call.flags;
    let conflict =
        |what: &str| CliError::new(format!("conflicting options: cannot specify both --{what} and per-network {what}"));
    let mut aliases = flags.list("network-alias");
    aliases.extend(flags.list("net-alias"));
    if !aliases.is_empty() {
        if !attachment.aliases.is_empty() {
            return Err(CliError::new(
                "conflicting options: cannot specify both --network-alias and per-network alias",
            ));
        }
        attachment.aliases = aliases;
    }
    if flags.given("link") && is_user_defined(&attachment.target) {
        attachment.links = flags.list("link");
    }
    for (flag, place) in [("ip", &mut attachment.ipv4), ("ip6", &mut attachment.ipv6)] {
        if let Some(given) = flags.get(flag) {
            if !place.is_empty() {
                return Err(conflict(if flag == "ip" { "ip" } else { "ip6" }));
            }
            given.clone_into(place);
        }
    }
    if let Some(given) = flags.get("mac-address") {
        if !attachment.mac_address.is_empty() {
            return Err(conflict("mac-address"));
        }
        if !is_mac_address(given) {
            return Err(CliError::new(format!("{given} is not a valid mac address")));
        }
        given.clone_into(&mut attachment.mac_address);
    }
    if flags.given("link-local-ip") {
        attachment.link_local = flags.list("link-local-ip");
    }
    Ok(())
}

fn is_mac_address(text: &str) -> bool {
    let parts: Vec<&str> = text.split([':', '-']).collect();
    matches!(parts.len(), 6 | 8 | 20)
        && parts.iter().all(|part| part.len() == 2 && part.bytes().all(|byte| byte.is_ascii_hexdigit()))
}

fn endpoint(attachment: &Attachment) -> Value {
    let mut endpoint = json!({});
    if !attachment.aliases.is_empty() {
        endpoint["Aliases"] = json!(attachment.aliases);
    }
    if !attachment.links.is_empty() {
        endpoint["Links"] = json!(attachment.links);
    }
    if !attachment.mac_address.is_empty() {
        endpoint["MacAddress"] = json!(attachment.mac_address);
    }
    if !attachment.driver_options.is_empty() {
        endpoint["DriverOpts"] = json!(attachment.driver_options);
    }
    if attachment.priority != 0 {
        endpoint["GwPriority"] = json!(attachment.priority);
    }
    for (key, given) in [("IPv4Address", &attachment.ipv4), ("IPv6Address", &attachment.ipv6)] {
        if !given.is_empty() {
            endpoint["IPAMConfig"][key] = json!(given);
        }
    }
    if !attachment.link_local.is_empty() {
        endpoint["IPAMConfig"]["LinkLocalIPs"] = json!(attachment.link_local);
    }
    endpoint
}
