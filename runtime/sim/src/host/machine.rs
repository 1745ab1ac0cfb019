use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use docklab_host::{HostError, HostInfo, HostResult, Machine, Records, Volumes};
use futures::future::BoxFuture;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::SimHost;
use crate::{fs::Tree, node::Node, world::lock};

/// Bytes of memory of a node.
pub(crate) const MEMORY: u64 = 4 << 30;
pub(crate) const KERNEL: &str = "6.12.0-docklab-sim";

/// One record of an engine, as [`Node::export_records`] gives it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SavedRecord {
    pub kind: String,
    pub key: String,
    /// Hexadecimal.
    pub value: String,
}

impl Node {
    /// Every record of this node's engine, for a page that keeps a session.
    pub fn export_records(&self) -> Vec<SavedRecord> {
        lock(&self.records)
            .iter()
            .map(|((kind, key), value)| SavedRecord { kind: kind.clone(), key: key.clone(), value: hex::encode(value) })
            .collect()
    }
    /// Replaces all records. A value that is not hexadecimal is an error, and nothing is changed then.
    pub fn import_records(&self, saved: &[SavedRecord]) -> HostResult<()> {
        let mut records = std::collections::BTreeMap::new();
        for record in saved {
            let value = hex::decode(&record.value).map_err(|cause| HostError::other("import record", cause))?;
            records.insert((record.kind.clone(), record.key.clone()), Bytes::from(value));
        }
        *lock(&self.records) = records;
        Ok(())
    }
}

#[async_trait]
impl Machine for SimHost {
    fn now(&self) -> Timestamp {
        self.node.world().clock.now()
    }
    fn sleep(&self, duration: Duration) -> BoxFuture<'static, ()> {
        Box::pin(self.node.world().clock.sleep(duration))
    }
    fn spawn(&self, task: BoxFuture<'static, ()>) {
        self.node.world().spawn(self.life.bind(task));
    }
    fn random(&self, buffer: &mut [u8]) {
        self.node.world().random.fill(buffer);
    }
    fn info(&self) -> HostInfo {
        HostInfo {
            hostname: self.node.name().to_owned(),
            operating_system: "docklab simulator".into(),
            kernel_version: KERNEL.into(),
            machine: "x86_64".into(),
            cpus: 2,
            memory: MEMORY,
            cgroup_version: 2,
            root_dir: "/var/lib/docker".into(),
            kind: "sim",
            warnings: Vec::new(),
        }
    }
}

#[async_trait]
impl Records for SimHost {
    async fn load_records(&self, kind: &str) -> HostResult<Vec<(String, Bytes)>> {
        let records = lock(&self.node.records);
        Ok(records
            .range((kind.to_owned(), String::new())..)
            .take_while(|((other, _), _)| other == kind)
            .map(|((_, key), value)| (key.clone(), value.clone()))
            .collect())
    }
    async fn put_record(&self, kind: &str, key: &str, value: Bytes) -> HostResult<()> {
        lock(&self.node.records).insert((kind.to_owned(), key.to_owned()), value);
        Ok(())
    }
    async fn delete_record(&self, kind: &str, key: &str) -> HostResult<()> {
        lock(&self.node.records).remove(&(kind.to_owned(), key.to_owned()));
        Ok(())
    }
}

#[async_trait]
impl Volumes for SimHost {
    async fn create_volume(&self, name: &str) -> HostResult<String> {
        lock(&self.node.volumes)
            .entry(name.to_owned())
            .or_insert_with(|| std::sync::Arc::new(std::sync::Mutex::new(Tree::default())));
        Ok(format!("/var/lib/docker/volumes/{name}/_data"))
    }
    async fn remove_volume(&self, name: &str) -> HostResult<()> {
        lock(&self.node.volumes).remove(name).map(|_| ()).ok_or_else(|| HostError::not_found("volume", name))
    }
    async fn volume_size(&self, name: &str) -> HostResult<u64> {
        let volume = lock(&self.node.volumes).get(name).cloned().ok_or_else(|| HostError::not_found("volume", name))?;
        let size = lock(&volume).total_bytes();
        Ok(size)
    }
}
