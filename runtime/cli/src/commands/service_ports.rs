//! `service create --publish`: `8080:80/udp`, or `published=8080,target=80,protocol=tcp,mode=host`.

use serde_json::{Value, json};

use crate::{commands::container::ports, csv};

/// The ports that one value stands for; the error is the client's, for a flag's value.
pub(crate) fn parse(text: &str) -> Result<Vec<Value>, String> {
    if text.contains('=') {
        return long(text).map(|port| vec![port]);
    }
    let published = ports::parse(text)?;
    if !published.ip.is_empty() {
        return Err("hostip is not supported".to_owned());
    }
    let (first, last) = published.container;
    Ok((0..=(last - first))
        .map(|offset| {
            let mut port = json!({
                "Protocol": published.protocol, "TargetPort": first + offset, "PublishMode": "ingress",
            });
            if let Some((low, _)) = published.host {
                port["PublishedPort"] = json!(low + offset);
            }
            port
        })
        .collect())
}

fn long(text: &str) -> Result<Value, String> {
    let mut port = json!({"Protocol": "tcp", "PublishMode": "ingress"});
    let number = |what: &str, value: &str| {
        value.parse::<u16>().map_err(|error| {
            let reason = match error.kind() {
                std::num::IntErrorKind::PosOverflow => "value out of range",
                _ => "invalid syntax",
            };
            format!("invalid {what} port ({value}): value must be an integer: {reason}")
        })
    };
    for field in csv::fields(text)? {
        let Some((key, value)) = field.split_once('=').filter(|(key, _)| !key.is_empty()) else {
            return Err(format!("invalid field: {field}"));
        };
        let value = value.to_lowercase();
        match key {
            "protocol" if matches!(value.as_str(), "tcp" | "udp" | "sctp") => port["Protocol"] = json!(value),
            "protocol" => return Err(format!("invalid protocol value '{value}'")),
            "mode" if matches!(value.as_str(), "ingress" | "host") => port["PublishMode"] = json!(value),
            "mode" => {
                return Err(format!("invalid publish mode value ({value}): must be either 'ingress' or 'host'"));
            }
            "target" => port["TargetPort"] = json!(number("target", &value)?),
            "published" => port["PublishedPort"] = json!(number("published", &value)?),
            _ => return Err(format!("invalid field key: {key}")),
        }
    }
    if port.get("TargetPort").is_none() {
        return Err("missing mandatory field 'target'".to_owned());
    }
    Ok(port)
}
