//! What can be done to a session's nodes and links.

use std::{path::Path, time::Duration};

use anyhow::{Context as _, Result, bail};
use docklab_linux::{FirstProcess, Lan};
use serde::Deserialize;

use super::{
    Node, NodeState, Session, boot,
    record::{self, NodeRecord, Record, RecordFile},
};

/// A change of one node. As JSON, `fault` is the name in small letters.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(tag = "fault", rename_all = "lowercase")]
pub(crate) enum Fault {
    /// The power goes: every process ends at once, files stay.
    Kill,
    /// Everything stands still, as a machine does that has no memory left.
    Pause,
    Resume,
    /// Off the LAN, or only its link to one other node, both ways.
    Cut {
        #[serde(default)]
        other: Option<String>,
    },
    /// Everything takes so many milliseconds longer, each way.
    Slow {
        delay: u64,
    },
    /// Undoes all of these: boots it, lets it go on, plugs it in.
    Heal,
    Remove,
}

impl Session {
    /// Does something to a node; returns the state that it is in afterwards, if it is still there.
    pub(crate) async fn inflict(&self, node: &str, fault: &Fault) -> Result<Option<NodeState>> {
        let directory = self.directory()?;
        let _lock = record::lock(directory).await?;
        let file = RecordFile::of(directory);
        let mut record = file.load()?;
        record.node(node)?;
        let outcome = inflict(directory, &mut record, node, fault).await;
        // What was done before something failed is done.
        file.store(&record)?;
        outcome?;
        let state = record.nodes.iter().find(|known| known.name == node);
        Ok(state.and_then(|known| Node::of(directory, known).place).map(|place| place.state))
    }

    /// Adds a node, under a name of its choice if none is given, and returns the name.
    pub(crate) async fn add_node(&self, name: Option<&str>) -> Result<String> {
        self.extend(|record| {
            let name = name.map_or_else(|| record.next_name(), ToOwned::to_owned);
            record.add(&name)?;
            Ok(name)
        })
        .await
    }

    /// Adds nodes of these names.
    pub(crate) async fn add_nodes(&self, names: &[String]) -> Result<()> {
        if names.is_empty() {
            return Ok(());
        }
        self.extend(|record| names.iter().try_for_each(|name| record.add(name))).await
    }

    async fn extend<T>(&self, change: impl FnOnce(&mut Record) -> Result<T>) -> Result<T> {
        let directory = self.directory()?;
        let _lock = record::lock(directory).await?;
        let file = RecordFile::of(directory);
        let mut record = file.load()?;
        let added = change(&mut record)?;
        let outcome = boot::start(directory, &mut record).await;
        // Also after a failure: what has begun must be found again, to be ended.
        file.store(&record)?;
        outcome?;
        Ok(added)
    }

    /// Undoes every fault of every node.
    pub(crate) async fn heal_all(&self) -> Result<()> {
        let Self::Own { .. } = self else { return Ok(()) };
        for node in self.nodes()? {
            self.inflict(&node.name, &Fault::Heal).await?;
        }
        Ok(())
    }
}

async fn inflict(directory: &Path, record: &mut Record, name: &str, fault: &Fault) -> Result<()> {
    let session = record.first_process.filter(FirstProcess::is_alive).context("the session does not run")?;
    let lan = Lan::of(&session)?;
    match fault {
        Fault::Kill => kill(record.node(name)?).await,
        Fault::Pause | Fault::Resume => set_paused(record.node(name)?, *fault == Fault::Pause).await,
        Fault::Cut { other: None } => {
            let node = running(record.node(name)?)?;
            lan.set_connected(name, false)?;
            node.is_cut = true;
            Ok(())
        }
        Fault::Cut { other: Some(other) } => {
            if other == name {
                bail!("a node has no link to itself");
            }
            record.node(other)?;
            for pair in [(name.to_owned(), other.clone()), (other.clone(), name.to_owned())] {
                if !record.cuts.contains(&pair) {
                    record.cuts.push(pair);
                }
            }
            Ok(lan.set_cuts(&record.cuts)?)
        }
        Fault::Slow { delay } => {
            let node = running(record.node(name)?)?;
            let first = node.first_process.context("the node does not run")?;
            lan.slow(&first, name, Duration::from_millis(*delay))?;
            node.delay = *delay;
            Ok(())
        }
        Fault::Heal => heal(directory, record, name, session, &lan).await,
        Fault::Remove => {
            if record.nodes.len() == 1 {
                bail!("this is the session's last node; `docklab session rm` removes the session");
            }
            kill(record.node(name)?).await?;
            record.cuts.retain(|(from, to)| from != name && to != name);
            lan.set_cuts(&record.cuts)?;
            boot::remove_node(&directory.join(name)).await?;
            record.nodes.retain(|node| node.name != name);
            Ok(())
        }
    }
}

/// A paused or killed node has no link to work on.
fn running(node: &mut NodeRecord) -> Result<&mut NodeRecord> {
    if !node.is_running() {
        bail!("{0} does not run; `docklab session heal {0}` boots it", node.name);
    }
    Ok(node)
}

async fn kill(node: &mut NodeRecord) -> Result<()> {
    node.is_paused = false;
    node.is_cut = false;
    node.delay = 0;
    if let Some(first) = node.first_process {
        tokio::task::spawn_blocking(move || first.kill()).await?.with_context(|| format!("killing {}", node.name))?;
    }
    Ok(())
}

async fn set_paused(node: &mut NodeRecord, paused: bool) -> Result<()> {
    let first = running(node)?.first_process.context("the node does not run")?;
    tokio::task::spawn_blocking(move || first.set_paused(paused)).await??;
    node.is_paused = paused;
    Ok(())
}

async fn heal(directory: &Path, record: &mut Record, name: &str, session: FirstProcess, lan: &Lan) -> Result<()> {
    let cuts = record.cuts.len();
    record.cuts.retain(|(from, to)| from != name && to != name);
    if record.cuts.len() != cuts {
        lan.set_cuts(&record.cuts)?;
    }
    let is_first = record.nodes.first().is_some_and(|first| first.name == name);
    let stands_in_for_hub = record.stands_in_for_hub;
    let node = record.node(name)?;
    if node.is_running() {
        if node.is_paused {
            set_paused(node, false).await?;
        }
        if node.is_cut || !lan.is_connected(name)? {
            lan.set_connected(name, true)?;
            node.is_cut = false;
        }
        if let (Some(first), true) = (node.first_process, node.delay > 0) {
            lan.slow(&first, name, Duration::ZERO)?;
            node.delay = 0;
        }
    } else {
        // A new cable is whole.
        (node.is_paused, node.is_cut, node.delay) = (false, false, 0);
    }
    *node = boot::boot_node(directory, session, node.clone(), stands_in_for_hub, is_first).await?;
    Ok(())
}
