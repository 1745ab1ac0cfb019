//! The machines of a session, and what can be done to them beside Docker.

use std::time::Duration;

use serde::{Deserialize, Serialize};

/// How a node stands, whatever a swarm thinks of it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum NodeState {
    #[default]
    Running,
    /// Every process stands still.
    Paused,
    /// Off the LAN.
    Cut,
    /// What goes to and from it takes longer.
    Slow,
    /// Without power; what it has stored is still there.
    Killed,
}

impl NodeState {
    /// For the styles, and for readers where it is not what it should be.
    pub fn word(self) -> &'static str {
        match self {
            Self::Running => "running",
            Self::Paused => "paused",
            Self::Cut => "cut off",
            Self::Slow => "slow",
            Self::Killed => "switched off",
        }
    }
}

/// A node of the session.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
pub struct NodePlace {
    pub name: String,
    #[serde(default)]
    pub state: NodeState,
}

/// Something that befalls a node.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "fault", rename_all = "lowercase")]
pub enum Fault {
    /// The power goes: every process ends at once, files stay.
    Kill,
    Pause,
    Resume,
    /// Off the LAN, or only its link to one other node.
    Cut {
        #[serde(skip_serializing_if = "Option::is_none")]
        other: Option<String>,
    },
    /// Milliseconds more, each way.
    Slow {
        delay: u64,
    },
    /// Undoes all of these.
    Heal,
    /// Takes it out of the session for good.
    Remove,
}

impl Fault {
    /// The command that does it.
    pub fn command(&self, node: &str) -> String {
        match self {
            Self::Kill => format!("docklab session kill {node}"),
            Self::Pause => format!("docklab session pause {node}"),
            Self::Resume => format!("docklab session resume {node}"),
            Self::Cut { other: None } => format!("docklab session cut {node}"),
            Self::Cut { other: Some(other) } => format!("docklab session cut {node} {other}"),
            Self::Slow { delay } => format!("docklab session slow {node} {delay}"),
            Self::Heal => format!("docklab session heal {node}"),
            Self::Remove => format!("docklab session rm --node {node}"),
        }
    }
}

/// Time that can be stopped. Only a simulated session has it.
pub trait SessionTime: Send + Sync {
    fn now(&self) -> jiff::Timestamp;
    /// Simulated seconds in each second; 0 while it is stopped.
    fn speed(&self) -> f64;
    fn set_speed(&self, speed: f64);
    /// Goes on until something in the swarm changes, or without a swarm to the next thing that waits for time. Returns how
    /// much time has passed.
    fn step(&self) -> Duration;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fault_is_written_as_the_server_reads_it() {
        let json = |fault: &Fault| serde_json::to_string(fault).unwrap();
        assert_eq!(json(&Fault::Kill), r#"{"fault":"kill"}"#);
        assert_eq!(json(&Fault::Cut { other: None }), r#"{"fault":"cut"}"#);
        assert_eq!(json(&Fault::Cut { other: Some("node2".into()) }), r#"{"fault":"cut","other":"node2"}"#);
        assert_eq!(json(&Fault::Slow { delay: 40 }), r#"{"fault":"slow","delay":40}"#);
        let place: NodePlace =
            serde_json::from_str(r#"{"name":"node2","state":"killed","address":"1.2.3.4"}"#).unwrap();
        assert_eq!(place, NodePlace { name: "node2".into(), state: NodeState::Killed });
    }
}
