//! Shells of a node, for a terminal in the page and for tests.

use std::{future::Future, sync::Arc};

use bytes::Bytes;
use docklab_host::{HostResult, User};
use futures::stream::BoxStream;

use crate::{
    Node, Streams,
    process::{Collect, Environment, ProcessState, Source, SpawnSpec, Tty, identity},
};

fn environment(node: &Node) -> Environment {
    Environment::from_lines([
        "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
        "HOME=/root",
        "USER=root",
        "TERM=xterm-256color",
        "LANG=C.UTF-8",
        &format!("HOSTNAME={}", node.name()),
    ])
}

/// A login shell on a terminal of a node.
pub struct NodeShell {
    tty: Arc<Tty>,
    process: Arc<ProcessState>,
}

impl NodeShell {
    /// Opens a terminal of this size with bash on it. The stream is what a terminal emulator should show.
    pub fn open(node: &Arc<Node>, rows: u16, columns: u16) -> HostResult<(Self, BoxStream<'static, Bytes>)> {
        let space = node.space().clone();
        let (tty, output) = Tty::new(space.next_tty(), rows, columns);
        let spec = SpawnSpec {
            argv: vec!["bash".into()],
            env: environment(node),
            cwd: "/root".into(),
            streams: Streams::terminal(&tty),
            parent: 1,
            user: identity(&space.view, &User::default())?,
        };
        let process = space.spawn(spec)?;
        tty.set_foreground(vec![Arc::downgrade(&process)]);
        Ok((Self { tty, process }, Box::pin(output)))
    }
    /// Keys and pasted text, as the terminal emulator sends them.
    pub fn write(&self, bytes: &[u8]) {
        self.tty.input(bytes);
    }
    pub fn resize(&self, rows: u16, columns: u16) {
        self.tty.resize(rows, columns);
    }
    /// Completes when the shell has ended.
    pub async fn exit(&self) -> i32 {
        self.process.exit().await.code
    }
    /// Closes the terminal: its input ends and the shell is hung up.
    pub fn close(&self) {
        self.tty.hang_up();
        self.process.signal(1);
    }
}

impl Node {
    /// Runs a script in a shell of its own and returns its standard output, standard error and exit code. The world has to
    /// be pumped meanwhile.
    pub fn run_script(self: &Arc<Self>, text: &str) -> impl Future<Output = (String, String, i32)> + Send + use<> {
        self.run_script_in("/root", text)
    }
    /// As [`Node::run_script`], in another working directory.
    pub fn run_script_in(
        self: &Arc<Self>,
        cwd: &str,
        text: &str,
    ) -> impl Future<Output = (String, String, i32)> + Send + use<> {
        let node = self.clone();
        let (cwd, text) = (cwd.to_owned(), text.to_owned());
        async move {
            let (stdout, stderr) = (Arc::new(Collect::default()), Arc::new(Collect::default()));
            let streams = Streams { stdin: Source::Null, stdout: stdout.clone(), stderr: stderr.clone(), tty: None };
            let space = node.space().clone();
            let started = identity(&space.view, &User::default()).and_then(|user| {
                let argv = vec!["bash".to_owned(), "-c".to_owned(), text];
                space.spawn(SpawnSpec { argv, env: environment(&node), cwd, streams, parent: 1, user })
            });
            match started {
                Err(error) => (String::new(), format!("{error}\n"), 127),
                Ok(process) => {
                    let code = process.exit().await.code;
                    let text = |collect: &Collect| String::from_utf8_lossy(&collect.take()).into_owned();
                    (text(&stdout), text(&stderr), code)
                }
            }
        }
    }
}
