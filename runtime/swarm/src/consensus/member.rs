use std::collections::{BTreeMap, BTreeSet, VecDeque};

use bytes::Bytes;
use jiff::Timestamp;
use raft::{
    Config, RawNode, SnapshotStatus, StateRole,
    eraftpb::{ConfState, Entry, EntryType, Message, MessageType, Snapshot},
};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use thiserror::Error;

use super::{
    codec::{CodecError, decode_message, encode_message},
    delta::{Delta, Proposed},
    group::Peer,
    log::{Log, Write},
};
use crate::{
    Manager,
    messages::FromManager,
    random::Random,
    store::{Change, Store},
    time::{SECOND, later},
};

/// How fast a group notices things. Docker's by default: a heartbeat a second, an election after ten to twenty without.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Timing {
    /// Nanoseconds.
    pub tick: i64,
    pub heartbeat_ticks: usize,
    pub election_ticks: usize,
}

impl Default for Timing {
    fn default() -> Self {
        Self { tick: SECOND, heartbeat_ticks: 1, election_ticks: 10 }
    }
}

/// Wall clocks are set and machines sleep: a step of more than this is not time that has passed (nanoseconds).
const CLOCK_JUMP: i64 = 10 * SECOND;
/// Bytes of the log beyond which the store is written anew whatever the snapshot interval: so many times its own size.
const LOG_TO_STORE: usize = 4;
const SMALL_LOG: usize = 1 << 20;
/// Bytes of entries in one message, as in Docker.
const MESSAGE_SIZE: u64 = 0xffff;

/// A change that was made on the leader's store and is not agreed on yet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ticket {
    epoch: u64,
    version: u64,
}

/// The leader has been another since: whether the change was made is not known.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("node lost leader status")]
pub struct LostLeadership;

