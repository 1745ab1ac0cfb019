//! Networks: the predefined ones, user networks with their addresses, endpoints and names.

mod api;
mod connect;
mod filter;
pub(crate) mod ipam;
pub(crate) mod ipv6;
mod names;
mod table;

pub(crate) use names::dns_names;
pub(crate) use table::{Network, NetworkRecord, Networks};
