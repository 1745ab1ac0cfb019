//! The kernel's language for network links, addresses and routes (rtnetlink(7)), as much of it as containers need.
//!
//! A request is a header, a fixed part by kind, and attributes that may nest. The kernel acknowledges each one with an
//! errno. Everything here takes fractions of a millisecond, except where a comment says otherwise.

use std::{
    io,
    net::IpAddr,
    os::fd::{AsRawFd, BorrowedFd, OwnedFd},
    time::Duration,
};

use nix::{
    errno::Errno,
    libc,
    sys::socket::{AddressFamily, MsgFlags, SockFlag, SockProtocol, SockType, recv, send, socket},
};

const ATTRIBUTE_NESTED: u16 = 0x8000;
const IFLA_ADDRESS: u16 = 1;
const IFLA_IFNAME: u16 = 3;
const IFLA_MTU: u16 = 4;
const IFLA_MASTER: u16 = 10;
const IFLA_LINKINFO: u16 = 18;
const IFLA_NET_NS_FD: u16 = 28;
const IFLA_INFO_KIND: u16 = 1;
const IFLA_INFO_DATA: u16 = 2;
const VETH_INFO_PEER: u16 = 1;
const IFLA_VXLAN_ID: u16 = 1;
const IFLA_VXLAN_LOCAL: u16 = 4;
const IFLA_VXLAN_LEARNING: u16 = 7;
const IFLA_VXLAN_PORT: u16 = 15;
const IFA_ADDRESS: u16 = 1;
const IFA_LOCAL: u16 = 2;
const IFA_BROADCAST: u16 = 4;
const RTA_OIF: u16 = 4;
const RTA_GATEWAY: u16 = 5;
const TCA_KIND: u16 = 1;
const TCA_OPTIONS: u16 = 2;
const TCA_NETEM_LATENCY64: u16 = 10;
/// Packets that wait at most; tc's own default.
const NETEM_QUEUE: u32 = 1000;
const NDA_DST: u16 = 1;
const NDA_LLADDR: u16 = 2;
/// Virtual Extensible LAN's UDP port (RFC 7348), as Docker's overlay networks use it.
const VXLAN_PORT: u16 = 4789;

const CREATE: u16 = (libc::NLM_F_CREATE | libc::NLM_F_EXCL) as u16;
const UP: u32 = libc::IFF_UP as u32;

/// A request that grows.
struct Message(Vec<u8>);

impl Message {
    fn new(kind: u16, flags: u16) -> Self {
        let mut bytes = vec![0; 16];
        bytes[4..6].copy_from_slice(&kind.to_ne_bytes());
        bytes[6..8].copy_from_slice(&(flags | libc::NLM_F_REQUEST as u16).to_ne_bytes());
        Self(bytes)
    }

    /// `struct ifinfomsg`.
    fn link(kind: u16, flags: u16, index: u32, set: u32) -> Self {
        let mut message = Self::new(kind, flags);
        message.link_header(index, set);
        message
    }

    fn link_header(&mut self, index: u32, set: u32) {
        self.0.extend_from_slice(&[0; 4]);
        for number in [index, set, set] {
            self.0.extend_from_slice(&number.to_ne_bytes());
        }
    }

    fn attribute(&mut self, kind: u16, value: &[u8]) -> &mut Self {
        let length = u16::try_from(value.len() + 4).unwrap_or(u16::MAX);
        self.0.extend_from_slice(&length.to_ne_bytes());
        self.0.extend_from_slice(&kind.to_ne_bytes());
        self.0.extend_from_slice(value);
        self.0.resize(self.0.len().next_multiple_of(4), 0);
        self
    }

    fn text(&mut self, kind: u16, value: &str) -> &mut Self {
        let mut bytes = value.as_bytes().to_vec();
        bytes.push(0);
        self.attribute(kind, &bytes)
    }

    fn number(&mut self, kind: u16, value: u32) -> &mut Self {
        self.attribute(kind, &value.to_ne_bytes())
    }

    fn nest(&mut self, kind: u16, fill: impl FnOnce(&mut Self)) -> &mut Self {
        let start = self.0.len();
        self.0.extend_from_slice(&[0; 2]);
        self.0.extend_from_slice(&(kind | ATTRIBUTE_NESTED).to_ne_bytes());
        fill(self);
        let length = u16::try_from(self.0.len() - start).unwrap_or(u16::MAX);
        self.0[start..start + 2].copy_from_slice(&length.to_ne_bytes());
        self
    }

