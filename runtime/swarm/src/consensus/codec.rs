//! Raft's messages, entries and records as bytes: numbers of eight bytes, little endian, and texts behind their length.
//!
//! The library's own encoding is protobuf, whose parser of that release recurses without a limit (RUSTSEC-2024-0437). These
//! bytes come from other machines and from disk, so they are read by something that allocates no more than it was given.

#![allow(clippy::field_reassign_with_default)] // the library's messages, filled in the order of the bytes

use bytes::Bytes;
use raft::eraftpb::{ConfState, Entry, EntryType, HardState, Message, MessageType, Snapshot, SnapshotMetadata};
use thiserror::Error;

/// Bytes that are not what they should be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("damaged raft data: {0}")]
pub struct CodecError(&'static str);

type Result<T> = std::result::Result<T, CodecError>;

#[derive(Default)]
pub(crate) struct Writer(Vec<u8>);

impl Writer {
    pub(crate) fn number(&mut self, value: u64) -> &mut Self {
        self.0.extend_from_slice(&value.to_le_bytes());
        self
    }
    pub(crate) fn bytes(&mut self, value: &[u8]) -> &mut Self {
        self.number(value.len() as u64);
        self.0.extend_from_slice(value);
        self
    }
    fn numbers(&mut self, values: &[u64]) -> &mut Self {
        self.number(values.len() as u64);
        for value in values {
            self.number(*value);
        }
        self
    }
    pub(crate) fn finish(self) -> Bytes {
        self.0.into()
    }
}

pub(crate) struct Reader(Bytes);

impl Reader {
    pub(crate) fn new(bytes: Bytes) -> Self {
        Self(bytes)
    }
    pub(crate) fn number(&mut self) -> Result<u64> {
        let (head, _) = self.0.split_first_chunk::<8>().ok_or(CodecError("it ends too early"))?;
        let value = u64::from_le_bytes(*head);
        let _ = self.0.split_to(8);
        Ok(value)
    }
    pub(crate) fn bytes(&mut self) -> Result<Bytes> {
        let length = self.length()?;
        Ok(self.0.split_to(length))
    }
    /// A length or count: never more than what is left, so that nothing is allocated for a lie.
    pub(crate) fn length(&mut self) -> Result<usize> {
        let length = self.number()?;
        let fits = usize::try_from(length).ok().filter(|length| *length <= self.0.len());
        fits.ok_or(CodecError("a length is wrong"))
    }
    fn numbers(&mut self) -> Result<Vec<u64>> {
        (0..self.length()?).map(|_| self.number()).collect()
    }
    fn flag(&mut self) -> Result<bool> {
        Ok(self.number()? != 0)
    }
    pub(crate) fn end(&self) -> Result<()> {
        if self.0.is_empty() { Ok(()) } else { Err(CodecError("it does not end where it should")) }
    }
}

pub(crate) fn write_entries(writer: &mut Writer, entries: &[Entry]) {
    writer.number(entries.len() as u64);
    for entry in entries {
        let kind = match entry.entry_type {
            EntryType::EntryNormal => 0,
            EntryType::EntryConfChange => 1,
            EntryType::EntryConfChangeV2 => 2,
        };
        writer.number(kind).number(entry.term).number(entry.index).bytes(&entry.data).bytes(&entry.context);
    }
}

pub(crate) fn read_entries(reader: &mut Reader) -> Result<Vec<Entry>> {
    let count = reader.length()?;
    let mut entries = Vec::new();
    for _ in 0..count {
        let mut entry = Entry::default();
        entry.entry_type = match reader.number()? {
            0 => EntryType::EntryNormal,
            1 => EntryType::EntryConfChange,
            2 => EntryType::EntryConfChangeV2,
            _ => return Err(CodecError("an entry is of an unknown kind")),
        };
        entry.term = reader.number()?;
        entry.index = reader.number()?;
        entry.data = reader.bytes()?;
        entry.context = reader.bytes()?;
        entries.push(entry);
    }
    Ok(entries)
}

pub(crate) fn write_hard_state(writer: &mut Writer, state: &HardState) {
    writer.number(state.term).number(state.vote).number(state.commit);
}

pub(crate) fn read_hard_state(reader: &mut Reader) -> Result<HardState> {
    let mut state = HardState::default();
    state.term = reader.number()?;
    state.vote = reader.number()?;
    state.commit = reader.number()?;
    Ok(state)
}

pub(crate) fn write_snapshot(writer: &mut Writer, snapshot: &Snapshot) {
    let metadata = snapshot.get_metadata();
    let configuration = metadata.get_conf_state();
    writer.number(metadata.index).number(metadata.term);
    writer.numbers(&configuration.voters).numbers(&configuration.learners).numbers(&configuration.voters_outgoing);
    writer.numbers(&configuration.learners_next).number(u64::from(configuration.auto_leave));
    writer.bytes(&snapshot.data);
}

pub(crate) fn read_snapshot(reader: &mut Reader) -> Result<Snapshot> {
    let mut metadata = SnapshotMetadata::default();
    metadata.index = reader.number()?;
    metadata.term = reader.number()?;
    let mut configuration = ConfState::default();
    configuration.voters = reader.numbers()?;
    configuration.learners = reader.numbers()?;
    configuration.voters_outgoing = reader.numbers()?;
    configuration.learners_next = reader.numbers()?;
    configuration.auto_leave = reader.flag()?;
    metadata.set_conf_state(configuration);
    let mut snapshot = Snapshot::default();
    snapshot.data = reader.bytes()?;
    snapshot.set_metadata(metadata);
    Ok(snapshot)
}

/// The messages that cross a link, by their number on the wire. The library has more, for its own use within a process.
const KINDS: [MessageType; 12] = [
    MessageType::MsgAppend,
    MessageType::MsgAppendResponse,
    MessageType::MsgRequestVote,
    MessageType::MsgRequestVoteResponse,
    MessageType::MsgSnapshot,
    MessageType::MsgHeartbeat,
    MessageType::MsgHeartbeatResponse,
    MessageType::MsgTimeoutNow,
    MessageType::MsgReadIndex,
    MessageType::MsgReadIndexResp,
    MessageType::MsgRequestPreVote,
    MessageType::MsgRequestPreVoteResponse,
];

/// `None` for a message that must not leave the process.
pub(crate) fn encode_message(message: &Message) -> Option<Bytes> {
    let kind = KINDS.iter().position(|kind| *kind == message.msg_type)?;
    let mut writer = Writer::default();
    writer.number(kind as u64).number(message.to).number(message.from).number(message.term);
    writer.number(message.log_term).number(message.index).number(message.commit).number(message.commit_term);
    writer.number(u64::from(message.reject)).number(message.reject_hint).number(message.request_snapshot);
    writer.bytes(&message.context);
    write_entries(&mut writer, &message.entries);
    write_snapshot(&mut writer, message.get_snapshot());
    Some(writer.finish())
}

pub(crate) fn decode_message(bytes: Bytes) -> Result<Message> {
    let mut reader = Reader::new(bytes);
    let kind = usize::try_from(reader.number()?).ok().and_then(|kind| KINDS.get(kind));
    let mut message = Message::default();
    message.msg_type = *kind.ok_or(CodecError("a message is of an unknown kind"))?;
    message.to = reader.number()?;
    message.from = reader.number()?;
    message.term = reader.number()?;
    message.log_term = reader.number()?;
    message.index = reader.number()?;
    message.commit = reader.number()?;
    message.commit_term = reader.number()?;
    message.reject = reader.flag()?;
    message.reject_hint = reader.number()?;
    message.request_snapshot = reader.number()?;
    message.context = reader.bytes()?;
    message.entries = read_entries(&mut reader)?.into();
    let snapshot = read_snapshot(&mut reader)?;
    if snapshot.get_metadata().index != 0 {
        message.set_snapshot(snapshot);
    }
    reader.end()?;
    Ok(message)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn entry(index: u64, data: &'static [u8]) -> Entry {
        let mut entry = Entry::default();
        entry.index = index;
        entry.term = 3;
        entry.data = Bytes::from_static(data);
        entry
    }

    #[test]
    fn a_message_comes_back_from_its_bytes() {
        let mut configuration = ConfState::default();
        configuration.voters = vec![1, 2];
        configuration.learners = vec![3];
        let mut snapshot = Snapshot::default();
        snapshot.data = Bytes::from_static(b"store");
        snapshot.mut_metadata().index = 9;
        snapshot.mut_metadata().set_conf_state(configuration);
        let mut message = Message::default();
        message.msg_type = MessageType::MsgAppend;
        message.from = u64::MAX;
        message.entries = vec![entry(4, b"a"), entry(5, b"")].into();
        message.set_snapshot(snapshot);
        message.reject = true;
        let bytes = encode_message(&message).unwrap();
        assert_eq!(decode_message(bytes).unwrap(), message);
    }

    #[test]
    fn a_message_within_the_process_does_not_leave_it() {
        let mut message = Message::default();
        message.msg_type = MessageType::MsgHup;
        assert_eq!(encode_message(&message), None);
    }

    #[test]
    fn every_shortened_message_is_refused() {
        let mut message = Message::default();
        message.entries = vec![entry(4, b"abc")].into();
        message.msg_type = MessageType::MsgAppend;
        let bytes = encode_message(&message).unwrap();
        for end in 0..bytes.len() {
            assert!(decode_message(bytes.slice(..end)).is_err(), "{end}");
        }
    }

    proptest! {
        #[test]
        fn no_bytes_do_harm(bytes in proptest::collection::vec(any::<u8>(), 0..400)) {
            let _ = decode_message(bytes.into());
        }
    }
}
