use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use crate::{
    check::{Check, Kind},
    mutants,
    source::Span,
};

/// One lab.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Scenario {
    pub meta: Meta,
    /// What stands before the first step.
    pub introduction: Vec<Block>,
    pub steps: Vec<Step>,
    /// Images that only the simulator knows, as descriptions in its own format (TOML).
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub images: Vec<String>,
}

impl Scenario {
    /// The diagram that shows what a step is about: the lab's own, or the one of what its checks look at.
    pub fn diagram_of(&self, step: Option<&Step>) -> Diagram {
        let looked_at = || {
            let kinds: Vec<Kind> =
                step?.checks().flat_map(|check| &check.expectations).map(|expectation| expectation.kind).collect();
            let any = |wanted: &[Kind]| kinds.iter().any(|kind| wanted.contains(kind));
            if any(&[Kind::Node, Kind::Service, Kind::Task]) {
                Some(Diagram::Swarm)
            } else if any(&[Kind::Image, Kind::Layer, Kind::Registry]) {
                Some(Diagram::Layers)
            } else {
                None
            }
        };
        self.meta.diagram.or_else(looked_at).unwrap_or(Diagram::Host)
    }
}

/// What a lab's own commands create, by name: on an engine that is also used for other things, only this is the lab's.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Belongings {
    /// Names of containers, networks, volumes and services.
    pub names: BTreeSet<String>,
    /// Repositories of images that the lab builds or tags.
    pub built: BTreeSet<String>,
    /// Images that containers of the lab are made from, as its commands write them.
    pub images: BTreeSet<String>,
}

impl Scenario {
    /// What the commands of all routes create.
    pub fn belongings(&self) -> Belongings {
        let mut belongings = Belongings::default();
        for block in self.steps.iter().flat_map(Step::all_blocks) {
            if let Block::Run(commands) | Block::Also(commands) | Block::Wrong(commands) = block {
                belongings.names.extend(mutants::given_names(&commands.text));
                belongings.built.extend(mutants::named_images(&commands.text));
                belongings.images.extend(mutants::pulled_images(&commands.text));
            }
        }
        belongings.images.extend(self.meta.images.iter().cloned());
        belongings
    }
}

/// The front matter.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Meta {
    /// Short, stable, in lower case with hyphens; progress is kept under it.
    pub id: String,
    pub title: String,
    /// One sentence for lists of labs.
    pub summary: String,
    /// The session's nodes; the first is the one that blocks without a node use.
    pub nodes: Vec<String>,
    /// Images the lab pulls, so that a session can fetch them beforehand.
    pub images: Vec<String>,
    /// Minutes a newcomer needs.
    pub time: u32,
    pub level: Level,
    /// BCP 47.
    pub language: String,
    /// What may be replaced in this lab: a name, and the text that stands for it everywhere in the file.
    /// See [`crate::with_variables`].
    pub variables: Vec<(String, String)>,
    /// Files beside the lab that describe images for the simulator; [`crate::expand()`] reads them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub simulator: Vec<String>,
    /// Rules of taste that [`crate::lint()`] sets aside for this lab.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub allow: Vec<Allowed>,
    /// The diagram that the lab is about; `None` lets each step's checks decide.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub diagram: Option<Diagram>,
}

/// A rule of taste that a lab breaks on purpose.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Allowed {
    /// The code of its warnings.
    pub rule: String,
    /// Why.
    pub because: String,
    #[serde(skip)]
    pub span: Span,
}

/// A view of what the engines hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Diagram {
    /// One machine with its containers, networks and ports.
    Host,
    /// Images and containers as stacks of layers.
    Layers,
    /// Nodes, services and tasks.
    Swarm,
}

impl Diagram {
    /// The word of the front matter.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Host => "host",
            Self::Layers => "layers",
            Self::Swarm => "swarm",
        }
    }
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Level {
    #[default]
    Beginner,
    Intermediate,
    Advanced,
}

/// One `##` heading and what follows it.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Step {
    pub title: String,
    /// Unique in the scenario; made from the title.
    pub slug: String,
    pub blocks: Vec<Block>,
    #[serde(skip)]
    pub span: Span,
}

/// A piece of a step, in the order a reader meets it.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(tag = "type", rename_all = "lowercase")]
pub enum Block {
    /// Safe HTML: raw HTML of the author is shown as text, links carry only harmless schemes.
    Prose {
        html: String,
    },
    /// Commands for the student: part of the step's reference solution.
    Run(Commands),
    /// What the commands before it print, with `[..]` and `...` elisions.
    Output {
        text: String,
    },
    /// A file for the node's workspace.
    File {
        path: String,
        node: Option<String>,
        language: String,
        content: String,
    },
    Check(Check),
    /// Another right route: it must turn the step green.
    Also(Commands),
    /// A wrong route: the step must stay red and the matching mistake's text must appear.
    Wrong(Commands),
    /// Safe HTML, shown on request.
    Hint {
        html: String,
    },
    Quiz(Quiz),
    /// A remark, some only for one kind of engine.
    Note {
        kind: NoteKind,
        title: String,
        blocks: Vec<Block>,
    },
    /// Any other fenced block: shown, never played.
    Code {
        language: String,
        text: String,
    },
}

