//! A manager's raft log in memory, and the records that bring it back.
//!
//! What raft asks to be kept becomes records: one `log-…` for every batch of entries with the vote, in order, and one
//! `snapshot` that replaces those before it. Each record is written whole or not at all, so a manager that is killed comes
//! back at one of the boundaries between them, and every boundary is a state that raft may be in.

use std::collections::BTreeMap;

use bytes::Bytes;
use raft::{
    Error, GetEntriesContext, RaftState, Result, Storage, StorageError,
    eraftpb::{ConfState, Entry, HardState, Snapshot},
    util::limit_size,
};

use super::codec::{
    CodecError, Reader, Writer, read_entries, read_hard_state, read_snapshot, write_entries, write_hard_state,
    write_snapshot,
};

const SNAPSHOT: &str = "snapshot";
const BATCH: &str = "log-";

/// A durable change, to be made in order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Write {
    Put { key: String, value: Bytes },
    Delete { key: String },
}

/// The log that raft reads, and what is on disk of it.
#[derive(Debug, Default)]
pub(crate) struct Log {
    hard_state: HardState,
    snapshot: Snapshot,
    /// Position and term of the entry before the first.
    before: (u64, u64),
    entries: Vec<Entry>,
    /// Bytes of the entries behind the snapshot.
    size: usize,
    /// The number of the next batch, and the highest position that each batch on disk holds.
    next_batch: u64,
    batches: BTreeMap<u64, u64>,
}

fn batch_key(number: u64) -> String {
    format!("{BATCH}{number:020}")
}

impl Log {
    /// A log that begins with a state: the first manager's, or one that all others are forced to follow.
    pub(crate) fn beginning_with(snapshot: Snapshot, term: u64) -> Self {
        let metadata = snapshot.get_metadata();
        let hard_state = HardState { term, commit: metadata.index, ..HardState::default() };
        Self { hard_state, before: (metadata.index, metadata.term), snapshot, ..Self::default() }
    }

    /// The log that the records hold; `None` where there is no snapshot, which is the first record of all.
    pub(crate) fn restore(records: Vec<(String, Bytes)>) -> std::result::Result<Option<Self>, CodecError> {
        let mut batches = BTreeMap::new();
        let mut log = None;
        let mut first = 0;
        for (key, value) in records {
            if key == SNAPSHOT {
                let mut reader = Reader::new(value);
                first = reader.number()?;
                let hard_state = read_hard_state(&mut reader)?;
                let snapshot = read_snapshot(&mut reader)?;
                reader.end()?;
                let metadata = snapshot.get_metadata();
                let before = (metadata.index, metadata.term);
                log = Some(Self { hard_state, snapshot, before, next_batch: first, ..Self::default() });
            } else if let Some(number) = key.strip_prefix(BATCH).and_then(|number| number.parse::<u64>().ok()) {
                batches.insert(number, value);
            }
        }
        let Some(mut log) = log else { return Ok(None) };
        for (number, value) in batches {
            log.next_batch = log.next_batch.max(number + 1);
            let mut reader = Reader::new(value);
            let hard_state = read_hard_state(&mut reader)?;
            let entries = read_entries(&mut reader)?;
            reader.end()?;
            // To be deleted with the next compaction.
            log.batches.insert(number, entries.last().map_or(0, |entry| entry.index));
            if number < first {
                continue;
            }
            if (hard_state.term, hard_state.commit) >= (log.hard_state.term, log.hard_state.commit) {
                log.hard_state = hard_state;
            }
            log.append(&entries);
        }
        log.hard_state.commit = log.hard_state.commit.clamp(log.before.0, log.last());
        Ok(Some(log))
    }

    fn last(&self) -> u64 {
        self.before.0 + self.entries.len() as u64
    }

    pub(crate) fn snapshot_index(&self) -> u64 {
        self.snapshot.get_metadata().index
    }
    pub(crate) fn snapshot_data(&self) -> Bytes {
        self.snapshot.data.clone()
    }
    pub(crate) fn configuration(&self) -> &ConfState {
        self.snapshot.get_metadata().get_conf_state()
    }
    pub(crate) fn hard_state(&self) -> &HardState {
        &self.hard_state
    }
    /// Bytes behind the snapshot.
    pub(crate) fn size(&self) -> usize {
        self.size
    }
    /// Entries behind the snapshot up to a position.
    pub(crate) fn entries_to(&self, index: u64) -> &[Entry] {
        let end = usize::try_from(index.saturating_sub(self.before.0)).unwrap_or(usize::MAX).min(self.entries.len());
        &self.entries[..end]
    }
    pub(crate) fn term_at(&self, index: u64) -> u64 {
        self.term(index).unwrap_or(0)
    }

    /// Entries from their first position on; what stood there before was never agreed on.
    fn append(&mut self, entries: &[Entry]) {
        for entry in entries.iter().filter(|entry| entry.index > self.before.0) {
            let place = usize::try_from(entry.index - self.before.0 - 1).unwrap_or(usize::MAX);
            // A gap cannot come from raft; what would follow it is of no use.
            if place > self.entries.len() {
                return;
            }
            self.entries.truncate(place);
            self.entries.push(entry.clone());
        }
        let behind = self.snapshot_index();
        self.size = self.entries.iter().filter(|entry| entry.index > behind).map(|entry| entry.data.len()).sum();
    }

