//! `docklab session`: sessions and their nodes, from the command line.

use std::path::PathBuf;

use anyhow::{Context as _, Result, bail};
use clap::{Args, Subcommand};
use docklab_linux::Attachment;

use super::{Fault, Node, NodeState, Session, boot, names};
use crate::console::home;

const DEFAULT: &str = "default";

const EXAMPLES: &str = "\
Examples:
  docklab session new --nodes 3          three nodes on a LAN of their own
  docklab session shell node2            a shell on the second
  docklab session cut node3              pull its plug; `heal` puts it back
  docklab session kill node3             every process of it ends; `heal` boots it again
  docklab session rm                     nothing stays";

/// Make, break, heal and remove sessions: nodes on a private LAN, each with an engine of its own.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct SessionArguments {
    /// Which session; the one that `docklab serve` uses is called `default`.
    #[arg(long, short, global = true, default_value = DEFAULT)]
    session: String,
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// Make a session, or start what does not run of one.
    New {
        name: Option<String>,
        /// How many nodes: node1, node2, …
        #[arg(long, default_value_t = 1)]
        nodes: usize,
        /// Images for every node: a seed that `docklab images` or `docker image save` wrote.
        #[arg(long)]
        seed: Option<PathBuf>,
    },
    /// List sessions with their nodes.
    Ls {
        /// Print as JSON.
        #[arg(long)]
        json: bool,
    },
    /// Add a node.
    Add { node: Option<String> },
    /// End every process of a node at once. Its files stay, and `heal` boots it again.
    Kill { node: String },
    /// Let every process of a node stand still.
    Pause { node: String },
    /// Let a paused node go on.
    Resume { node: String },
    /// Take a node off the LAN, or cut its link to one other node.
    Cut { node: String, other: Option<String> },
    /// Delay everything to and from a node, each way.
    Slow {
        node: String,
        /// Milliseconds.
        #[arg(value_name = "MS")]
        delay: u64,
    },
    /// Undo kill, pause, cut and slow of a node, or of all.
    Heal { node: Option<String> },
    /// Open a shell on a node.
    Shell {
        #[arg(default_value = "node1")]
        node: String,
    },
    /// Run a program on a node.
    Exec {
        node: String,
        #[arg(required = true, trailing_var_arg = true, allow_hyphen_values = true)]
        program: Vec<String>,
    },
    /// Remove a session, or one node of it, with everything in it.
    Rm {
        name: Option<String>,
        /// Remove this node only.
        #[arg(long)]
        node: Option<String>,
    },
}

pub(crate) async fn run(arguments: SessionArguments) -> Result<i32> {
    let root = home();
    let session = || Session::existing(&root, &arguments.session);
    let inflict = |node: String, fault: Fault| {
        let session = session();
        async move {
            let state = session?.inflict(&node, &fault).await?;
            println!("{node} {}", state.map_or("removed".to_owned(), |state| state.to_string()));
            Ok(0)
        }
    };
    match arguments.action {
        Action::New { name, nodes, seed } => {
            if nodes == 0 {
                bail!("a session has at least one node");
            }
            let wanted: Vec<String> = (1..=nodes).map(|number| format!("node{number}")).collect();
            let session = Session::open(&root, name.as_deref().unwrap_or(&arguments.session), &wanted).await?;
            if let Some(seed) = seed {
                crate::images::provide_all(&session.nodes()?, &seed).await?;
            }
            print_session(&session, false)?;
            Ok(0)
        }
        Action::Ls { json } => {
            let sessions: Vec<Session> =
                names(&root)?.iter().map(|name| Session::existing(&root, name)).collect::<Result<_>>()?;
            if json {
                let described: Vec<_> = sessions.iter().map(description).collect::<Result<_>>()?;
                println!("{}", serde_json::to_string_pretty(&described)?);
            } else {
                for session in &sessions {
                    print_session(session, true)?;
                }
            }
            Ok(0)
        }
        Action::Add { node } => {
            println!("{}", session()?.add_node(node.as_deref()).await?);
            Ok(0)
        }
        Action::Kill { node } => inflict(node, Fault::Kill).await,
        Action::Pause { node } => inflict(node, Fault::Pause).await,
        Action::Resume { node } => inflict(node, Fault::Resume).await,
        Action::Cut { node, other } => inflict(node, Fault::Cut { other }).await,
        Action::Slow { node, delay } => inflict(node, Fault::Slow { delay }).await,
        Action::Heal { node: Some(node) } => inflict(node, Fault::Heal).await,
        Action::Heal { node: None } => {
            session()?.heal_all().await?;
            Ok(0)
        }
        Action::Shell { node } => shell(&session()?.node(Some(&node))?).await,
        Action::Exec { node, program } => execute(&session()?.node(Some(&node))?, &program).await,
        Action::Rm { node: Some(node), .. } => inflict(node, Fault::Remove).await,
        Action::Rm { name, node: None } => {
            boot::remove(&root, name.as_deref().unwrap_or(&arguments.session)).await?;
            Ok(0)
        }
    }
}

fn rows(session: &Session) -> Result<Vec<(String, String, NodeState)>> {
    let rows = session.nodes()?.into_iter().filter_map(|node| {
        let place = node.place?;
        Some((node.name, place.address.to_string(), place.state))
    });
    Ok(rows.collect())
}

fn name_of(session: &Session) -> &str {
    match session {
        Session::Own { name, .. } => name,
        Session::Around(node) => &node.name,
    }
}

fn print_session(session: &Session, with_name: bool) -> Result<()> {
    let name = name_of(session);
    for (node, address, state) in rows(session)? {
        if with_name {
            println!("{name:<15} {node:<15} {address:<15} {state}");
        } else {
            println!("{node:<15} {address:<15} {state}");
        }
    }
    Ok(())
}

fn description(session: &Session) -> Result<serde_json::Value> {
    let nodes: Vec<_> = rows(session)?
        .into_iter()
        .map(|(node, address, state)| serde_json::json!({ "name": node, "address": address, "state": state }))
        .collect();
    Ok(serde_json::json!({ "name": name_of(session), "nodes": nodes }))
}

/// On the caller's own terminal.
async fn shell(node: &Node) -> Result<i32> {
    let mut command = node.command(Attachment::Foreground, &node.workspace(), "bash")?;
    command.args(["--noprofile", "--norc", "-i"]).env_clear().envs(node.environment());
    wait(command).await
}

async fn execute(node: &Node, program: &[String]) -> Result<i32> {
    let Some((name, words)) = program.split_first() else { bail!("no program to run") };
    let mut command = node.command(Attachment::Foreground, &node.workspace(), name)?;
    command.args(words).env_clear().envs(node.environment());
    wait(command).await
}

async fn wait(command: std::process::Command) -> Result<i32> {
    // Ctrl-C is for the program in the node: it is in the terminal's foreground, and this one waits for its end.
    let _ignored = tokio::signal::unix::signal(tokio::signal::unix::SignalKind::interrupt());
    let status = tokio::process::Command::from(command).status().await.context("starting the program")?;
    use std::os::unix::process::ExitStatusExt as _;
    Ok(status.code().or_else(|| status.signal().map(|signal| 128 + signal)).unwrap_or(1))
}