    fn address(&mut self, kind: u16, address: IpAddr) -> &mut Self {
        match address {
            IpAddr::V4(address) => self.attribute(kind, &address.octets()),
            IpAddr::V6(address) => self.attribute(kind, &address.octets()),
        }
    }
}

/// A link of the namespace that was asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Link {
    pub(crate) index: u32,
    pub(crate) name: String,
    pub(crate) is_up: bool,
}

/// A conversation with the kernel about one network namespace: the one in which it was opened.
#[derive(Debug)]
pub(crate) struct Netlink {
    socket: OwnedFd,
}

impl Netlink {
    pub(crate) fn open() -> io::Result<Self> {
        let socket = socket(AddressFamily::Netlink, SockType::Raw, SockFlag::SOCK_CLOEXEC, SockProtocol::NetlinkRoute)?;
        Ok(Self { socket })
    }

    /// Sends a request and hands every answer (without its header) to `answer` until the kernel says it is done.
    fn request(&self, mut message: Message, mut answer: impl FnMut(u16, &[u8])) -> io::Result<()> {
        let flags = u16::from_ne_bytes([message.0[6], message.0[7]]);
        if flags & libc::NLM_F_DUMP as u16 != libc::NLM_F_DUMP as u16 {
            message.0[6..8].copy_from_slice(&(flags | libc::NLM_F_ACK as u16).to_ne_bytes());
        }
        let length = u32::try_from(message.0.len()).map_err(io::Error::other)?;
        message.0[..4].copy_from_slice(&length.to_ne_bytes());
        send(self.socket.as_raw_fd(), &message.0, MsgFlags::empty())?;
        let mut buffer = vec![0; 64 * 1024];
        loop {
            let received = match recv(self.socket.as_raw_fd(), &mut buffer, MsgFlags::empty()) {
                Err(Errno::EINTR) => continue,
                result => result?,
            };
            let mut rest = &buffer[..received];
            while rest.len() >= 16 {
                let length = u32::from_ne_bytes([rest[0], rest[1], rest[2], rest[3]]) as usize;
                let kind = u16::from_ne_bytes([rest[4], rest[5]]);
                if length < 16 || length > rest.len() {
                    return Err(io::Error::new(io::ErrorKind::InvalidData, "netlink: message cut short"));
                }
                let body = &rest[16..length];
                match i32::from(kind) {
                    libc::NLMSG_ERROR => {
                        let code =
                            body.get(..4).map_or(0, |code| i32::from_ne_bytes([code[0], code[1], code[2], code[3]]));
                        return if code == 0 { Ok(()) } else { Err(io::Error::from_raw_os_error(-code)) };
                    }
                    libc::NLMSG_DONE => return Ok(()),
                    _ => answer(kind, body),
                }
                rest = &rest[length.next_multiple_of(4).min(rest.len())..];
            }
        }
    }

    fn command(&self, message: Message) -> io::Result<()> {
        self.request(message, |_, _| {})
    }

    pub(crate) fn links(&self) -> io::Result<Vec<Link>> {
        let mut links = Vec::new();
        self.request(Message::link(libc::RTM_GETLINK, libc::NLM_F_DUMP as u16, 0, 0), |_, body| {
            links.extend(parse_link(body));
        })?;
        Ok(links)
    }

    /// The index of the link called `name`.
    pub(crate) fn index(&self, name: &str) -> io::Result<Option<u32>> {
        Ok(self.link(name)?.map(|link| link.index))
    }

    /// The link called `name`.
    pub(crate) fn link(&self, name: &str) -> io::Result<Option<Link>> {
        let mut message = Message::link(libc::RTM_GETLINK, 0, 0, 0);
        message.text(IFLA_IFNAME, name);
        let mut found = None;
        match self.request(message, |_, body| found = parse_link(body)) {
            Err(error) if error.raw_os_error() == Some(libc::ENODEV) => Ok(None),
            result => result.map(|()| found),
        }
    }

    /// Makes a bridge with a fixed address (it would take its ports' lowest one, and change with them) and sets it up.
    pub(crate) fn add_bridge(&self, name: &str, mac: [u8; 6], mtu: u32) -> io::Result<()> {
        let mut message = Message::link(libc::RTM_NEWLINK, CREATE, 0, UP);
        message.text(IFLA_IFNAME, name).attribute(IFLA_ADDRESS, &mac).number(IFLA_MTU, mtu);
        message.nest(IFLA_LINKINFO, |info| {
            info.text(IFLA_INFO_KIND, "bridge");
        });
        self.command(message)
    }