    /// Takes over what raft wants kept, and says how.
    pub(crate) fn keep(&mut self, hard_state: Option<&HardState>, entries: &[Entry]) -> Vec<Write> {
        if let Some(state) = hard_state {
            self.hard_state = state.clone();
        }
        self.append(entries);
        let mut writer = Writer::default();
        write_hard_state(&mut writer, &self.hard_state);
        write_entries(&mut writer, entries);
        let number = self.next_batch;
        self.next_batch += 1;
        self.batches.insert(number, entries.last().map_or(0, |entry| entry.index));
        vec![Write::Put { key: batch_key(number), value: writer.finish() }]
    }

    /// How far the log is agreed on. Not worth a write of its own: it is found out again.
    pub(crate) fn commit(&mut self, index: u64) {
        self.hard_state.commit = self.hard_state.commit.max(index);
    }

    /// The leader's state in place of the whole log.
    pub(crate) fn replace(&mut self, snapshot: Snapshot, hard_state: Option<&HardState>) -> Vec<Write> {
        let metadata = snapshot.get_metadata();
        self.before = (metadata.index, metadata.term);
        self.entries.clear();
        self.size = 0;
        if let Some(state) = hard_state {
            self.hard_state = state.clone();
        }
        self.hard_state.commit = self.hard_state.commit.max(metadata.index);
        self.snapshot = snapshot;
        self.put_snapshot(self.next_batch)
    }

    /// A newer state for the beginning of the log. The last `kept` entries before it stay for members that are a little
    /// behind.
    pub(crate) fn compact(&mut self, snapshot: Snapshot, kept: u64) -> Vec<Write> {
        let index = snapshot.get_metadata().index;
        let first = index.saturating_sub(kept);
        if first > self.before.0 {
            let term = self.term_at(first);
            let gone = usize::try_from(first - self.before.0).unwrap_or(usize::MAX).min(self.entries.len());
            self.entries.drain(..gone);
            self.before = (first, term);
        }
        self.snapshot = snapshot;
        self.size = self.entries.iter().filter(|entry| entry.index > index).map(|entry| entry.data.len()).sum();
        let needed =
            self.batches.iter().find(|(_, last)| **last > index).map_or(self.next_batch, |(number, _)| *number);
        self.put_snapshot(needed)
    }

    /// A state in place of everything that the log held.
    pub(crate) fn begin_again(&mut self, snapshot: Snapshot, term: u64) -> Vec<Write> {
        self.entries.clear();
        self.size = 0;
        let metadata = snapshot.get_metadata();
        self.before = (metadata.index, metadata.term);
        self.hard_state = HardState::default();
        self.hard_state.term = term;
        self.hard_state.commit = metadata.index;
        self.snapshot = snapshot;
        self.put_snapshot(self.next_batch)
    }

    /// All of a new log.
    pub(crate) fn put_first(&mut self) -> Vec<Write> {
        self.put_snapshot(self.next_batch)
    }

    /// The snapshot first; then batches before `first` may go.
    fn put_snapshot(&mut self, first: u64) -> Vec<Write> {
        let mut writer = Writer::default();
        writer.number(first);
        write_hard_state(&mut writer, &self.hard_state);
        write_snapshot(&mut writer, &self.snapshot);
        let mut writes = vec![Write::Put { key: SNAPSHOT.to_owned(), value: writer.finish() }];
        let kept = self.batches.split_off(&first);
        let gone = std::mem::replace(&mut self.batches, kept);
        writes.extend(gone.into_keys().map(|number| Write::Delete { key: batch_key(number) }));
        writes
    }
}

impl Storage for Log {
    fn initial_state(&self) -> Result<RaftState> {
        Ok(RaftState { hard_state: self.hard_state.clone(), conf_state: self.configuration().clone() })
    }

    fn entries(
        &self,
        low: u64,
        high: u64,
        max_size: impl Into<Option<u64>>,
        _: GetEntriesContext,
    ) -> Result<Vec<Entry>> {
        if low <= self.before.0 {
            return Err(Error::Store(StorageError::Compacted));
        }
        let place = |index: u64| usize::try_from(index - self.before.0 - 1).unwrap_or(usize::MAX);
        let found = self.entries.get(place(low)..place(high)).ok_or(Error::Store(StorageError::Unavailable))?;
        let mut found = found.to_vec();
        limit_size(&mut found, max_size.into());
        Ok(found)
    }

    fn term(&self, index: u64) -> Result<u64> {
        if index == self.before.0 {
            return Ok(self.before.1);
        }
        if index == self.snapshot_index() {
            return Ok(self.snapshot.get_metadata().term);
        }
        let place = index.checked_sub(self.before.0 + 1).ok_or(Error::Store(StorageError::Compacted))?;
        let entry = usize::try_from(place).ok().and_then(|place| self.entries.get(place));
        entry.map(|entry| entry.term).ok_or(Error::Store(StorageError::Unavailable))
    }

    fn first_index(&self) -> Result<u64> {
        Ok(self.before.0 + 1)
    }

    fn last_index(&self) -> Result<u64> {
        Ok(self.last())
    }

    fn snapshot(&self, wanted: u64, to: u64) -> Result<Snapshot> {
        let named = self.configuration();
        if self.snapshot_index() < wanted || !(named.voters.contains(&to) || named.learners.contains(&to)) {
            return Err(Error::Store(StorageError::SnapshotTemporarilyUnavailable));
        }
        Ok(self.snapshot.clone())
    }
}