/// Commands of a run, also or wrong block.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Commands {
    /// The node whose terminal they are typed into; `None` is the first one.
    pub node: Option<String>,
    pub mode: Mode,
    /// One command a line, as typed.
    pub text: String,
    /// The name under which the last line of the output is kept: later blocks, on any node, write `$NAME` for it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub capture: Option<String>,
    #[serde(skip)]
    pub span: Span,
}

/// How a block of commands lives in its terminal.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Mode {
    /// The commands end by themselves; the next block may use the same terminal.
    #[default]
    Wait,
    /// The last command stays in the foreground (`docker run -t ubuntu top`); later blocks use another terminal.
    Keep,
    /// As `Keep`, and once it has printed something, Ctrl-C is pressed.
    Interrupt,
    /// Lines are typed one after another into the same terminal, the later ones into what the first one opened
    /// (`docker exec -it … bash`).
    Interactive,
}

/// A question with choices.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Quiz {
    pub question: String,
    pub choices: Vec<Choice>,
    /// Shown after an answer.
    pub explanation: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Choice {
    pub text: String,
    pub right: bool,
}

/// What a `:::` note is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum NoteKind {
    Note,
    Warning,
    /// Only shown where the simulator runs the lab.
    Simulator,
    /// Only shown on docklab's own runtime.
    Docklab,
    /// Only shown on a stock Docker Engine.
    Docker,
    /// Only shown to who sits at a Linux machine.
    Linux,
    Macos,
    Windows,
}

impl NoteKind {
    /// False for a remark that is only for another engine than this (`sim`, `docklab` or `docker`), or for another
    /// system than Linux, on which labs are played.
    pub fn applies_to(self, engine: &str) -> bool {
        match self {
            Self::Macos | Self::Windows => false,
            Self::Simulator => engine == "sim",
            Self::Docklab => engine == "docklab",
            Self::Docker => engine == "docker",
            _ => true,
        }
    }
}

impl Step {
    /// Every check of the step, also those inside notes.
    pub fn checks(&self) -> impl Iterator<Item = &Check> {
        self.all_blocks().into_iter().filter_map(|block| match block {
            Block::Check(check) => Some(check),
            _ => None,
        })
    }
    /// The blocks with those of notes in their place.
    pub fn all_blocks(&self) -> Vec<&Block> {
        fn collect<'a>(blocks: &'a [Block], into: &mut Vec<&'a Block>) {
            for block in blocks {
                into.push(block);
                if let Block::Note { blocks, .. } = block {
                    collect(blocks, into);
                }
            }
        }
        let mut all = Vec::new();
        collect(&self.blocks, &mut all);
        all
    }
    /// The blocks that are played on an engine, with their places among [`Step::all_blocks`]: those in notes for
    /// another engine are left out.
    pub fn played_on(&self, engine: &str) -> Vec<(usize, &Block)> {
        fn collect<'a>(
            blocks: &'a [Block],
            engine: &str,
            played: bool,
            at: &mut usize,
            into: &mut Vec<(usize, &'a Block)>,
        ) {
            for block in blocks {
                if played {
                    into.push((*at, block));
                }
                *at += 1;
                if let Block::Note { kind, blocks, .. } = block {
                    collect(blocks, engine, played && kind.applies_to(engine), at, into);
                }
            }
        }
        let mut all = Vec::new();
        collect(&self.blocks, engine, true, &mut 0, &mut all);
        all
    }
    /// True when something in the step can be verified.
    pub fn is_verifiable(&self) -> bool {
        self.checks().any(|check| !check.expectations.is_empty())
    }
}

#[cfg(test)]
mod tests {
    use super::Diagram;

    fn diagram(front: &str, check: &str) -> Diagram {
        let text =
            format!("+++\nid = \"lab\"\ntitle = \"Lab\"\n{front}+++\n\n# Lab\n\n## Step\n\n```check\n{check}\n```\n");
        let scenario = crate::parse("lab.md", &text).scenario;
        scenario.diagram_of(scenario.steps.first())
    }

    #[test]
    fn a_lab_says_its_diagram_and_otherwise_its_checks_do() {
        let image = "[[image]]\nname = \"app\"";
        assert_eq!(diagram("", "[[container]]\nimage = \"ubuntu\""), Diagram::Host);
        assert_eq!(diagram("", image), Diagram::Layers);
        assert_eq!(diagram("", "[[service]]\nname = \"web\""), Diagram::Swarm);
        assert_eq!(diagram("diagram = \"host\"\n", image), Diagram::Host);
    }
}
