//! The simulator's programs.

mod apps;
mod files;
mod network;
mod packages;
mod pattern;
mod python;
mod service;
mod system;
mod text;
mod top;

use futures::future::BoxFuture;

pub(crate) use system::{clock_time, cpu_time, echo};

use crate::process::{Closed, Context};

/// Programs that people expect on a machine and that the simulator does not have.
const ELSEWHERE: &[&str] = &[
    "gcc",
    "g++",
    "make",
    "git",
    "go",
    "cargo",
    "node",
    "npm",
    "java",
    "perl",
    "ruby",
    "ssh",
    "rsync",
    "tar",
    "gzip",
    "vim",
    "emacs",
    "less",
    "man",
    "jq",
    "awk",
    "htop",
    "systemctl",
    "sudo",
    "podman",
    "kubectl",
    "ab",
    "nc",
    "telnet",
    "strace",
    "tcpdump",
    "iptables",
    "watch",
];

pub(crate) fn exists_elsewhere(name: &str) -> bool {
    ELSEWHERE.contains(&name)
}

/// Runs the program that an executable file names: one of the simulator's, an external command of the node, or one that
/// an image description describes.
pub(crate) fn run(program: String, context: Context) -> BoxFuture<'static, Result<i32, Closed>> {
    Box::pin(async move {
        let (name, detail) = program.split_once(' ').unwrap_or((&program, ""));
        match name {
            "bash" | "sh" => crate::shell::run(context).await,
            "external" => {
                let command = context.space().node.upgrade().and_then(|node| node.command(detail));
                match command {
                    Some(command) => command.run(context).await,
                    None => context.fail(127, "this program is not there any more").await,
                }
            }
            "top" => top::top(context).await,
            "python" => python::python(context, detail).await,
            "pip" | "apt" | "apt-get" | "apk" => packages::install(name, context).await,
            "curl" | "wget" => network::curl(context).await,
            "ping" => network::ping(context).await,
            "ip" => network::ip(context).await,
            "ss" => network::ss(context).await,
            "nslookup" | "getent" => network::lookup(context).await,
            "vi" | "nano" => apps::editor(context).await,
            "ls" => files::ls(context).await,
            "cp" | "mv" | "rm" | "mkdir" | "rmdir" | "touch" | "ln" | "chmod" | "chown" | "find" | "stat"
            | "readlink" => files::change(context).await,
            "cat" | "head" | "tail" | "wc" | "sort" | "uniq" | "tr" | "cut" | "tee" | "grep" | "sed" | "seq"
            | "xargs" | "yes" | "sha256sum" => text::filter(context).await,
            _ => match context.space().world.images.program(name) {
                Some(description) => service::run(description, detail, context).await,
                None => match system::run(name, &context).await {
                    Some(result) => result,
                    None => {
                        context
                            .fail(127, format!("the simulator has no program `{name}`; connect a backend to run it"))
                            .await
                    }
                },
            },
        }
    })
}