    /// Makes a cable from a bridge to `peer_name` in another namespace. The peer is *born* there: to move it afterwards
    /// would cost thirty times as much.
    pub(crate) fn add_veth(
        &self,
        name: &str,
        bridge: u32,
        namespace: BorrowedFd<'_>,
        peer_name: &str,
        mac: [u8; 6],
        mtu: u32,
    ) -> io::Result<()> {
        let mut message = Message::link(libc::RTM_NEWLINK, CREATE, 0, UP);
        message.text(IFLA_IFNAME, name).number(IFLA_MTU, mtu).number(IFLA_MASTER, bridge);
        message.nest(IFLA_LINKINFO, |info| {
            info.text(IFLA_INFO_KIND, "veth").nest(IFLA_INFO_DATA, |data| {
                data.nest(VETH_INFO_PEER, |peer| {
                    // Not up yet: a veth without its other half cannot be.
                    peer.link_header(0, 0);
                    peer.text(IFLA_IFNAME, peer_name)
                        .attribute(IFLA_ADDRESS, &mac)
                        .number(IFLA_MTU, mtu)
                        .attribute(IFLA_NET_NS_FD, &namespace.as_raw_fd().to_ne_bytes());
                });
            });
        });
        self.command(message)
    }

    pub(crate) fn add_vxlan(&self, name: &str, vni: u32, local: IpAddr, bridge: u32, mtu: u32) -> io::Result<()> {
        let mut message = Message::link(libc::RTM_NEWLINK, CREATE, 0, UP);
        message.text(IFLA_IFNAME, name).number(IFLA_MTU, mtu).number(IFLA_MASTER, bridge);
        message.nest(IFLA_LINKINFO, |info| {
            info.text(IFLA_INFO_KIND, "vxlan").nest(IFLA_INFO_DATA, |data| {
                data.number(IFLA_VXLAN_ID, vni)
                    .attribute(IFLA_VXLAN_PORT, &VXLAN_PORT.to_be_bytes())
                    .attribute(IFLA_VXLAN_LEARNING, &[1]);
                if local.is_ipv4() {
                    data.address(IFLA_VXLAN_LOCAL, local);
                }
            });
        });
        self.command(message)
    }

    /// Sends frames of unknown destination to `peer` too (or no more).
    pub(crate) fn flood(&self, vxlan: u32, peer: IpAddr, add: bool) -> io::Result<()> {
        let (kind, flags) = if add {
            (libc::RTM_NEWNEIGH, (libc::NLM_F_CREATE | libc::NLM_F_APPEND) as u16)
        } else {
            (libc::RTM_DELNEIGH, 0)
        };
        let mut message = Message::new(kind, flags);
        // struct ndmsg: family, padding, index, state (permanent), flags (self), type.
        message.0.extend_from_slice(&[libc::AF_BRIDGE as u8, 0, 0, 0]);
        message.0.extend_from_slice(&vxlan.to_ne_bytes());
        message.0.extend_from_slice(&0x80_u16.to_ne_bytes());
        message.0.extend_from_slice(&[0x02, 0]);
        message.attribute(NDA_LLADDR, &[0; 6]).address(NDA_DST, peer);
        self.command(message)
    }

    pub(crate) fn set_up(&self, index: u32) -> io::Result<()> {
        self.command(Message::link(libc::RTM_NEWLINK, 0, index, UP))
    }

    pub(crate) fn set_down(&self, index: u32) -> io::Result<()> {
        let mut message = Message::new(libc::RTM_NEWLINK, 0);
        // struct ifinfomsg: the one flag to change, which is not set.
        message.0.extend_from_slice(&[0; 4]);
        for number in [index, 0, UP] {
            message.0.extend_from_slice(&number.to_ne_bytes());
        }
        self.command(message)
    }

