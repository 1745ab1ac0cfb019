//! Published ports: reading bindings, and which host ports are taken. Pure bookkeeping; the host opens them.

use std::{
    collections::{BTreeMap, HashMap},
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
};

use docklab_api::{
    ApiError, ApiResult,
    models::{PortBinding, PortMap},
};
use docklab_host::{PortSpec, Protocol};

/// Linux's own range for ports that nobody chose.
const EPHEMERAL: std::ops::RangeInclusive<u16> = 32768..=60999;

/// A container port: number and protocol. Ordered as tables show them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct ContainerPort {
    pub(crate) number: u16,
    pub(crate) protocol: Protocol,
}

impl ContainerPort {
    /// Reads `80` or `80/tcp`.
    pub(crate) fn parse(text: &str) -> ApiResult<Self> {
        let (number, protocol) = text.split_once('/').unwrap_or((text, "tcp"));
        let protocol = match protocol.to_ascii_lowercase().as_str() {
            "tcp" => Protocol::Tcp,
            "udp" => Protocol::Udp,
            other => return Err(ApiError::invalid(format!("invalid proto: {other}"))),
        };
        match number.parse() {
            Ok(number) if number > 0 => Ok(Self { number, protocol }),
            _ => Err(ApiError::invalid(format!("invalid port specification: \"{text}\""))),
        }
    }

    /// `80/tcp`.
    pub(crate) fn text(self) -> String {
        format!("{}/{}", self.number, protocol_name(self.protocol))
    }
}

pub(crate) fn protocol_name(protocol: Protocol) -> &'static str {
    match protocol {
        Protocol::Tcp => "tcp",
        Protocol::Udp => "udp",
    }
}

/// One binding as it was asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Wanted {
    pub(crate) container: ContainerPort,
    /// Both families when absent.
    pub(crate) address: Option<IpAddr>,
    /// First and last acceptable host port; absent is any.
    pub(crate) range: Option<(u16, u16)>,
}

/// Reads and checks all bindings, in the order of container ports.
pub(crate) fn parse_bindings(bindings: &PortMap) -> ApiResult<Vec<Wanted>> {
    let mut sorted: BTreeMap<ContainerPort, &Option<Vec<PortBinding>>> = BTreeMap::new();
    for (port, list) in bindings {
        sorted.insert(ContainerPort::parse(port)?, list);
    }
    let mut wanted = Vec::new();
    for (container, list) in sorted {
        let empty = [PortBinding::default()];
        let list = match list {
            Some(list) if !list.is_empty() => list.as_slice(),
            _ => &empty,
        };
        for binding in list {
            let address = match binding.host_ip.as_deref().unwrap_or("") {
                "" => None,
                text => Some(
                    text.trim_matches(['[', ']'])
                        .parse()
                        .map_err(|_| ApiError::invalid(format!("invalid IP address: {text}")))?,
                ),
            };
            let range = match binding.host_port.as_deref().unwrap_or("") {
                "" | "0" => None,
                text => Some(parse_range(text)?),
            };
            wanted.push(Wanted { container, address, range });
        }
    }
    Ok(wanted)
}

fn parse_range(text: &str) -> ApiResult<(u16, u16)> {
    let invalid = || ApiError::invalid(format!("invalid port specification: \"{text}\""));
    let (first, last) = text.split_once('-').unwrap_or((text, text));
    match (first.parse(), last.parse()) {
        (Ok(first), Ok(last)) if first <= last => Ok((first, last)),
        _ => Err(invalid()),
    }
}

type Taken = HashMap<(Protocol, u16), Vec<(IpAddr, String)>>;

/// Which host ports containers of this engine hold.
#[derive(Debug, Default)]
pub(crate) struct PortTable {
    taken: Taken,
    /// Where the search for a free ephemeral port begins.
    next: u16,
}

/// Two addresses of one family where one is the other or covers it.
fn overlap(one: IpAddr, other: IpAddr) -> bool {
    one.is_ipv4() == other.is_ipv4() && (one == other || one.is_unspecified() || other.is_unspecified())
}

impl PortTable {
    fn is_free(&self, address: IpAddr, port: u16, protocol: Protocol) -> bool {
        self.taken.get(&(protocol, port)).is_none_or(|holders| holders.iter().all(|(held, _)| !overlap(*held, address)))
    }

