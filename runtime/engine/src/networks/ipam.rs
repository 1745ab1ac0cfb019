//! Address assignment: which subnet a network gets, which address an endpoint. Pure.

use std::{
    collections::BTreeSet,
    net::{IpAddr, Ipv4Addr},
};

use docklab_api::{ApiError, ApiResult};

/// An IPv4 subnet.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Subnet {
    base: u32,
    pub(crate) prefix: u8,
}

impl Subnet {
    /// Reads CIDR notation. Host bits are an error, as in Docker 28.
    pub(crate) fn parse(text: &str) -> ApiResult<Self> {
        let invalid = || {
            ApiError::invalid(format!("invalid network config:\ninvalid subnet {text}: invalid CIDR block notation"))
        };
        let (address, prefix) = text.split_once('/').ok_or_else(invalid)?;
        let address: Ipv4Addr = address.parse().map_err(|_| {
            if address.contains(':') {
                ApiError::not_implemented(format!("subnet {text}: IPv6 networks are not supported"))
            } else {
                invalid()
            }
        })?;
        let prefix: u8 = prefix.parse().ok().filter(|prefix| (1..=32).contains(prefix)).ok_or_else(invalid)?;
        let subnet = Self { base: u32::from(address) & mask(prefix), prefix };
        if subnet.base != u32::from(address) {
            return Err(ApiError::invalid(format!(
                "invalid network config:\ninvalid subnet {text}: it should be {subnet}"
            )));
        }
        Ok(subnet)
    }

    pub(crate) fn contains(self, address: IpAddr) -> bool {
        matches!(address, IpAddr::V4(address) if u32::from(address) & mask(self.prefix) == self.base)
    }

    pub(crate) fn overlaps(self, other: Self) -> bool {
        let shorter = mask(self.prefix.min(other.prefix));
        self.base & shorter == other.base & shorter
    }

    fn last(self) -> u32 {
        self.base | !mask(self.prefix)
    }

    /// The first usable address.
    pub(crate) fn first_host(self) -> IpAddr {
        IpAddr::V4(Ipv4Addr::from(self.base.saturating_add(1)))
    }
}

impl std::fmt::Display for Subnet {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "{}/{}", Ipv4Addr::from(self.base), self.prefix)
    }
}

fn mask(prefix: u8) -> u32 {
    u32::MAX.checked_shl(32 - u32::from(prefix)).unwrap_or(0)
}

/// The next subnet of Docker's default pools (172.17.0.0/16 … 172.31.0.0/16, then /20s of 192.168.0.0/16) that overlaps
/// none of `taken`.
pub(crate) fn choose_subnet(taken: &[Subnet]) -> ApiResult<Subnet> {
    let large = (17..=31u32).map(|second| Subnet { base: (172 << 24) | (second << 16), prefix: 16 });
    let small = (0..16u32).map(|block| Subnet { base: (192 << 24) | (168 << 16) | (block << 12), prefix: 20 });
    large
        .chain(small)
        .find(|subnet| taken.iter().all(|other| !subnet.overlaps(*other)))
        .ok_or_else(|| ApiError::invalid("all predefined address pools have been fully subnetted"))
}

/// The addresses of one network.
#[derive(Debug)]
pub(crate) struct AddressPool {
    subnet: Subnet,
    /// Where automatic addresses come from (`--ip-range`).
    range: Subnet,
    taken: BTreeSet<u32>,
}

impl AddressPool {
    pub(crate) fn new(subnet: Subnet, range: Option<Subnet>, gateway: IpAddr, reserved: &[IpAddr]) -> Self {
        let mut pool = Self { subnet, range: range.unwrap_or(subnet), taken: BTreeSet::new() };
        // Network and broadcast address; a /31 or /32 has neither.
        if subnet.prefix < 31 {
            pool.taken.extend([subnet.base, subnet.last()]);
        }
        for address in reserved.iter().chain([&gateway]) {
            if let IpAddr::V4(address) = address {
                pool.taken.insert(u32::from(*address));
            }
        }
        pool
    }

    pub(crate) fn prefix(&self) -> u8 {
        self.subnet.prefix
    }

    /// The lowest free address, or the one that is wanted.
    pub(crate) fn allocate(&mut self, wanted: Option<IpAddr>) -> ApiResult<IpAddr> {
        let number = match wanted {
            Some(IpAddr::V4(address)) if self.subnet.contains(IpAddr::V4(address)) => {
                let number = u32::from(address);
                if self.taken.contains(&number) {
                    return Err(ApiError::forbidden("Address already in use"));
                }
                number
            }
            Some(address) => {
                return Err(ApiError::invalid(format!(
                    "invalid endpoint settings:\nno configured subnet contains IP address {address}"
                )));
            }
            None => (self.range.base..=self.range.last())
                .find(|number| !self.taken.contains(number))
                .ok_or_else(|| ApiError::invalid("no available IPv4 addresses on this network's address pools"))?,
        };
        self.taken.insert(number);
        Ok(IpAddr::V4(Ipv4Addr::from(number)))
    }

    /// Marks an address that a running container was found to have.
    pub(crate) fn adopt(&mut self, address: IpAddr) {
        if let IpAddr::V4(address) = address {
            self.taken.insert(u32::from(address));
        }
    }

    pub(crate) fn release(&mut self, address: IpAddr) {
        if let IpAddr::V4(address) = address {
            self.taken.remove(&u32::from(address));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn subnet(text: &str) -> Subnet {
        Subnet::parse(text).unwrap_or(Subnet { base: 0, prefix: 0 })
    }

    #[test]
    fn networks_get_the_next_default_subnet() {
        let bridge = subnet("172.17.0.0/16");
        assert_eq!(choose_subnet(&[]).map(|s| s.to_string()), Ok("172.17.0.0/16".to_owned()));
        assert_eq!(choose_subnet(&[bridge]).map(|s| s.to_string()), Ok("172.18.0.0/16".to_owned()));
        let all = subnet("172.16.0.0/12");
        assert_eq!(choose_subnet(&[all]).map(|s| s.to_string()), Ok("192.168.0.0/20".to_owned()));
        assert!(choose_subnet(&[all, subnet("192.168.0.0/16")]).is_err());
    }

    #[test]
    fn addresses_are_the_lowest_free_ones() {
        let subnet = subnet("172.18.0.0/29");
        let mut pool = AddressPool::new(subnet, None, subnet.first_host(), &[]);
        let second = pool.allocate(None);
        assert_eq!(second.as_ref().map(ToString::to_string), Ok("172.18.0.2".to_owned()));
        assert!(pool.allocate(Some(IpAddr::from([172, 18, 0, 2]))).is_err());
        assert!(pool.allocate(Some(IpAddr::from([10, 0, 0, 2]))).is_err());
        for _ in 3..7 {
            assert!(pool.allocate(None).is_ok());
        }
        assert!(pool.allocate(None).is_err());
        pool.release(IpAddr::from([172, 18, 0, 4]));
        assert_eq!(pool.allocate(None).map(|a| a.to_string()), Ok("172.18.0.4".to_owned()));
    }

    #[test]
    fn host_bits_are_refused_with_the_right_subnet() {
        assert_eq!(
            Subnet::parse("172.18.0.1/16").map_err(|error| error.message),
            Err("invalid network config:\ninvalid subnet 172.18.0.1/16: it should be 172.18.0.0/16".to_owned())
        );
        assert!(Subnet::parse("x").is_err());
    }
}
