//! IPv6 addresses of networks that have them beside IPv4. Pure.

use std::{collections::BTreeSet, net::Ipv6Addr};

use docklab_api::{ApiError, ApiResult};

/// An IPv6 subnet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Subnet6 {
    base: u128,
    pub(crate) prefix: u8,
}

fn mask(prefix: u8) -> u128 {
    u128::MAX.checked_shl(128 - u32::from(prefix)).unwrap_or(0)
}

impl Subnet6 {
    /// Reads CIDR notation. Host bits are an error, as in Docker 28.
    pub(crate) fn parse(text: &str) -> ApiResult<Self> {
        let invalid = || {
            ApiError::invalid(format!("invalid network config:\ninvalid subnet {text}: invalid CIDR block notation"))
        };
        let (address, prefix) = text.split_once('/').ok_or_else(invalid)?;
        let address: Ipv6Addr = address.parse().map_err(|_| invalid())?;
        let prefix: u8 = prefix.parse().ok().filter(|prefix| (1..=128).contains(prefix)).ok_or_else(invalid)?;
        let subnet = Self { base: u128::from(address) & mask(prefix), prefix };
        if subnet.base != u128::from(address) {
            return Err(ApiError::invalid(format!(
                "invalid network config:\ninvalid subnet {text}: it should be {subnet}"
            )));
        }
        Ok(subnet)
    }

    /// The next /64 of an engine's own unique local prefix (RFC 4193: `fd`, then 40 bits that are the engine's) that
    /// overlaps none of `taken`.
    pub(crate) fn choose(engine: &[u8; 5], taken: &[Self]) -> ApiResult<Self> {
        let site = engine.iter().fold(0xfd_u128, |number, byte| number << 8 | u128::from(*byte)) << 80;
        (0..=u128::from(u16::MAX))
            .map(|number| Self { base: site | number << 64, prefix: 64 })
            .find(|subnet| taken.iter().all(|other| !subnet.overlaps(*other)))
            .ok_or_else(|| ApiError::invalid("all predefined address pools have been fully subnetted"))
    }

    pub(crate) fn contains(self, address: Ipv6Addr) -> bool {
        u128::from(address) & mask(self.prefix) == self.base
    }

    pub(crate) fn overlaps(self, other: Self) -> bool {
        let shorter = mask(self.prefix.min(other.prefix));
        self.base & shorter == other.base & shorter
    }

    /// The first usable address.
    pub(crate) fn first_host(self) -> Ipv6Addr {
        Ipv6Addr::from(self.base.saturating_add(1))
    }
}

impl std::fmt::Display for Subnet6 {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "{}/{}", Ipv6Addr::from(self.base), self.prefix)
    }
}

/// The IPv6 addresses of one network.
#[derive(Debug)]
pub(crate) struct AddressPool6 {
    subnet: Subnet6,
    /// Where automatic addresses come from (`--ip-range`).
    range: Subnet6,
    taken: BTreeSet<u128>,
}

impl AddressPool6 {
    pub(crate) fn new(subnet: Subnet6, range: Option<Subnet6>, gateway: Ipv6Addr) -> Self {
        // The subnet's own address is that of its routers.
        let taken = BTreeSet::from([subnet.base, u128::from(gateway)]);
        Self { subnet, range: range.unwrap_or(subnet), taken }
    }

    pub(crate) fn prefix(&self) -> u8 {
        self.subnet.prefix
    }

    /// The lowest free address, or the one that is wanted.
    pub(crate) fn allocate(&mut self, wanted: Option<Ipv6Addr>) -> ApiResult<Ipv6Addr> {
        let number = match wanted {
            Some(address) if !self.subnet.contains(address) => {
                return Err(ApiError::invalid(format!(
                    "invalid endpoint settings:\nno configured subnet or ip-range contain the IP address {address}"
                )));
            }
            Some(address) if self.taken.contains(&u128::from(address)) => {
                return Err(ApiError::forbidden("Address already in use"));
            }
            Some(address) => u128::from(address),
            None => (self.range.base..=self.range.base | !mask(self.range.prefix))
                .find(|number| !self.taken.contains(number))
                .ok_or_else(|| ApiError::invalid("no available IPv6 addresses on this network's address pools"))?,
        };
        self.taken.insert(number);
        Ok(Ipv6Addr::from(number))
    }

    /// Marks an address that a running container was found to have.
    pub(crate) fn adopt(&mut self, address: Ipv6Addr) {
        self.taken.insert(u128::from(address));
    }

    pub(crate) fn release(&mut self, address: Ipv6Addr) {
        self.taken.remove(&u128::from(address));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_engine_gives_its_networks_subnets_of_its_own_prefix() {
        let engine = [0xaa, 0x5c, 0x38, 0x3d, 0xf8];
        let first = Subnet6::choose(&engine, &[]).expect("free");
        assert_eq!(
            (first.to_string(), first.first_host().to_string()),
            ("fdaa:5c38:3df8::/64".to_owned(), "fdaa:5c38:3df8::1".to_owned())
        );
        let second = Subnet6::choose(&engine, &[first]).expect("free");
        assert_eq!(second.to_string(), "fdaa:5c38:3df8:1::/64");
    }

    #[test]
    fn addresses_are_the_lowest_free_ones_or_those_that_are_wanted() {
        let subnet = Subnet6::parse("2001:389::/64").expect("a subnet");
        let mut pool = AddressPool6::new(subnet, None, subnet.first_host());
        let text =
            |address: ApiResult<Ipv6Addr>| address.map(|address| address.to_string()).map_err(|error| error.status);
        assert_eq!(text(pool.allocate(None)), Ok("2001:389::2".to_owned()));
        assert_eq!(text(pool.allocate("2001:389::f00d".parse().ok())), Ok("2001:389::f00d".to_owned()));
        assert_eq!(text(pool.allocate("2001:389::f00d".parse().ok())), Err(403));
        assert_eq!(text(pool.allocate("2001:38a::1".parse().ok())), Err(400));
        pool.release("2001:389::2".parse().expect("an address"));
        assert_eq!(text(pool.allocate(None)), Ok("2001:389::2".to_owned()));
        assert!(Subnet6::parse("2001:389::1/64").is_err());
    }
}
