use serde::Serialize;

/// What a check can look at.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    Container,
    Image,
    Layer,
    Network,
    Volume,
    Service,
    Task,
    Node,
    Http,
    File,
    Exec,
    Registry,
}

/// How a field's value is written and compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FieldType {
    /// Equal, or a glob when it holds `*` or `?`.
    Text,
    /// An image reference: without a tag it fits every tag of that repository.
    Image,
    Number,
    Flag,
    /// Several texts; a lone matcher must fit one of them, an array must fit one each.
    List,
    /// One of a closed set of words.
    Word(&'static [&'static str]),
    /// Not compared: it says what to observe.
    Steer,
    /// As `Steer`, a number.
    SteerNumber,
    /// As `Steer`, a table: which containers.
    Selector,
}

/// One field of a kind.
#[derive(Debug, Clone, Copy)]
pub struct Field {
    pub name: &'static str,
    pub kind: FieldType,
    pub help: &'static str,
}

const fn field(name: &'static str, kind: FieldType, help: &'static str) -> Field {
    Field { name, kind, help }
}

use FieldType::{Flag, Image, List, Number, Selector, Steer, SteerNumber, Text, Word};

const NODE: Field = field("node", Text, "the session's node whose engine holds it");

const CONTAINER: &[Field] = &[
    field("name", Text, "its name, without the leading slash"),
    field("image", Image, "the image it was made from"),
    field("command", Text, "entrypoint and arguments, joined by spaces"),
    field(
        "state",
        Word(&["created", "running", "paused", "restarting", "removing", "exited", "dead"]),
        "its state as the engine reports it",
    ),
    field("exit_code", Number, "the exit code of its last run"),
    field("error", Text, "the engine's error when it could not be started"),
    field("publish", List, "published ports as `host:container`, with `/udp` where it is not TCP"),
    field("tty", Flag, "whether it has a terminal (`-t`)"),
    field("stdin", Flag, "whether its standard input is kept open (`-i`)"),
    field("env", List, "environment as `NAME=value`"),
    field("label", List, "labels as `key=value`"),
    field("network", List, "names of the networks it is attached to"),
    field("alias", List, "names under which other containers of its networks find it"),
    field("mount", List, "mounts as `source:destination`"),
    field("restart", Text, "its restart policy"),
    field("health", Word(&["none", "starting", "healthy", "unhealthy"]), "the state of its health check"),
    field("changed", List, "paths that differ from its image, as `docker diff` lists them"),
    NODE,
];

const IMAGE: &[Field] = &[
    field("name", Image, "its tags as `repository:tag`; without a tag every tag fits"),
    field("id", Text, "its ID"),
    field("layers", Number, "how many layers its file system has"),
    field("size", Number, "bytes"),
    field("architecture", Text, "its CPU architecture"),
    field("command", Text, "its default command, joined by spaces"),
    field("entrypoint", Text, "its entrypoint, joined by spaces"),
    field("env", List, "environment as `NAME=value`"),
    field("label", List, "labels as `key=value`"),
    field("port", List, "exposed ports as `80/tcp`"),
    field("history", List, "the instructions that made it, as `docker image history` lists them"),
    field("dangling", Flag, "whether it has no tag"),
    NODE,
];

const LAYER: &[Field] = &[
    field("image", Steer, "the image whose layers are counted"),
    field("with", Steer, "the image it is compared with; absent, the one it shares most with"),
    field("shared", Number, "layers that both have, from the bottom up"),
    field("own", Number, "layers above the shared ones"),
    field("base", Steer, "the image that its Dockerfile stands on, for `cached`"),
    field("cached", Number, "shared layers that are not those of `base`: they came from the build cache"),
    field("total", Number, "all layers of the image"),
    NODE,
];

const NETWORK: &[Field] = &[
    field("name", Text, "its name"),
    field("driver", Text, "`bridge`, `overlay`, …"),
    field("scope", Word(&["local", "swarm", "global"]), "how far it reaches"),
    field("internal", Flag, "whether it has no way out"),
    field("attachable", Flag, "whether containers may join it by hand"),
    field("container", List, "names of the containers attached to it"),
    NODE,
];

const VOLUME: &[Field] = &[
    field("name", Text, "its name"),
    field("driver", Text, "`local`, …"),
    field("label", List, "labels as `key=value`"),
    NODE,
];

const SERVICE: &[Field] = &[
    field("name", Text, "its name"),
    field("image", Image, "the image of its tasks"),
    field("mode", Word(&["replicated", "global", "replicated-job", "global-job"]), "how it is spread"),
    field("replicas", Number, "replicas wanted"),
    field("running", Number, "tasks running now"),
    field("publish", List, "published ports as `published:target`"),
    field("mount", List, "mounts as `source:target`"),
    field("env", List, "environment as `NAME=value`"),
    field(
        "update",
        Word(&["updating", "paused", "completed", "rollback_started", "rollback_paused", "rollback_completed"]),
        "the state of its last update",
    ),
    field("update_message", Text, "the message of its last update"),
];

