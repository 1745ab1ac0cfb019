use std::{collections::HashMap, net::SocketAddr, sync::Arc, time::Duration};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use docklab_api::{ApiError, ApiResult, ContainerApi, Filters, ListContainers, RemoveContainer};
use docklab_host::Link;
use docklab_swarm::{Assignments, FromManager, FromNode, Joined, PrivateKey, TaskAssignment, TaskReport, token_digest};
use tokio::sync::{mpsc, watch};

use super::{
    Engine,
    local_link::LocalLink,
    logs::LogReaders,
    membership::{Membership, manager_address},
    routing::Routing,
    serve::encode,
};

/// Seconds between two attempts to reach the manager, at most.
const MAX_BACKOFF: u64 = 8;

/// After a refusal: a manager takes three registrations in eight seconds.
const RETRY_REFUSED: Duration = Duration::from_secs(3);
/// While the managers have no leader.
const RETRY_LEADER: Duration = Duration::from_secs(1);

/// What the agent's loop hears.
pub(super) enum Event {
    /// From the manager, by session number; `None` is the link's end.
    Message(u64, Option<FromManager>),
    /// A heartbeat is due.
    Beat(u64),
    /// A task's state changed here.
    Report(TaskReport),
    /// Output of a task for the manager.
    Logs {
        request: u64,
        chunk: Option<(bool, Vec<u8>)>,
    },
    Stop,
}

/// What a manager says to a new member.
pub(super) struct JoinedSwarm {
    pub(super) key: PrivateKey,
    pub(super) joined: Joined,
    /// Node ID and address.
    pub(super) managers: Vec<(String, String)>,
}

/// A task that this node has been given.
struct Running {
    duty: watch::Sender<TaskAssignment>,
    last: Option<TaskReport>,
}

struct Session {
    number: u64,
    id: String,
    link: Arc<dyn Link>,
    /// Beats sent since the manager was last heard of.
    unanswered: u32,
}

/// The node's side of the dispatcher: one session with the manager, tasks that outlive it.
struct Agent {
    engine: Engine,
    membership: Arc<Membership>,
    events: mpsc::UnboundedSender<Event>,
    tasks: HashMap<String, Running>,
    routing: Routing,
    logs: LogReaders,
    session: Option<Session>,
    sessions: u64,
    /// Where the leader listens, as the manager that was asked last says.
    leader: Option<String>,
    /// Role and roots as the leader told them last.
    told: Option<(bool, String)>,
    /// Attempts to find a manager that has a session for this node.
    attempts: usize,
}

impl Engine {
    pub(super) fn run_agent(&self, membership: Arc<Membership>) {
        let (events, inbox) = mpsc::unbounded_channel();
        let agent = Agent {
            engine: self.clone(),
            membership: membership.clone(),
            events: events.clone(),
            tasks: HashMap::new(),
            routing: Routing::default(),
            logs: LogReaders::default(),
            session: None,
            sessions: 0,
            leader: None,
            told: None,
            attempts: 0,
        };
        let mut stopped = membership.stopped();
        self.host.spawn(Box::pin(async move {
            // An error is the end of the membership too.
            let _ = stopped.wait_for(|stop| *stop).await;
            let _ = events.send(Event::Stop);
        }));
        self.host.spawn(Box::pin(agent.run(inbox)));
    }

    /// Asks a manager to become a member.
    pub(super) async fn ask_to_join(&self, manager: SocketAddr, token: &str) -> ApiResult<JoinedSwarm> {
        let unavailable = |error: String| {
            ApiError::unavailable(format!(
                "rpc error: code = Unavailable desc = connection error: desc = \"transport: Error while dialing: {error}\""
            ))
        };
        let digest = token_digest(token).ok_or_else(|| ApiError::invalid("invalid join token"))?;
        let link = self.dial_to_join(manager, digest).await.map_err(|error| match error.to_string() {
            text if text.starts_with("remote CA") => ApiError::invalid(text),
            text => unavailable(text),
        })?;
        let key = self.new_key();
        let public_key = STANDARD.encode(key.public_key().map_err(|error| ApiError::system(error.to_string()))?);
        let join = FromNode::Join { token: token.to_owned(), description: self.describe(), public_key };
        link.send(encode(&join)).await.map_err(|error| unavailable(error.to_string()))?;
        let answer = link.receive().await.map_err(|error| unavailable(error.to_string()))?;
        link.close();
        let answer = answer.ok_or_else(|| unavailable(format!("read tcp {manager}: EOF")))?;
        match serde_json::from_slice(&answer) {
            Ok(FromManager::Joined { joined, managers }) => Ok(JoinedSwarm { key, joined, managers }),
            Ok(FromManager::Refused(text)) => Err(ApiError::invalid(text)),
            _ => Err(ApiError::system(format!("{manager} does not answer as a swarm's manager does"))),
        }
    }
}

