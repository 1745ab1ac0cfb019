//! Several managers, one cluster: consensus on the store by the `raft` library.
//!
//! A [`Member`] is one manager of the group. All members carry out the same log on their copies of the store; the leader
//! also runs the [`Manager`](crate::Manager) with its control loops, on a store that is ahead of the log, and proposes what
//! it changes. Whoever asked for a change hears of it when a majority has it on disk.
//!
//! Sans-IO like the rest: [`Member::ready`] says what to write and to send, [`Member::stored`] that it was written.

mod codec;
mod delta;
mod group;
mod log;
mod member;
mod status;
#[cfg(test)]
mod tests;

pub use codec::CodecError;
pub use group::Peer;
pub use log::Write;
pub use member::{LostLeadership, Member, RestoreError, Ticket, Timing, Work};
