//! What a session remembers, in `session.json` of its directory: who its first processes are, and what was done to its links.

use std::{
    fs::File,
    io::Write as _,
    net::Ipv4Addr,
    path::{Path, PathBuf},
};

use anyhow::{Context as _, Result, bail};
use docklab_linux::FirstProcess;
use serde::{Deserialize, Serialize};

/// The LAN of every session: they never meet, so all have the same.
pub(super) const SUBNET: &str = "192.168.0.0/24";
pub(super) const PREFIX_LENGTH: u8 = 24;
pub(super) const GATEWAY: Ipv4Addr = Ipv4Addr::new(192, 168, 0, 1);
/// Of the first node; the second has the next one.
const FIRST_ADDRESS: u8 = 11;
/// A laptop's worth.
pub(crate) const MOST_NODES: usize = 20;

#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Record {
    pub(super) first_process: Option<FirstProcess>,
    /// Whether docker.io is answered by the session's own registry, because Docker Hub cannot be reached.
    #[serde(default)]
    pub(super) stands_in_for_hub: bool,
    #[serde(default)]
    pub(super) nodes: Vec<NodeRecord>,
    /// Links that are cut in one direction: from, to.
    #[serde(default)]
    pub(super) cuts: Vec<(String, String)>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct NodeRecord {
    pub(super) name: String,
    pub(super) address: Ipv4Addr,
    /// `None`: it has never run since the session began. One that has ended is not to boot by itself.
    pub(super) first_process: Option<FirstProcess>,
    #[serde(default)]
    pub(super) is_paused: bool,
    /// Off the LAN.
    #[serde(default)]
    pub(super) is_cut: bool,
    /// How much longer everything takes to and from it, in milliseconds.
    #[serde(default)]
    pub(super) delay: u64,
}

impl NodeRecord {
    /// A node that has never run.
    pub(super) fn new(name: String, address: Ipv4Addr) -> Self {
        Self { name, address, first_process: None, is_paused: false, is_cut: false, delay: 0 }
    }

    pub(super) fn is_running(&self) -> bool {
        self.first_process.is_some_and(|first| first.is_alive())
    }

    /// Somebody has ended it, from outside or from within.
    pub(super) fn is_killed(&self) -> bool {
        self.first_process.is_some() && !self.is_running()
    }
}

impl Record {
    /// Remembers a further node, with the lowest address that is free.
    pub(super) fn add(&mut self, name: &str) -> Result<()> {
        check_name(name)?;
        if self.nodes.iter().any(|node| node.name == name) {
            bail!("the session has a node `{name}` already");
        }
        if self.nodes.len() >= MOST_NODES {
            bail!("a session has at most {MOST_NODES} nodes");
        }
        let address = (FIRST_ADDRESS..=254)
            .map(|last| Ipv4Addr::new(192, 168, 0, last))
            .find(|address| self.nodes.iter().all(|node| node.address != *address))
            .context("the session's LAN is full")?;
        self.nodes.push(NodeRecord::new(name.to_owned(), address));
        Ok(())
    }

    /// `node1`, `node2`, …: the first that is not there.
    pub(super) fn next_name(&self) -> String {
        (1..)
            .map(|number| format!("node{number}"))
            .find(|name| !self.nodes.iter().any(|node| node.name == *name))
            .unwrap_or_default()
    }

    pub(super) fn node(&mut self, name: &str) -> Result<&mut NodeRecord> {
        let known: Vec<String> = self.nodes.iter().map(|node| node.name.clone()).collect();
        let found = self.nodes.iter_mut().find(|node| node.name == name);
        found.with_context(|| format!("there is no node `{name}`; this session has {}", known.join(", ")))
    }

    /// What `/etc/hosts` of every node says.
    pub(super) fn hosts(&self) -> String {
        let mut text = "127.0.0.1\tlocalhost\n::1\tlocalhost ip6-localhost ip6-loopback\n".to_owned();
        for node in &self.nodes {
            text.push_str(&format!("{}\t{}\n", node.address, node.name));
        }
        text
    }
}

/// A name becomes a host name, a port of the switch (an interface of at most fifteen characters) and a directory.
fn check_name(name: &str) -> Result<()> {
    let fits = |letter: char| letter.is_ascii_lowercase() || letter.is_ascii_digit() || letter == '-';
    if name.is_empty()
        || name.len() > 15
        || !name.chars().all(fits)
        || name.starts_with('-')
        || name == "lan"
        || name == "lo"
    {
        bail!("`{name}` cannot be a node's name: use at most fifteen small letters, digits and dashes");
    }
    Ok(())
}

/// The record of a session's directory.
pub(super) struct RecordFile(PathBuf);

impl RecordFile {
    pub(super) fn of(directory: &Path) -> Self {
        Self(directory.join("session.json"))
    }

    /// Nothing is known of a session that has not begun.
    pub(super) fn load(&self) -> Result<Record> {
        match std::fs::read(&self.0) {
            Ok(bytes) => serde_json::from_slice(&bytes).with_context(|| format!("reading {}", self.0.display())),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(Record::default()),
            Err(error) => Err(error).with_context(|| format!("reading {}", self.0.display())),
        }
    }

    pub(super) fn store(&self, record: &Record) -> Result<()> {
        let text = serde_json::to_vec_pretty(record).context("describing the session")?;
        let new = self.0.with_extension("new");
        std::fs::write(&new, text).with_context(|| format!("writing {}", new.display()))?;
        std::fs::rename(&new, &self.0).with_context(|| format!("writing {}", self.0.display()))?;
        let directory = self.0.parent().unwrap_or(Path::new("."));
        // In place: the file is mounted in every node.
        let hosts = directory.join("hosts");
        let mut file = File::options()
            .create(true)
            .write(true)
            .truncate(true)
            .open(&hosts)
            .with_context(|| format!("writing {}", hosts.display()))?;
        file.write_all(record.hosts().as_bytes()).with_context(|| format!("writing {}", hosts.display()))
    }
}

/// Held while a session changes: the page and a command line may want to at once.
pub(super) async fn lock(directory: &Path) -> Result<File> {
    let path = directory.join("lock");
    tokio::task::spawn_blocking(move || {
        let file = File::options().create(true).append(true).open(&path)?;
        file.lock()?;
        Ok::<File, std::io::Error>(file)
    })
    .await?
    .context("locking the session")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_node_gets_the_lowest_address_and_name_that_are_free() {
        let mut record = Record::default();
        for name in ["node1", "node2", "node3"] {
            record.add(name).unwrap();
        }
        record.nodes.remove(1);
        let name = record.next_name();
        record.add(&name).unwrap();
        assert_eq!(name, "node2");
        assert_eq!(record.node("node2").unwrap().address, Ipv4Addr::new(192, 168, 0, 12));
        assert!(record.hosts().ends_with("192.168.0.11\tnode1\n192.168.0.13\tnode3\n192.168.0.12\tnode2\n"));
    }

    #[test]
    fn a_name_that_would_leave_its_directory_is_refused() {
        let mut record = Record::default();
        for name in ["", "../x", "a b", "node1/..", "a-name-that-is-too-long", "lan"] {
            assert!(record.add(name).is_err(), "{name}");
        }
        record.add("db-1").unwrap();
        assert!(record.add("db-1").is_err());
    }
}