impl Agent {
    async fn run(mut self, mut inbox: mpsc::UnboundedReceiver<Event>) {
        let mut backoff = 0;
        while !self.membership.is_stopped() {
            if self.session.is_none() {
                match self.connect().await {
                    Ok(()) => backoff = 0,
                    Err(error) => {
                        tracing::debug!(%error, "no session with the manager");
                        backoff = (backoff * 2).clamp(1, MAX_BACKOFF);
                        self.engine.host.sleep(Duration::from_secs(backoff)).await;
                        continue;
                    }
                }
            }
            let Some(event) = inbox.recv().await else { break };
            if matches!(event, Event::Stop) {
                break;
            }
            self.handle(event).await;
        }
        if let Some(session) = &self.session {
            // A manager that cannot be told will miss the heartbeats.
            let _ = session.link.send(encode(&FromNode::Leave)).await;
            session.link.close();
        }
        // Dropping their duty ends the tasks, and their containers with them.
        self.tasks.clear();
        self.engine.remove_task_containers().await;
        self.routing.clear(&self.engine).await;
        self.membership.has_ended();
    }

    async fn connect(&mut self) -> ApiResult<()> {
        let record = self.membership.record();
        let own = self.membership.manager();
        if let Some(manager) = &own {
            // One that has just begun leads in a moment, or hears who does.
            self.engine
                .wait_for_manager(manager, RETRY_LEADER, |member| {
                    member.manager().is_some() || member.leader().is_some()
                })
                .await;
        }
        let link: Arc<dyn Link> = match own.as_ref().filter(|manager| manager.leads()) {
            Some(manager) => {
                let (ours, theirs) = LocalLink::pair(record.address.parse().ok());
                self.engine.serve(manager, Arc::new(theirs));
                Arc::new(ours)
            }
            None => {
                let address = self.leader.take().or_else(|| own.and_then(|manager| manager.leader_address()));
                let others: Vec<&String> = record
                    .managers
                    .iter()
                    .filter(|(node, _)| *node != record.node)
                    .map(|(_, address)| address)
                    .collect();
                // One after the other, so that a manager that is gone does not keep the node from the rest.
                let next = others.get(self.attempts % others.len().max(1)).copied();
                self.attempts += 1;
                let address = address.as_ref().or(next).and_then(|address| manager_address(address));
                let address = address.ok_or_else(|| ApiError::system("this node knows no manager"))?;
                self.engine.dial_manager(address).await.map_err(crate::api_error)?
            }
        };
        let register = FromNode::Register {
            node: record.node,
            secret: record.secret,
            description: self.engine.describe(),
            address: record.address,
        };
        link.send(encode(&register)).await.map_err(crate::api_error)?;
        self.sessions += 1;
        let number = self.sessions;
        let (reader, events) = (link.clone(), self.events.clone());
        self.engine.host.spawn(Box::pin(async move {
            while let Ok(Some(message)) = reader.receive().await {
                let Ok(message) = serde_json::from_slice(&message) else { break };
                if events.send(Event::Message(number, Some(message))).is_err() {
                    return;
                }
            }
            // The agent may have ended first.
            let _ = events.send(Event::Message(number, None));
        }));
        self.session = Some(Session { number, id: String::new(), link, unanswered: 0 });
        // Should the manager not even answer the registration.
        self.beat_after(number, 5_000_000_000);
        Ok(())
    }

    fn beat_after(&self, session: u64, period: i64) {
        let sleep = self.engine.host.sleep(Duration::from_nanos(u64::try_from(period).unwrap_or(0)));
        let events = self.events.clone();
        self.engine.host.spawn(Box::pin(async move {
            sleep.await;
            // The agent may have ended first.
            let _ = events.send(Event::Beat(session));
        }));
    }

    async fn send(&mut self, message: FromNode) {
        let Some(session) = &self.session else { return };
        if session.link.send(encode(&message)).await.is_err() {
            self.drop_session();
        }
    }

    fn drop_session(&mut self) {
        if let Some(session) = self.session.take() {
            session.link.close();
            // So that the loop comes around and connects again, a little later.
            self.beat_after(0, 0);
        }
    }

