//! A shell of a node over a WebSocket: binary frames are the terminal's bytes, text frames tell its size.

use std::sync::Arc;

use axum::{
    body::Bytes,
    extract::{
        Path, Query, State, WebSocketUpgrade,
        ws::{Message, WebSocket},
    },
    http::StatusCode,
    response::Response,
};
use serde::Deserialize;

use super::{Failure, Server};
use crate::pty::{Pty, PtyCommand};

#[derive(Deserialize)]
pub(super) struct Size {
    #[serde(default = "default_columns")]
    cols: u16,
    #[serde(default = "default_rows")]
    rows: u16,
}

fn default_columns() -> u16 {
    80
}

fn default_rows() -> u16 {
    24
}

#[derive(Deserialize)]
struct Resize {
    /// Columns and rows.
    resize: [u16; 2],
}

pub(super) async fn open(
    State(server): State<Arc<Server>>,
    Path(node): Path<String>,
    Query(size): Query<Size>,
    upgrade: WebSocketUpgrade,
) -> Result<Response, Failure> {
    let node = server.node(&node)?;
    let mut environment = node.environment();
    // Without a start-up file the prompt comes from the environment; colours are what students expect of `ls` and `grep`.
    environment.insert("PROMPT_COMMAND".to_owned(), "history -a".to_owned());
    environment.insert("HISTFILE".to_owned(), node.directory.join("history").display().to_string());
    let shell = Pty::spawn(&PtyCommand {
        node: &node,
        program: "bash",
        arguments: &["--noprofile", "--norc", "-i"],
        environment: &environment,
        directory: &node.workspace(),
        size: (size.rows, size.cols),
        echo: true,
    });
    let shell =
        shell.map_err(|error| Failure(StatusCode::INTERNAL_SERVER_ERROR, format!("opening a terminal: {error}")))?;
    Ok(upgrade.on_upgrade(move |socket| connect(socket, shell)))
}

async fn connect(mut socket: WebSocket, shell: Pty) {
    let mut buffer = vec![0; 16 * 1024];
    loop {
        tokio::select! {
            read = shell.read(&mut buffer) => match read {
                Ok(count @ 1..) => {
                    if socket.send(Message::Binary(Bytes::copy_from_slice(&buffer[..count]))).await.is_err() {
                        break;
                    }
                }
                // The shell has ended.
                Ok(0) | Err(_) => break,
            },
            message = socket.recv() => match message {
                Some(Ok(Message::Binary(bytes))) => {
                    if shell.write(&bytes).await.is_err() {
                        break;
                    }
                }
                Some(Ok(Message::Text(text))) => {
                    if let Ok(Resize { resize: [columns, rows] }) = serde_json::from_str(&text)
                        && let Err(error) = shell.resize((rows, columns))
                    {
                        tracing::debug!("resizing a terminal: {error}");
                    }
                }
                Some(Ok(Message::Close(_)) | Err(_)) | None => break,
                Some(Ok(_)) => {}
            },
        }
    }
    socket.send(Message::Close(None)).await.ok();
}
