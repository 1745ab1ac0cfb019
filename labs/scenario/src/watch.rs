use docklab_api::models::EventMessage;
use serde::{Deserialize, Serialize};

use crate::{
    check::{Expectation, Kind},
    document::Step,
};

/// What can turn a step's checks: they are evaluated again when one of these happens, and not otherwise.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Watch {
    /// Event types of the Engine API: `container`, `image`, …
    pub event_types: Vec<String>,
    /// A command that ends inside a container may have changed what is looked at.
    pub execs: bool,
    /// A file of the workspace is looked at: saving one counts as an event.
    pub files: bool,
    /// What is looked at settles some time after its event (a server that starts to listen, tasks of a swarm): after
    /// an event, look again with growing pauses until the next one or until it is green.
    pub settles: bool,
}

/// Reading a container through the API is itself an event.
const READING: &[&str] =
    &["archive-path", "export", "top", "attach", "resize", "exec_create", "exec_start", "exec_detach"];

impl Watch {
    /// What the step's checks and mistakes depend on.
    pub fn of(step: &Step) -> Self {
        let mut watch = Self::default();
        for check in step.checks() {
            let conditions = check.mistakes.iter().flat_map(|mistake| &mistake.when);
            for expectation in check.expectations.iter().chain(conditions) {
                watch.add(expectation);
            }
        }
        watch
    }

    fn add(&mut self, expectation: &Expectation) {
        let types: &[&str] = match expectation.kind {
            Kind::Container | Kind::Exec => &["container"],
            Kind::Image | Kind::Layer | Kind::Registry => &["image"],
            Kind::Network => &["network"],
            Kind::Volume => &["volume"],
            Kind::Http => &["container", "network", "service"],
            Kind::Service | Kind::Task | Kind::Node => &["service", "node", "container"],
            Kind::File => &[],
        };
        for event_type in types {
            if !self.event_types.iter().any(|known| known == event_type) {
                self.event_types.push((*event_type).to_owned());
            }
        }
        self.execs |= expectation.kind == Kind::Exec || expectation.field("changed").is_some();
        self.files |= expectation.kind == Kind::File;
        self.settles |= matches!(
            expectation.kind,
            Kind::Http | Kind::Registry | Kind::Service | Kind::Task | Kind::Node | Kind::Exec
        ) || expectation.field("changed").is_some();
    }

    /// Whether an event may have changed a check. Events that a check caused itself are sorted out by
    /// [`crate::Evaluator::caused`].
    pub fn concerns(&self, event: &EventMessage) -> bool {
        let action = event.action.as_deref().unwrap_or("").split(':').next().unwrap_or("");
        if READING.contains(&action) || (action == "exec_die" && !self.execs) {
            return false;
        }
        let event_type = event.typ.as_ref().map(ToString::to_string).unwrap_or_default();
        self.event_types.contains(&event_type)
    }
}
