use bytes::BytesMut;
use futures::StreamExt;

use crate::console::Console;

/// One line of standard input, without its end.
pub(crate) async fn read_line(console: &dyn Console) -> String {
    let mut input = console.stdin();
    let mut line = BytesMut::new();
    while let Some(bytes) = input.next().await {
        line.extend_from_slice(&bytes);
        if line.contains(&b'\n') {
            break;
        }
    }
    String::from_utf8_lossy(&line).lines().next().unwrap_or_default().to_owned()
}

/// All of standard input.
pub(crate) async fn read_all(console: &dyn Console) -> Vec<u8> {
    let mut input = console.stdin();
    let mut all = Vec::new();
    while let Some(bytes) = input.next().await {
        all.extend_from_slice(&bytes);
    }
    all
}