    /// Everything that leaves through the link waits for so long, or no longer; tc-netem(8). `ENOENT` where the kernel has
    /// no netem.
    pub(crate) fn set_delay(&self, index: u32, delay: Duration) -> io::Result<()> {
        let (kind, flags) = if delay.is_zero() {
            (libc::RTM_DELQDISC, 0)
        } else {
            (libc::RTM_NEWQDISC, (libc::NLM_F_CREATE | libc::NLM_F_REPLACE) as u16)
        };
        let mut message = Message::new(kind, flags);
        // struct tcmsg: family and padding, interface, handle, parent (the root), information.
        message.0.extend_from_slice(&[0; 4]);
        for number in [index, 0, u32::MAX, 0] {
            message.0.extend_from_slice(&number.to_ne_bytes());
        }
        if !delay.is_zero() {
            message.text(TCA_KIND, "netem");
            // struct tc_netem_qopt: latency (given below), packets in the queue, loss, gap, duplicates, jitter.
            let mut options: Vec<u8> =
                [0, NETEM_QUEUE, 0, 0, 0, 0].iter().flat_map(|number: &u32| number.to_ne_bytes()).collect();
            let mut latency = Message(Vec::new());
            let nanoseconds = i64::try_from(delay.as_nanos()).unwrap_or(i64::MAX);
            latency.attribute(TCA_NETEM_LATENCY64, &nanoseconds.to_ne_bytes());
            options.extend_from_slice(&latency.0);
            message.attribute(TCA_OPTIONS, &options);
        }
        match self.command(message) {
            // There was no delay.
            Err(error) if delay.is_zero() && matches!(error.raw_os_error(), Some(libc::ENOENT | libc::EINVAL)) => {
                Ok(())
            }
            result => result,
        }
    }

    /// Removes a link. Waits for the kernel's grace periods: some 16 ms for a veth, so only where nothing else will take it.
    pub(crate) fn delete(&self, index: u32) -> io::Result<()> {
        match self.command(Message::link(libc::RTM_DELLINK, 0, index, 0)) {
            Err(error) if error.raw_os_error() == Some(libc::ENODEV) => Ok(()),
            result => result,
        }
    }

    /// Adding an address that is there is fine.
    pub(crate) fn add_address(&self, index: u32, address: IpAddr, prefix_length: u8) -> io::Result<()> {
        let mut message = Message::new(libc::RTM_NEWADDR, CREATE);
        // The engine knows that nobody else has an IPv6 address of its own choice: no second of asking around.
        const IFA_F_NODAD: u8 = 2;
        let flags = if address.is_ipv6() { IFA_F_NODAD } else { 0 };
        message.0.extend_from_slice(&[family(address), prefix_length, flags, 0]);
        message.0.extend_from_slice(&index.to_ne_bytes());
        message.address(IFA_LOCAL, address).address(IFA_ADDRESS, address);
        if let IpAddr::V4(v4) = address
            && prefix_length < 31
        {
            let broadcast = u32::from(v4) | (u32::MAX >> prefix_length);
            message.attribute(IFA_BROADCAST, &broadcast.to_be_bytes());
        }
        match self.command(message) {
            Err(error) if error.raw_os_error() == Some(libc::EEXIST) => Ok(()),
            result => result,
        }
    }

    pub(crate) fn add_default_route(&self, index: u32, gateway: IpAddr) -> io::Result<()> {
        self.command(default_route(libc::RTM_NEWROUTE, CREATE, index, gateway))
    }
}

fn default_route(kind: u16, flags: u16, index: u32, gateway: IpAddr) -> Message {
    let mut message = Message::new(kind, flags);
    // struct rtmsg: family, destination, source, tos, main table, boot protocol, universe, unicast, flags.
    message.0.extend_from_slice(&[family(gateway), 0, 0, 0, libc::RT_TABLE_MAIN, 3, 0, 1]);
    message.0.extend_from_slice(&[0; 4]);
    message.address(RTA_GATEWAY, gateway).number(RTA_OIF, index);
    message
}

fn family(address: IpAddr) -> u8 {
    let family = if address.is_ipv4() { libc::AF_INET } else { libc::AF_INET6 };
    family as u8
}

fn parse_link(body: &[u8]) -> Option<Link> {
    let index = u32::from_ne_bytes(body.get(4..8)?.try_into().ok()?);
    let flags = u32::from_ne_bytes(body.get(8..12)?.try_into().ok()?);
    let mut rest = body.get(16..)?;
    while rest.len() >= 4 {
        let length = usize::from(u16::from_ne_bytes([rest[0], rest[1]]));
        let kind = u16::from_ne_bytes([rest[2], rest[3]]);
        let value = rest.get(4..length)?;
        if kind == IFLA_IFNAME {
            let name = String::from_utf8_lossy(value.strip_suffix(&[0]).unwrap_or(value)).into_owned();
            return Some(Link { index, name, is_up: flags & UP != 0 });
        }
        rest = rest.get(length.next_multiple_of(4)..).unwrap_or_default();
    }
    None
}
