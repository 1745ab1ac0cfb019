//! A session's LAN: a bridge in a network namespace of its own, and a cable from it to every node's `eth0`.

use std::{
    io::{self, Write as _},
    net::{IpAddr, SocketAddr, SocketAddrV4, TcpListener},
    os::fd::AsFd as _,
    process::{Command, Stdio},
    sync::Arc,
    time::Duration,
};

use docklab_host::{HostError, HostResult};
use nix::sys::socket::{getsockopt, sockopt};

use super::FirstProcess;
use crate::{
    layers::io_error,
    network::{NameServer, Names, Namespace, Resolver, serve_names},
};

const BRIDGE: &str = "lan";
const INTERFACE: &str = "eth0";
const MTU: u32 = 1500;

/// Where a node is on the LAN.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NodeAddress {
    pub address: IpAddr,
    pub prefix_length: u8,
    pub gateway: IpAddr,
}

/// The switch of a session.
#[derive(Debug)]
pub struct Lan {
    switch: Namespace,
}

impl Lan {
    /// The LAN of a session that has begun.
    pub fn of(session: &FirstProcess) -> HostResult<Self> {
        let switch = session.network().map_err(|error| io_error("open the session's network", error))?;
        Ok(Self { switch })
    }

    /// Makes the bridge, under the address of the nodes' gateway.
    pub fn create(&self, gateway: IpAddr, prefix_length: u8) -> HostResult<()> {
        let make = || {
            let netlink = &self.switch.netlink;
            netlink.add_bridge(BRIDGE, mac(gateway), MTU)?;
            let index = self.index(BRIDGE)?;
            netlink.add_address(index, gateway, prefix_length)
        };
        make().map_err(|error| io_error("make the session's switch", error))
    }

    fn index(&self, link: &str) -> io::Result<u32> {
        let found = self.switch.netlink.index(link)?;
        found.ok_or_else(|| io::Error::new(io::ErrorKind::NotFound, format!("the switch has no port `{link}`")))
    }

    /// Lays a cable between the switch's port of that name (at most fifteen characters) and the node's `eth0`.
    pub fn plug(&self, node: &FirstProcess, port: &str, place: NodeAddress) -> HostResult<()> {
        let lay = || {
            let inside = node.network()?;
            // Of a node that has just ended, and that the kernel has not come to yet.
            if let Some(old) = self.switch.netlink.index(port)? {
                self.switch.netlink.delete(old)?;
            }
            let bridge = self.index(BRIDGE)?;
            self.switch.netlink.add_veth(port, bridge, inside.as_fd(), INTERFACE, mac(place.address), MTU)?;
            let interface = inside.netlink.index(INTERFACE)?;
            let interface = interface.ok_or_else(|| io::Error::other("the node's eth0 has vanished"))?;
            inside.netlink.add_address(interface, place.address, place.prefix_length)?;
            inside.netlink.set_up(interface)?;
            inside.netlink.add_default_route(interface, place.gateway)
        };
        lay().map_err(|error| io_error(format!("connect {port} to the LAN"), error))
    }

    /// Pulls a node's plug at the switch, or puts it back: the node notices nothing but silence.
    pub fn set_connected(&self, port: &str, connected: bool) -> HostResult<()> {
        let set = || {
            let index = self.index(port)?;
            if connected { self.switch.netlink.set_up(index) } else { self.switch.netlink.set_down(index) }
        };
        set().map_err(|error| io_error(format!("change the link of {port}"), error))
    }

    pub fn is_connected(&self, port: &str) -> HostResult<bool> {
        let link =
            self.switch.netlink.link(port).map_err(|error| io_error(format!("look at the link of {port}"), error))?;
        Ok(link.is_some_and(|link| link.is_up))
    }

    /// Drops what goes from the first port of a pair to the second, for exactly these pairs.
    pub fn set_cuts(&self, cuts: &[(String, String)]) -> HostResult<()> {
        self.filter(&cut_rules(cuts))
    }

    /// Everything from and to a node takes so much longer, each way; zero is as fast as the machine.
    pub fn slow(&self, node: &FirstProcess, port: &str, delay: Duration) -> HostResult<()> {
        let set = || {
            self.switch.netlink.set_delay(self.index(port)?, delay)?;
            let inside = node.network()?;
            match inside.netlink.index(INTERFACE)? {
                Some(interface) => inside.netlink.set_delay(interface, delay),
                None => Ok(()),
            }
        };
        set().map_err(|error| match error.raw_os_error() {
            Some(nix::libc::ENOENT) => HostError::Unsupported(
                "a link cannot be slowed: this machine's kernel has no netem (module sch_netem, often in a package of \
                 extra modules); cutting it works"
                    .to_owned(),
            ),
            _ => io_error(format!("slow the link of {port}"), error),
        })
    }