    async fn handle(&mut self, event: Event) {
        match event {
            Event::Message(number, message) => {
                let Some(session) = self.session.as_mut().filter(|session| session.number == number) else { return };
                session.unanswered = 0;
                match message {
                    None => {
                        self.drop_session();
                        self.engine.host.sleep(Duration::from_secs(1)).await;
                    }
                    Some(message) => self.obey(message).await,
                }
            }
            Event::Beat(number) => {
                let Some(session) = self.session.as_mut().filter(|session| session.number == number) else { return };
                session.unanswered += 1;
                if session.unanswered > 2 || session.id.is_empty() {
                    self.drop_session();
                    return;
                }
                let beat = FromNode::Heartbeat { session: session.id.clone() };
                // Should this one stay without an answer.
                self.beat_after(number, 5_000_000_000);
                self.send(beat).await;
                if let Some((manager, roots)) = self.told.clone() {
                    self.renew(manager, &roots).await;
                }
            }
            Event::Report(report) => {
                if let Some(task) = self.tasks.get_mut(&report.task) {
                    task.last = Some(report.clone());
                }
                self.send(FromNode::Report(vec![report])).await;
            }
            Event::Logs { request, chunk } => self.send(FromNode::Logs { request, chunk }).await,
            Event::Stop => {}
        }
    }

    async fn obey(&mut self, message: FromManager) {
        match message {
            FromManager::Session { session, .. } => {
                let Some(current) = &mut self.session else { return };
                current.id = session;
                // What the manager may have missed.
                let reports: Vec<TaskReport> = self.tasks.values().filter_map(|task| task.last.clone()).collect();
                if !reports.is_empty() {
                    self.send(FromNode::Report(reports)).await;
                }
            }
            // The next beat was set when the last was sent.
            FromManager::Heartbeat { .. }
            | FromManager::Joined { .. }
            | FromManager::Received
            | FromManager::Answer(_)
            | FromManager::Output(_) => {}
            FromManager::Refused(text) => {
                tracing::warn!(text, "the manager refuses this node");
                self.drop_session();
                self.engine.host.sleep(RETRY_REFUSED).await;
            }
            FromManager::NotLeader { leader } => {
                self.drop_session();
                if leader.is_none() {
                    self.engine.host.sleep(RETRY_LEADER).await;
                }
                self.leader = leader;
            }
            FromManager::Certificate { certificate, roots } => {
                let kept = self
                    .engine
                    .remember_member(&self.membership, |record| {
                        record.certificate = certificate;
                        record.roots = roots;
                    })
                    .await;
                if let Err(error) = kept {
                    tracing::error!(%error, "the node's new certificate could not be kept");
                }
            }
            FromManager::Cluster { manager, managers, roots } => {
                self.renew(manager, &roots).await;
                self.told = Some((manager, roots));
                self.engine.follow_role(&self.membership, manager, managers);
            }
            FromManager::Assignments(assignments) => self.apply(assignments).await,
            FromManager::ReadLogs { request, task, follow, tail, since, stdout, stderr } => {
                let query = super::logs::query(follow, tail, since, stdout, stderr);
                self.logs.start(&self.engine, &self.events, request, task, query);
            }
            FromManager::CancelLogs { request } => self.logs.cancel(request),
        }
    }

    /// Asks for a new certificate when one is due.
    async fn renew(&mut self, manager: bool, roots: &str) {
        let record = self.membership.record();
        if !record.must_renew(manager, roots, self.engine.host.now()) {
            return;
        }
        match record.key.public_key() {
            Ok(key) => self.send(FromNode::Renew { public_key: STANDARD.encode(key) }).await,
            Err(error) => tracing::error!(%error, "the node's key cannot be used"),
        }
    }

    /// Networks first, because the tasks need them.
    async fn apply(&mut self, assignments: Assignments) {
        self.routing.apply(&self.engine, &assignments).await;
        self.tasks.retain(|id, _| assignments.tasks.iter().any(|task| task.id == *id));
        for duty in assignments.tasks {
            match self.tasks.get(&duty.id) {
                Some(task) => {
                    task.duty.send_if_modified(|current| {
                        let changed = *current != duty;
                        *current = duty;
                        changed
                    });
                }
                None => {
                    let id = duty.id.clone();
                    let sender = watch::Sender::new(duty);
                    self.engine.run_task(sender.subscribe(), self.events.clone());
                    self.tasks.insert(id, Running { duty: sender, last: None });
                }
            }
        }
    }
}

impl Engine {
    /// When the node has left: nothing of the swarm's tasks stays.
    async fn remove_task_containers(&self) {
        let filters = Filters::new().with("label", super::container::TASK_LABEL);
        let listed = self.list_containers(ListContainers { all: true, filters, ..ListContainers::default() }).await;
        for container in listed.unwrap_or_default() {
            let options = RemoveContainer { force: true, volumes: true, ..RemoveContainer::default() };
            let id = container.id.unwrap_or_default();
            if let Err(error) = self.remove_container(&id, options).await
                && !error.is_not_found()
            {
                tracing::warn!(%error, id, "a task's container could not be removed");
            }
        }
    }
}