/// A manager's records are not a log.
#[derive(Debug, Error)]
pub enum RestoreError {
    #[error("read the raft log: {0}")]
    Log(#[from] CodecError),
    #[error("read the raft snapshot: {0}")]
    State(#[from] serde_json::Error),
    #[error("start raft: {0}")]
    Raft(#[from] raft::Error),
}

/// What is to be done, in this order: send, write, report [`Member::stored`], send the rest.
#[derive(Debug, Default)]
pub struct Work {
    pub number: u64,
    /// Messages for members by raft ID, that need not wait for the writes.
    pub send: Vec<(u64, Bytes)>,
    pub writes: Vec<Write>,
    /// Messages that promise what the writes keep.
    pub send_stored: Vec<(u64, Bytes)>,
}

/// What a snapshot holds.
#[derive(Serialize, Deserialize)]
struct State {
    store: Store,
    peers: BTreeMap<u64, Peer>,
}

/// The leader's part.
pub(super) struct Leading {
    term: u64,
    /// Which of this member's times as a leader it is.
    epoch: u64,
    pub(super) manager: Manager,
    proposed: Proposed,
    /// Proposals under way: position in the log, version of the store.
    waiting: VecDeque<(u64, u64)>,
    /// Version of the store that is agreed on.
    agreed: u64,
    /// Messages to nodes that speak of a version that is not.
    held: VecDeque<(u64, (String, FromManager))>,
}

/// One manager of a group.
pub struct Member {
    pub(super) raft: RawNode<Log>,
    /// Node ID.
    pub(super) node: String,
    random: Random,
    pub(super) timing: Timing,
    pub(super) now: Timestamp,
    next_tick: Timestamp,
    /// As far as the log is carried out.
    pub(super) store: Store,
    pub(super) applied: u64,
    pub(super) configuration: ConfState,
    pub(super) peers: BTreeMap<u64, Peer>,
    pub(super) leading: Option<Leading>,
    /// When members were last heard of, and which could not be sent to since.
    pub(super) heard: BTreeMap<u64, Timestamp>,
    pub(super) failed: BTreeSet<u64>,
    pub(super) removed: bool,
    /// A newer snapshot is needed whatever the interval: only one that names a member can be sent to it.
    pub(super) wants_snapshot: bool,
    /// Ticks since members were sent the store whole, and have not answered.
    pub(super) sent_whole: BTreeMap<u64, usize>,
    /// Role and term as last seen, and how often they have changed.
    seen: (StateRole, u64),
    turns: u64,
    /// Answers to this member's candidacy.
    pub(super) votes: BTreeMap<u64, bool>,
    epochs: u64,
    /// When the group was last seen with a leader.
    pub(super) led: Timestamp,
    writes: Vec<Write>,
    changes: Vec<Change>,
    outbox: Vec<(String, FromManager)>,
}

impl Member {
    /// The first manager of a swarm whose store is `store`; it leads at once.
    ///
    /// # Errors
    /// Raft refuses the configuration, e.g. an ID of zero.
    pub fn create(
        id: u64,
        peer: Peer,
        store: Store,
        timing: Timing,
        seed: [u8; 32],
        now: Timestamp,
    ) -> Result<Self, RestoreError> {
        let mut snapshot = Snapshot::default();
        let state = State { store, peers: BTreeMap::from([(id, peer.clone())]) };
        snapshot.data = serde_json::to_vec(&state)?.into();
        let metadata = snapshot.mut_metadata();
        (metadata.index, metadata.term) = (1, 1);
        metadata.mut_conf_state().voters = vec![id];
        let mut log = Log::beginning_with(snapshot, 1);
        let writes = log.put_first();
        let mut member = Self::over(log, id, peer.node, timing, seed, now)?;
        member.writes = writes;
        member.raft.campaign()?;
        member.observe();
        Ok(member)
    }

    /// A manager that others will take into their group; it knows nothing yet.
    ///
    /// # Errors
    /// As [`Member::create`].
    pub fn join(id: u64, node: &str, timing: Timing, seed: [u8; 32], now: Timestamp) -> Result<Self, RestoreError> {
        let mut log = Log::default();
        let writes = log.put_first();
        let mut member = Self::over(log, id, node.to_owned(), timing, seed, now)?;
        member.writes = writes;
        Ok(member)
    }

    /// A manager whose engine was started again.
    ///
    /// # Errors
    /// Records that are damaged.
    pub fn restore(
        id: u64,
        node: &str,
        records: Vec<(String, Bytes)>,
        timing: Timing,
        seed: [u8; 32],
        now: Timestamp,
    ) -> Result<Self, RestoreError> {
        match Log::restore(records)? {
            Some(log) => Self::over(log, id, node.to_owned(), timing, seed, now),
            None => Self::join(id, node, timing, seed, now),
        }
    }

    /// Goes on as the only manager with all that this one knows to be agreed on: the way out when the others are lost.
    ///
    /// # Errors
    /// As [`Member::restore`].
    pub fn force_new(
        id: u64,
        peer: Peer,
        records: Vec<(String, Bytes)>,
        timing: Timing,
        seed: [u8; 32],
        now: Timestamp,
    ) -> Result<Self, RestoreError> {
        let mut old = Self::restore(id, &peer.node, records, timing, seed, now)?.with_agreed()?;
        let term = old.raft.raft.term;
        let mut store = std::mem::take(&mut old.store);
        store.demote_all_but(&peer.node, now);
        let mut snapshot = Snapshot::default();
        let state = State { store, peers: BTreeMap::from([(id, peer.clone())]) };
        snapshot.data = serde_json::to_vec(&state)?.into();
        let metadata = snapshot.mut_metadata();
        (metadata.index, metadata.term) = (old.applied + 1, term + 1);
        metadata.mut_conf_state().voters = vec![id];
        let mut log = std::mem::take(old.raft.mut_store());
        let writes = log.begin_again(snapshot, term + 1);
        let mut member = Self::over(log, id, peer.node, timing, seed, now)?;
        member.writes = writes;
        member.raft.campaign()?;
        member.observe();
        Ok(member)
    }

    /// Carries out what the log says is agreed on.
    fn with_agreed(mut self) -> Result<Self, RestoreError> {
        let commit = self.raft.store().hard_state().commit;
        let entries: Vec<Entry> =
            self.raft.store().entries_to(commit).iter().filter(|entry| entry.index > self.applied).cloned().collect();
        for entry in entries {
            self.applied = entry.index;
            if entry.entry_type == EntryType::EntryNormal && !entry.data.is_empty() {
                serde_json::from_slice::<Delta>(&entry.data)?.apply(&mut self.store);
            }
        }
        Ok(self)
    }

    fn over(
        log: Log,
        id: u64,
        node: String,
        timing: Timing,
        seed: [u8; 32],
        now: Timestamp,
    ) -> Result<Self, RestoreError> {
        let data = log.snapshot_data();
        let state = if data.is_empty() {
            State { store: Store::default(), peers: BTreeMap::new() }
        } else {
            serde_json::from_slice(&data)?
        };
        let applied = log.snapshot_index();
        let configuration = log.configuration().clone();
        let config = Config {
            id,
            applied,
            election_tick: timing.election_ticks,
            heartbeat_tick: timing.heartbeat_ticks,
            max_size_per_msg: MESSAGE_SIZE,
            max_inflight_msgs: 256,
            // A leader that hears of no majority any more must not go on telling so, and a member that was cut off must
            // not unseat a leader that all others follow.
            check_quorum: true,
            pre_vote: true,
            ..Config::default()
        };
        let logger = slog::Logger::root(slog::Discard, slog::o!());
        let mut member = Self {
            raft: RawNode::new(&config, log, &logger)?,
            node,
            random: Random::new(seed),
            timing,
            now,
            next_tick: later(now, timing.tick),
            store: state.store,
            applied,
            configuration,
            peers: state.peers,
            leading: None,
            heard: BTreeMap::new(),
            failed: BTreeSet::new(),
            removed: false,
            wants_snapshot: false,
            sent_whole: BTreeMap::new(),
            seen: (StateRole::Follower, 0),
            turns: 0,
            votes: BTreeMap::new(),
            epochs: 0,
            led: now,
            writes: Vec::new(),
            changes: Vec::new(),
            outbox: Vec::new(),
        };
        member.observe();
        Ok(member)
    }

    /// This member's number in the group.
    pub fn id(&self) -> u64 {
        self.raft.raft.id
    }

    /// The store as far as this member knows it to be agreed on.
    pub fn store(&self) -> &Store {
        &self.store
    }

    /// The cluster's control loops, while this member leads.
    pub fn manager(&self) -> Option<&Manager> {
        self.leading.as_ref().map(|leading| &leading.manager)
    }

    /// The group goes on without this member.
    pub fn is_removed(&self) -> bool {
        self.removed
    }

    /// Time has come: ticks raft, runs the loops.
    pub fn advance(&mut self, now: Timestamp) {
        self.set_clock(now);
        if self.next_tick <= self.now {
            // A late tick is one tick: nothing was heard because nobody listened.
            self.next_tick = later(self.now, self.timing.tick);
            self.raft.tick();
            self.observe();
            self.tend();
            self.send_whole_again();
        }
        self.step();
    }

    /// When [`Member::advance`] has something to do.
    pub fn next_deadline(&self) -> Timestamp {
        self.manager().and_then(Manager::next_deadline).map_or(self.next_tick, |due| due.min(self.next_tick))
    }

    /// Timers go by time that passes, not by what the clock is set to.
    fn set_clock(&mut self, now: Timestamp) {
        let jump = now.as_nanosecond() - self.now.as_nanosecond();
        let most = i128::from(CLOCK_JUMP.max(2 * self.timing.tick));
        if jump < 0 || jump > most {
            let jump = i64::try_from(jump).unwrap_or(if jump < 0 { i64::MIN } else { i64::MAX });
            self.next_tick = later(self.next_tick, jump);
            self.led = later(self.led, jump);
            for at in self.heard.values_mut() {
                *at = later(*at, jump);
            }
            if let Some(leading) = &mut self.leading {
                leading.manager.clock_was_set(jump);
            }
        }
        self.now = now;
    }

    fn step(&mut self) {
        self.tell_manager();
        let Some(leading) = &mut self.leading else { return };
        leading.manager.step(self.now);
        let version = leading.manager.store().version;
        leading.held.extend(leading.manager.take_messages().into_iter().map(|message| (version, message)));
    }

    /// Changes the cluster; `None` where this member does not lead. The change holds when [`Member::outcome`] says so.
    pub fn change<T>(&mut self, now: Timestamp, change: impl FnOnce(&mut Manager) -> T) -> Option<(T, Ticket)> {
        self.set_clock(now);
        self.tell_manager();
        let leading = self.leading.as_mut()?;
        let result = change(&mut leading.manager);
        self.step();
        self.ticket().map(|ticket| (result, ticket))
    }

    /// As [`Member::change`] for what the store does not speak of, e.g. heartbeats: the loops do not run.
    pub fn touch<T>(&mut self, now: Timestamp, change: impl FnOnce(&mut Manager) -> T) -> Option<T> {
        self.set_clock(now);
        self.leading.as_mut().map(|leading| change(&mut leading.manager))
    }

    /// A ticket for all that the leader's store holds now.
    pub fn ticket(&self) -> Option<Ticket> {
        self.leading.as_ref().map(|leading| Ticket { epoch: leading.epoch, version: leading.manager.store().version })
    }

    /// Whether a change is agreed on; `None` while that is open.
    pub fn outcome(&self, ticket: Ticket) -> Option<Result<(), LostLeadership>> {
        match &self.leading {
            Some(leading) if leading.epoch == ticket.epoch => (leading.agreed >= ticket.version).then_some(Ok(())),
            _ => Some(Err(LostLeadership)),
        }
    }

    /// A message from another member.
    ///
    /// # Errors
    /// Bytes that are no message. One for somebody else is ignored.
    pub fn receive(&mut self, now: Timestamp, message: Bytes) -> Result<(), CodecError> {
        self.set_clock(now);
        let message = decode_message(message)?;
        if message.to != self.id() {
            return Ok(());
        }
        self.heard.insert(message.from, self.now);
        self.failed.remove(&message.from);
        if matches!(message.msg_type, MessageType::MsgRequestVoteResponse | MessageType::MsgRequestPreVoteResponse) {
            self.votes.insert(message.from, !message.reject);
        }
        // What raft cannot use (e.g. an answer from a member that was removed) it says so, and nothing else happens.
        let _ = self.raft.step(message);
        self.observe();
        Ok(())
    }

    /// A message to a member could not be sent.
    pub fn unreachable(&mut self, id: u64) {
        self.failed.insert(id);
        self.raft.report_unreachable(id);
        if self.sent_whole.remove(&id).is_some() {
            self.raft.report_snapshot(id, SnapshotStatus::Failure);
        }
    }

    /// What is to be written and sent; `None` for nothing. Until [`Member::stored`] is told of its number, more may come.
    pub fn ready(&mut self, now: Timestamp) -> Option<Work> {
        self.set_clock(now);
        self.propose();
        if !self.raft.has_ready() {
            let writes = std::mem::take(&mut self.writes);
            return (!writes.is_empty()).then(|| Work { writes, ..Work::default() });
        }
        let mut ready = self.raft.ready();
        let mut work = Work { number: ready.number(), writes: std::mem::take(&mut self.writes), ..Work::default() };
        work.send = self.encode(ready.take_messages());
        let snapshot = ready.snapshot().clone();
        let (hard_state, entries, must_sync) = (ready.hs().cloned(), ready.take_entries(), ready.must_sync());
        if snapshot.get_metadata().index != 0 {
            self.install(&snapshot);
            work.writes.extend(self.raft.mut_store().replace(snapshot, hard_state.as_ref()));
        }
        if must_sync {
            work.writes.extend(self.raft.mut_store().keep(hard_state.as_ref(), &entries));
        } else if let Some(state) = hard_state {
            self.raft.mut_store().commit(state.commit);
        }
        let committed = ready.take_committed_entries();
        work.send_stored = self.encode(ready.take_persisted_messages());
        self.raft.advance_append_async(ready);
        for entry in committed {
            self.apply(entry);
        }
        self.tell_applied();
        work.writes.extend(self.compact());
        self.observe();
        Some(work)
    }

    /// The writes of the work with this number will last.
    pub fn stored(&mut self, number: u64) {
        if number != 0 {
            self.raft.on_persist_ready(number);
            self.tell_applied();
            self.observe();
        }
    }

    /// Messages for nodes, by node ID, that speak of what is agreed on.
    pub fn take_messages(&mut self) -> Vec<(String, FromManager)> {
        if let Some(leading) = &mut self.leading {
            while leading.held.front().is_some_and(|(version, _)| *version <= leading.agreed) {
                self.outbox.extend(leading.held.pop_front().map(|(_, message)| message));
            }
        }
        std::mem::take(&mut self.outbox)
    }

    /// Changes that are agreed on since the last call, for the event stream.
    pub fn take_changes(&mut self) -> Vec<Change> {
        std::mem::take(&mut self.changes)
    }

    fn encode(&self, messages: Vec<Message>) -> Vec<(u64, Bytes)> {
        messages.into_iter().filter_map(|message| Some((message.to, encode_message(&message)?))).collect()
    }

    /// Proposes what the loops have changed.
    fn propose(&mut self) {
        let Some(leading) = &mut self.leading else { return };
        let Some(delta) = leading.proposed.advance(&mut leading.manager.store) else { return };
        let version = leading.proposed.version();
        // These types have no map with keys that JSON could not write.
        let data = serde_json::to_vec(&delta).unwrap_or_default();
        match self.raft.propose(Vec::new(), data) {
            Ok(()) => leading.waiting.push_back((self.raft.raft.raft_log.last_index(), version)),
            // Leadership is being handed over. Who waits for this change learns that it failed, and the next leader begins
            // from what is agreed on.
            Err(_) => self.leading = None,
        }
    }

    /// Raft counts what is carried out only as far as it is on disk; a snapshot comes to be there later.
    fn tell_applied(&mut self) {
        let log = &self.raft.raft.raft_log;
        if log.applied < self.applied && self.applied <= log.committed.min(log.persisted) {
            self.raft.advance_apply_to(self.applied);
        }
    }

    fn apply(&mut self, entry: Entry) {
        self.applied = entry.index;
        match entry.entry_type {
            EntryType::EntryNormal if entry.data.is_empty() => {}
            EntryType::EntryNormal => match serde_json::from_slice::<Delta>(&entry.data) {
                Ok(delta) => self.changes.extend(delta.apply(&mut self.store)),
                // All members read the same bytes: none carries it out.
                Err(_) => debug_assert!(false, "an entry of the log is not a change of the store"),
            },
            EntryType::EntryConfChange | EntryType::EntryConfChangeV2 => self.apply_membership(&entry),
        }
        if let Some(leading) = &mut self.leading
            && entry.term == leading.term
        {
            while leading.waiting.front().is_some_and(|(index, _)| *index <= entry.index) {
                leading.agreed = leading.waiting.pop_front().map_or(leading.agreed, |(_, version)| version);
            }
        }
    }

    fn install(&mut self, snapshot: &Snapshot) {
        // Made by a member like this one. Should it not be readable, the store stays as it is and the next one is tried.
        if let Ok(state) = serde_json::from_slice::<State>(&snapshot.data) {
            self.store = state.store;
            self.peers = state.peers;
        }
        self.applied = snapshot.get_metadata().index;
        self.configuration = snapshot.get_metadata().get_conf_state().clone();
    }

    fn compact(&mut self) -> Vec<Write> {
        let raft = self.store.cluster.as_ref().and_then(|cluster| cluster.spec.raft.as_ref());
        let interval = raft.and_then(|raft| raft.snapshot_interval).unwrap_or(10_000);
        let kept = raft.and_then(|raft| raft.log_entries_for_slow_followers).unwrap_or(500);
        let log = self.raft.store();
        let behind = self.applied.saturating_sub(log.snapshot_index());
        let large = log.size() > SMALL_LOG && log.size() > LOG_TO_STORE * log.snapshot_data().len();
        if behind == 0 || !(behind >= interval.max(1) || large || self.wants_snapshot) {
            return Vec::new();
        }
        self.wants_snapshot = false;
        let mut snapshot = Snapshot::default();
        let state = State { store: self.store.clone(), peers: self.peers.clone() };
        snapshot.data = serde_json::to_vec(&state).unwrap_or_default().into();
        let metadata = snapshot.mut_metadata();
        (metadata.index, metadata.term) = (self.applied, self.raft.store().term_at(self.applied));
        metadata.set_conf_state(self.configuration.clone());
        self.raft.mut_store().compact(snapshot, kept)
    }

    /// Follows raft's own state: begins and ends to lead, draws election time-outs.
    fn observe(&mut self) {
        let raft = &self.raft.raft;
        if (raft.state, raft.term) != self.seen {
            self.seen = (raft.state, raft.term);
            self.turns += 1;
            self.votes = BTreeMap::from([(raft.id, true)]);
        }
        // The library's own draw comes from the process's randomness; this one is reproducible.
        let drawn = Sha256::new()
            .chain_update(raft.id.to_le_bytes())
            .chain_update(raft.term.to_le_bytes())
            .chain_update(self.turns.to_le_bytes())
            .finalize();
        let ticks = self.timing.election_ticks;
        self.raft.raft.set_randomized_election_timeout(ticks + usize::from(drawn[0]) % ticks.max(1));
        let raft = &self.raft.raft;
        if raft.leader_id != 0 {
            self.led = self.now;
        }
        let leads = raft.state == StateRole::Leader;
        let term = raft.term;
        if self.leading.as_ref().is_some_and(|leading| !leads || leading.term != term) {
            self.leading = None;
        }
        // Everything of earlier terms is carried out when the first entry of this one is; and nothing of an earlier time as
        // the leader of this term may be under way.
        let begins = leads && self.leading.is_none() && raft.lead_transferee.is_none();
        if begins && self.raft.store().term_at(self.applied) == term && raft.raft_log.last_index() == self.applied {
            self.epochs += 1;
            let manager = Manager::new(self.store.clone(), self.random.bytes(), self.now);
            let proposed = Proposed::of(&self.store);
            self.leading = Some(Leading {
                term,
                epoch: self.epochs,
                proposed,
                agreed: self.store.version,
                manager,
                waiting: VecDeque::new(),
                held: VecDeque::new(),
            });
            self.step();
        }
    }
}