    /// Leads TCP connections that leave the LAN to a port of the switch's own. Who asked for what is told by
    /// [`original_destination`].
    pub fn redirect_outbound(&self, subnet: &str, port: u16) -> HostResult<()> {
        self.filter(&redirect_rules(subnet, port))
    }

    fn filter(&self, rules: &str) -> HostResult<()> {
        let run = || {
            let mut child = Command::new("nft")
                .args(["-f", "-"])
                .stdin(Stdio::piped())
                .stdout(Stdio::null())
                .stderr(Stdio::piped())
                .spawn()?;
            if let Some(mut input) = child.stdin.take() {
                input.write_all(rules.as_bytes())?;
            }
            child.wait_with_output()
        };
        let output = self.switch.inside(run).map_err(|error| match error.kind() {
            io::ErrorKind::NotFound => {
                HostError::Unsupported("the program `nft` is missing (package nftables)".to_owned())
            }
            _ => io_error("run nft on the session's switch", error),
        })?;
        if output.status.success() {
            return Ok(());
        }
        Err(HostError::Other(format!("nft: {}", String::from_utf8_lossy(&output.stderr).trim())))
    }

    /// Listens on the switch.
    pub fn listen(&self, address: SocketAddr) -> io::Result<TcpListener> {
        self.switch.inside(|| {
            let listener = TcpListener::bind(address)?;
            listener.set_nonblocking(true)?;
            Ok(listener)
        })
    }

    /// Answers names at an address of the switch: `lookup`'s (lower case), and the machine's for everything else. Within a
    /// tokio runtime; ends when the answer is dropped.
    pub fn serve_names(
        &self,
        address: IpAddr,
        lookup: impl Fn(&str) -> Option<IpAddr> + Send + Sync + 'static,
    ) -> io::Result<impl Send + 'static> {
        let server: NameServer = serve_names(&self.switch, address, Arc::new(LanNames(lookup)))?;
        Ok(server)
    }
}

struct LanNames<F>(F);

impl<F: Fn(&str) -> Option<IpAddr> + Send + Sync + 'static> Names for LanNames<F> {
    fn addresses(&self, name: &str) -> Option<Vec<IpAddr>> {
        self.0(name).map(|address| vec![address])
    }
    fn name(&self, _: IpAddr) -> Option<String> {
        None
    }
    fn upstream(&self) -> Vec<IpAddr> {
        // Read each time: a laptop changes its network.
        Resolver::of_machine().servers
    }
}

/// Where a connection wanted to go before [`Lan::redirect_outbound`] led it here.
pub fn original_destination(stream: &impl std::os::fd::AsFd) -> io::Result<SocketAddr> {
    let address = getsockopt(&stream.as_fd(), sockopt::OriginalDst)?;
    let ip = u32::from_be(address.sin_addr.s_addr).into();
    Ok(SocketAddrV4::new(ip, u16::from_be(address.sin_port)).into())
}

/// Locally administered, from the address, so that it stays the same when a node boots again.
fn mac(address: IpAddr) -> [u8; 6] {
    match address {
        IpAddr::V4(address) => {
            let [a, b, c, d] = address.octets();
            [0x02, 0x42, a, b, c, d]
        }
        IpAddr::V6(address) => {
            let octets = address.octets();
            [0x02, 0x42, octets[12], octets[13], octets[14], octets[15]]
        }
    }
}

fn cut_rules(cuts: &[(String, String)]) -> String {
    let mut text = "table bridge docklab\ndelete table bridge docklab\n".to_owned();
    if cuts.is_empty() {
        return text;
    }
    text.push_str("table bridge docklab {\n\tchain cuts {\n\t\ttype filter hook forward priority 0;\n");
    for (from, to) in cuts {
        text.push_str(&format!("\t\tiifname \"{from}\" oifname \"{to}\" drop\n"));
    }
    text.push_str("\t}\n}\n");
    text
}

fn redirect_rules(subnet: &str, port: u16) -> String {
    format!(
        "table ip docklab\ndelete table ip docklab\ntable ip docklab {{\n\tchain outbound {{\n\
         \t\ttype nat hook prerouting priority dstnat;\n\
         \t\tip daddr != {subnet} meta l4proto tcp redirect to :{port}\n\t}}\n}}\n"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cut_has_a_direction() {
        let rules = cut_rules(&[("node1".to_owned(), "node2".to_owned())]);
        insta::assert_snapshot!(rules, @r#"
        table bridge docklab
        delete table bridge docklab
        table bridge docklab {
        	chain cuts {
        		type filter hook forward priority 0;
        		iifname "node1" oifname "node2" drop
        	}
        }
        "#);
        assert!(!cut_rules(&[]).contains("chain"));
    }

    #[test]
    fn a_node_keeps_its_hardware_address() {
        assert_eq!(mac(IpAddr::from([192, 168, 0, 11])), [0x02, 0x42, 192, 168, 0, 11]);
    }
}