const TASK_STATES: &[&str] = &[
    "new",
    "allocated",
    "pending",
    "assigned",
    "accepted",
    "preparing",
    "ready",
    "starting",
    "running",
    "complete",
    "shutdown",
    "failed",
    "rejected",
    "remove",
    "orphaned",
];

const TASK: &[Field] = &[
    field("service", Text, "the name of its service"),
    field("slot", Number, "its slot in a replicated service"),
    field("image", Image, "its image"),
    field("state", Word(TASK_STATES), "its state"),
    field("desired", Word(TASK_STATES), "the state the swarm wants for it"),
    field("error", Text, "why it failed"),
    field("node", Text, "the hostname of the node it is assigned to"),
];

const NODE_FIELDS: &[Field] = &[
    field("name", Text, "its hostname"),
    field("role", Word(&["manager", "worker"]), "its role"),
    field("availability", Word(&["active", "pause", "drain"]), "whether it takes tasks"),
    field("state", Word(&["unknown", "down", "ready", "disconnected"]), "whether the managers hear from it"),
    field("leader", Flag, "whether it leads the managers"),
    field("reachability", Word(&["unknown", "unreachable", "reachable"]), "a manager's reachability"),
    field("address", Text, "its address"),
    field("label", List, "labels as `key=value`"),
];

const HTTP: &[Field] = &[
    field("url", Steer, "the address to ask"),
    field("from", Steer, "the node that asks; the first one when absent"),
    field("requests", SteerNumber, "how many times; once when absent"),
    field("status", Number, "the HTTP status of every answer"),
    field("body", Text, "the body of the first answer"),
    field("distinct", Number, "how many different bodies came"),
    field("error", Text, "why there was no answer"),
];

const FILE: &[Field] = &[
    field("path", Steer, "the file, in the node's workspace"),
    field("on", Steer, "the node; the first one when absent"),
    field("exists", Flag, "whether it is there"),
    field("content", Text, "its text"),
];

const EXEC: &[Field] = &[
    field("container", Selector, "fields of the containers it is run in"),
    field("run", Steer, "the command, split at spaces"),
    field("output", Text, "what it prints, without the last line end"),
    field("exit", Number, "its exit code"),
];

const REGISTRY: &[Field] = &[
    field("image", Steer, "the reference to look up in its registry"),
    field("exists", Flag, "whether the registry knows it"),
    field("digest", Text, "its digest in the registry"),
    field("current", Flag, "whether the local image of that name is the one in the registry"),
    NODE,
];

impl Kind {
    pub const ALL: [Self; 12] = [
        Self::Container,
        Self::Image,
        Self::Layer,
        Self::Network,
        Self::Volume,
        Self::Service,
        Self::Task,
        Self::Node,
        Self::Http,
        Self::File,
        Self::Exec,
        Self::Registry,
    ];

    /// The word that stands in `[[…]]`.
    pub fn noun(self) -> &'static str {
        match self {
            Self::Container => "container",
            Self::Image => "image",
            Self::Layer => "layer",
            Self::Network => "network",
            Self::Volume => "volume",
            Self::Service => "service",
            Self::Task => "task",
            Self::Node => "node",
            Self::Http => "http",
            Self::File => "file",
            Self::Exec => "exec",
            Self::Registry => "registry",
        }
    }
    pub(crate) fn article(self) -> &'static str {
        match self {
            Self::Image | Self::Http | Self::Exec => "an",
            _ => "a",
        }
    }
    /// The kind of that name.
    pub fn from_noun(noun: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.noun() == noun)
    }
    /// What can be said about an object of this kind.
    pub fn fields(self) -> &'static [Field] {
        match self {
            Self::Container => CONTAINER,
            Self::Image => IMAGE,
            Self::Layer => LAYER,
            Self::Network => NETWORK,
            Self::Volume => VOLUME,
            Self::Service => SERVICE,
            Self::Task => TASK,
            Self::Node => NODE_FIELDS,
            Self::Http => HTTP,
            Self::File => FILE,
            Self::Exec => EXEC,
            Self::Registry => REGISTRY,
        }
    }
    /// The field of that name.
    pub fn field(self, name: &str) -> Option<&'static Field> {
        self.fields().iter().find(|field| field.name == name)
    }
    /// Fields without which there is nothing to observe.
    pub fn required(self) -> &'static [&'static str] {
        match self {
            Self::Http => &["url"],
            Self::File => &["path"],
            Self::Exec => &["run"],
            Self::Registry | Self::Layer => &["image"],
            _ => &[],
        }
    }
    /// True for a field that says what to observe rather than what must be seen.
    pub(crate) fn steers(self, name: &str) -> bool {
        self.field(name)
            .is_some_and(|field| matches!(field.kind, FieldType::Steer | FieldType::SteerNumber | FieldType::Selector))
    }
}
