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

/// A random unicast address with the bit for locally administered ones, as Docker 28 gives to endpoints.
pub fn mac_address(host: &dyn Host) -> String {
    let mut bytes = [0; 6];
    host.random(&mut bytes);
    bytes[0] = (bytes[0] | 0x02) & 0xfe;
    bytes.map(|byte| format!("{byte:02x}")).join(":")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn short_ids_drop_the_algorithm() {
        assert_eq!(short_id("sha256:0123456789abcdef"), "0123456789ab");
        assert_eq!(short_id("ab"), "ab");
    }
}
