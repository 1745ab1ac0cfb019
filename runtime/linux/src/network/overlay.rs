//! Addresses on networks that span nodes.

use std::net::{IpAddr, Ipv4Addr};

use docklab_host::{HostError, HostResult};

/// Addresses at the end of an overlay subnet that nodes take for themselves. The allocator of task addresses begins at the
/// other end.
const NODE_ADDRESSES: u32 = 64;

/// The part of a CIDR behind the slash.
pub(super) fn prefix_length(subnet: &str) -> HostResult<u8> {
    subnet
        .split_once('/')
        .and_then(|(_, length)| length.parse().ok())
        .ok_or_else(|| HostError::Other(format!("invalid CIDR address: {subnet}")))
}

/// The node's own address on an overlay network, from which its mesh reaches tasks on other nodes: every node must have
/// another one, without asking anybody, so it follows from the node's address on the LAN. `None` for IPv6 and for subnets
/// smaller than a /25.
pub(super) fn node_overlay_address(subnet: &str, node: IpAddr) -> Option<IpAddr> {
    let (base, length) = subnet.split_once('/')?;
    let (base, length) = (base.parse::<Ipv4Addr>().ok()?, length.parse::<u32>().ok()?);
    let IpAddr::V4(node) = node else { return None };
    if !(8..=25).contains(&length) {
        return None;
    }
    let broadcast = u32::from(base) | (u32::MAX >> length);
    Some(IpAddr::from(Ipv4Addr::from(broadcast - 1 - u32::from(node) % NODE_ADDRESSES)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nodes_of_one_lan_have_different_addresses_on_an_overlay() {
        let address = |last| node_overlay_address("10.0.1.0/24", IpAddr::from([10, 77, 0, last]));
        assert_eq!(address(2), Some(IpAddr::from([10, 0, 1, 252])));
        assert_ne!(address(2), address(3));
        assert_eq!(node_overlay_address("10.0.1.0/26", IpAddr::from([10, 77, 0, 2])), None);
    }
}
