use std::net::IpAddr;

use docklab_host::Host;

/// A container, exec, network or anonymous volume ID: 32 random bytes as 64 hexadecimal digits. Drawn again when the
/// first twelve are all decimal, because they become the host name and a name must not look like a number.
pub fn object_id(host: &dyn Host) -> String {
    loop {
        let mut bytes = [0; 32];
        host.random(&mut bytes);
        let id = hex::encode(bytes);
        if !id.bytes().take(12).all(|byte| byte.is_ascii_digit()) {
            return id;
        }
    }
}

/// The twelve digits that tables show; a `sha256:` prefix is stripped first.
pub fn short_id(id: &str) -> &str {
    let id = id.strip_prefix("sha256:").unwrap_or(id);
    id.get(..12).unwrap_or(id)
}

/// A locally administered MAC address that is made from the IP address. A container that gets the address of one that has
/// just ended then also answers to the MAC that neighbours still remember for it; with a random one their packets would go
/// nowhere until their memory expires.
pub fn mac_address(address: IpAddr) -> String {
    let [.., a, b, c, d] = match address {
        IpAddr::V4(address) => address.to_ipv6_mapped().octets(),
        IpAddr::V6(address) => address.octets(),
    };
    format!("02:42:{a:02x}:{b:02x}:{c:02x}:{d:02x}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_address_always_has_the_same_mac() {
        assert_eq!(mac_address(IpAddr::from([172, 17, 0, 2])), "02:42:ac:11:00:02");
    }

    #[test]
    fn short_ids_drop_the_algorithm() {
        assert_eq!(short_id("sha256:0123456789abcdef"), "0123456789ab");
        assert_eq!(short_id("ab"), "ab");
    }
}