    fn take(&mut self, container: &str, address: IpAddr, port: u16, protocol: Protocol) {
        self.taken.entry((protocol, port)).or_default().push((address, container.to_owned()));
    }

    /// Takes host ports for all of `wanted` or for none. The error is the tail of Docker's text.
    pub(crate) fn reserve(&mut self, container: &str, wanted: &[Wanted]) -> Result<Vec<PortSpec>, String> {
        let mut opened = Vec::new();
        for want in wanted {
            let addresses = match want.address {
                Some(address) => vec![address],
                None => vec![IpAddr::V4(Ipv4Addr::UNSPECIFIED), IpAddr::V6(Ipv6Addr::UNSPECIFIED)],
            };
            let protocol = want.container.protocol;
            let free =
                |table: &Self, port: u16| addresses.iter().all(|address| table.is_free(*address, port, protocol));
            let port = match want.range {
                Some((first, last)) => (first..=last).find(|port| free(self, *port)),
                None => self.ephemeral(|table, port| free(table, port)),
            };
            let Some(port) = port else {
                self.release(container);
                let address = addresses.first().copied().unwrap_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED));
                return Err(match want.range {
                    Some((first, last)) if first == last => {
                        format!("Bind for {address}:{first} failed: port is already allocated")
                    }
                    _ => format!("Bind for {address} failed: all ports are allocated"),
                });
            };
            for address in addresses {
                self.take(container, address, port, protocol);
                opened.push(PortSpec {
                    host_address: address,
                    host_port: port,
                    container_port: want.container.number,
                    protocol,
                });
            }
        }
        Ok(opened)
    }

    fn ephemeral(&mut self, free: impl Fn(&Self, u16) -> bool) -> Option<u16> {
        let (first, last) = (*EPHEMERAL.start(), *EPHEMERAL.end());
        let start = self.next.clamp(first, last);
        let port = (start..=last).chain(first..start).find(|port| free(self, *port))?;
        self.next = if port == last { first } else { port + 1 };
        Some(port)
    }

    /// Takes again what a container that was found after a restart of the engine holds.
    pub(crate) fn adopt(&mut self, container: &str, ports: &[docklab_host::PublishedPort]) {
        for port in ports {
            self.take(container, port.host_address, port.host_port, port.protocol);
        }
    }

    pub(crate) fn release(&mut self, container: &str) {
        self.taken.retain(|_, holders| {
            holders.retain(|(_, holder)| holder != container);
            !holders.is_empty()
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bindings(port: &str, host_ip: &str, host_port: &str) -> PortMap {
        let binding = PortBinding { host_ip: Some(host_ip.to_owned()), host_port: Some(host_port.to_owned()) };
        PortMap::from([(port.to_owned(), Some(vec![binding]))])
    }

    #[test]
    fn a_port_belongs_to_one_container_until_it_is_released() {
        let wanted = parse_bindings(&bindings("80/tcp", "", "8080")).unwrap_or_default();
        let mut table = PortTable::default();
        assert_eq!(table.reserve("a", &wanted).map(|ports| ports.len()), Ok(2));
        assert_eq!(
            table.reserve("b", &wanted),
            Err("Bind for 0.0.0.0:8080 failed: port is already allocated".to_owned())
        );
        let local = parse_bindings(&bindings("80/tcp", "127.0.0.1", "8080")).unwrap_or_default();
        assert!(table.reserve("b", &local).is_err());
        let udp = parse_bindings(&bindings("80/udp", "", "8080")).unwrap_or_default();
        assert!(table.reserve("b", &udp).is_ok());
        table.release("a");
        assert!(table.reserve("c", &local).is_ok());
    }

    #[test]
    fn unchosen_ports_are_ephemeral_and_different() {
        let wanted = parse_bindings(&bindings("80/tcp", "", "")).unwrap_or_default();
        let mut table = PortTable::default();
        let port =
            |ports: Result<Vec<PortSpec>, String>| ports.ok().and_then(|ports| ports.first().map(|p| p.host_port));
        assert_eq!(port(table.reserve("a", &wanted)), Some(32768));
        assert_eq!(port(table.reserve("b", &wanted)), Some(32769));
    }

    #[test]
    fn bad_specifications_are_refused() {
        for (port, host) in [("0/tcp", ""), ("x", ""), ("80/xyz", ""), ("80", "99999"), ("80", "9-8")] {
            assert!(parse_bindings(&bindings(port, "", host)).is_err(), "{port} {host}");
        }
    }
}
