use std::{
    ops::Deref,
    sync::{Arc, Mutex},
    time::Duration,
};

use docklab_api::ApiResult;
use docklab_host::Host;

use crate::{
    EventBus, activity::ActivityLog, build, containers::Containers, exec::Execs, image::ImageStore, networks::Networks,
    ports::PortTable, prune::Pruning, records, swarm::Swarm, volumes::Volumes,
};

/// What differs between engines; the defaults are Docker's.
#[derive(Debug, Clone)]
pub struct EngineOptions {
    /// Labels of the daemon (`docker info`, `engine.labels` in placement constraints).
    pub labels: Vec<String>,
    /// Registries or repositories that are answered elsewhere: `docker.io` and the base URL of a mirror. The longest name
    /// that fits counts.
    pub mirrors: Vec<(String, String)>,
    /// The unit of a swarm's elections: managers hear of their leader every tick and choose another after ten to twenty
    /// without. Docker's is a second. The same on all managers of a swarm.
    pub raft_tick: Duration,
}

impl Default for EngineOptions {
    fn default() -> Self {
        Self { labels: Vec::new(), mirrors: Vec::new(), raft_tick: Duration::from_secs(1) }
    }
}

/// One Docker engine on one machine. Cheap to clone; all clones are the same engine.
#[derive(Clone)]
pub struct Engine {
    inner: Arc<Inner>,
}

/// The parts of an engine. Modules reach them through `Engine`'s `Deref`.
pub struct Inner {
    pub(crate) host: Arc<dyn Host>,
    pub(crate) options: EngineOptions,
    /// The engine's own ID, the same after every restart.
    pub(crate) id: String,
    pub events: EventBus,
    pub(crate) activity: ActivityLog,
    /// What explains the next build's cache misses.
    pub(crate) build_memory: Mutex<build::Memory>,
    pub(crate) images: ImageStore,
    pub(crate) containers: Containers,
    pub(crate) execs: Execs,
    pub(crate) networks: Networks,
    pub(crate) volumes: Volumes,
    pub(crate) ports: Mutex<PortTable>,
    pub(crate) pruning: Pruning,
    pub(crate) swarm: Swarm,
}

impl Deref for Engine {
    type Target = Inner;
    fn deref(&self) -> &Inner {
        &self.inner
    }
}

impl Engine {
    /// Opens the engine whose records `host` keeps: loads images, networks, volumes and containers, finds running
    /// containers again and applies restart policies.
    pub async fn open(host: Arc<dyn Host>, options: EngineOptions) -> ApiResult<Self> {
        let inner = Inner {
            id: engine_id(&*host).await?,
            events: EventBus::new(Arc::clone(&host)),
            activity: ActivityLog::new(Arc::clone(&host)),
            build_memory: Mutex::default(),
            images: ImageStore::open(&*host).await?,
            containers: Containers::default(),
            execs: Execs::default(),
            networks: Networks::default(),
            volumes: Volumes::default(),
            ports: Mutex::default(),
            pruning: Pruning::default(),
            swarm: Swarm::default(),
            host,
            options,
        };
        let engine = Self { inner: Arc::new(inner) };
        engine.open_networks().await?;
        engine.open_volumes().await?;
        engine.open_containers().await?;
        engine.resume_swarm().await?;
        Ok(engine)
    }
}

/// The engine's UUID: drawn once, then kept.
async fn engine_id(host: &dyn Host) -> ApiResult<String> {
    const KIND: &str = "engine";
    if let Some((_, id)) = records::load::<String>(host, KIND).await?.into_iter().find(|(key, _)| key == "id") {
        return Ok(id);
    }
    let mut bytes = [0; 16];
    host.random(&mut bytes);
    // Version 4, variant 1.
    bytes[6] = bytes[6] & 0x0f | 0x40;
    bytes[8] = bytes[8] & 0x3f | 0x80;
    let digits = hex::encode(bytes);
    let groups = [0..8, 8..12, 12..16, 16..20, 20..32].map(|range| digits.get(range).unwrap_or_default());
    let id = groups.join("-");
    records::put(host, KIND, "id", &id).await?;
    Ok(id)
}
