//! `network create`: which gateway, range and reserved addresses belong to which subnet.

use std::net::{IpAddr, Ipv6Addr};

use serde_json::{Value, json};

use crate::{
    context::Invocation,
    error::{CliError, CliResult},
};

/// A network in CIDR notation.
#[derive(Debug, Clone, Copy)]
struct Subnet {
    bits: u128,
    prefix: u32,
    is_v6: bool,
}

fn bits(address: IpAddr) -> u128 {
    match address {
        IpAddr::V4(address) => u128::from(u32::from(address)) << 96,
        IpAddr::V6(address) => u128::from(address),
    }
}

impl Subnet {
    fn parse(text: &str) -> CliResult<Self> {
        let invalid = || CliError::new(format!("invalid CIDR address: {text}"));
        let (address, prefix) = text.split_once('/').ok_or_else(invalid)?;
        let address: IpAddr = address.parse().map_err(|_| invalid())?;
        let prefix: u32 = prefix.parse().map_err(|_| invalid())?;
        if prefix > if address.is_ipv4() { 32 } else { 128 } {
            return Err(invalid());
        }
        Ok(Self { bits: bits(address), prefix, is_v6: address.is_ipv6() })
    }
    fn mask(self) -> u128 {
        if self.prefix == 0 { 0 } else { u128::MAX << (128 - self.prefix) }
    }
    fn contains(self, address: IpAddr) -> bool {
        address.is_ipv6() == self.is_v6 && (bits(address) ^ self.bits) & self.mask() == 0
    }
    fn address(self) -> IpAddr {
        if self.is_v6 {
            IpAddr::V6(Ipv6Addr::from(self.bits))
        } else {
            IpAddr::V4(u32::try_from(self.bits >> 96).unwrap_or(0).into())
        }
    }
}

/// The pools of `--subnet`, `--ip-range`, `--gateway` and `--aux-address`.
pub(crate) fn configs(call: &Invocation) -> CliResult<Vec<Value>> {
    let flags = &call.flags;
    let split = |name: &str| -> Vec<String> {
        flags.list(name).iter().flat_map(|text| text.split(',')).map(ToOwned::to_owned).collect()
    };
    let (subnets, ranges, gateways) = (split("subnet"), split("ip-range"), split("gateway"));
    if subnets.len() < ranges.len() || subnets.len() < gateways.len() {
        return Err(CliError::new("every ip-range or gateway must have a corresponding subnet"));
    }
    let mut pools: Vec<(String, Subnet, Value)> = Vec::new();
    for text in subnets {
        let subnet = Subnet::parse(&text)?;
        let overlaps = |known: &Subnet| known.contains(subnet.address()) || subnet.contains(known.address());
        if pools.iter().any(|(_, known, _)| overlaps(known)) {
            return Err(CliError::new("multiple overlapping subnet configuration is not supported"));
        }
        pools.push((text.clone(), subnet, json!({"Subnet": text})));
    }
    for text in ranges {
        let range = Subnet::parse(&text)?;
        let Some((subnet, _, pool)) = pools.iter_mut().find(|(_, subnet, _)| subnet.contains(range.address())) else {
            return Err(CliError::new(format!("no matching subnet for range {text}")));
        };
        if pool.get("IPRange").is_some() {
            return Err(CliError::new(format!(
                "cannot configure multiple ranges ({text}, {}) on the same subnet ({subnet})",
                pool["IPRange"].as_str().unwrap_or_default()
            )));
        }
        pool["IPRange"] = json!(text);
    }
    for text in gateways {
        let address: Option<IpAddr> = text.parse().ok();
        let found = pools.iter_mut().find(|(_, subnet, _)| address.is_some_and(|address| subnet.contains(address)));
        let Some((subnet, _, pool)) = found else {
            return Err(CliError::new(format!("no matching subnet for gateway {text}")));
        };
        if pool.get("Gateway").is_some() {
            return Err(CliError::new(format!(
                "cannot configure multiple gateways ({text}, {}) for the same subnet ({subnet})",
                pool["Gateway"].as_str().unwrap_or_default()
            )));
        }
        pool["Gateway"] = json!(text);
    }
    for text in flags.list("aux-address") {
        let (key, given) = text.split_once('=').unwrap_or((&text, ""));
        let address: Option<IpAddr> = given.parse().ok();
        let found = pools.iter_mut().find(|(_, subnet, _)| address.is_some_and(|address| subnet.contains(address)));
        let Some((_, _, pool)) = found else {
            return Err(CliError::new(format!("no matching subnet for aux-address {given}")));
        };
        pool["AuxiliaryAddresses"][key] = json!(given);
    }
    Ok(pools.into_iter().map(|(_, _, pool)| pool).collect())
}
