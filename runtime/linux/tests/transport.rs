//! The HTTP client against a server of the test's own.

use std::{
    io::{BufRead, BufReader, Read, Write},
    net::TcpListener,
};

use bytes::Bytes;
use docklab_host::{ByteStream, HostError, HttpRequest, Transport};
use docklab_linux::{LinuxHost, LinuxOptions};
use futures::{StreamExt, TryStreamExt, stream};

async fn host() -> (tempfile::TempDir, LinuxHost) {
    let root = tempfile::tempdir().unwrap();
    let host = LinuxHost::open(LinuxOptions::beneath(root.path(), "http")).await.unwrap();
    (root, host)
}

fn request(method: &'static str, url: String, body: Option<(Option<u64>, ByteStream)>) -> HttpRequest {
    HttpRequest { method, url, headers: vec![("x-test".to_owned(), "1".to_owned())], body, insecure: false }
}

/// What a server received: the lines of the header, and the body.
type Received = (Vec<String>, Vec<u8>);

/// Answers one request.
fn serve_once(reply: &'static str) -> (u16, std::thread::JoinHandle<Received>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let server = std::thread::spawn(move || {
        let (stream, _) = listener.accept().unwrap();
        let mut reader = BufReader::new(stream);
        let mut lines = Vec::new();
        loop {
            let mut line = String::new();
            reader.read_line(&mut line).unwrap();
            if line.trim().is_empty() {
                break;
            }
            lines.push(line.trim().to_owned());
        }
        let length = lines.iter().find_map(|line| line.strip_prefix("content-length: ")?.parse().ok()).unwrap_or(0);
        let mut body = vec![0; length];
        reader.read_exact(&mut body).unwrap();
        reader.get_mut().write_all(reply.as_bytes()).unwrap();
        (lines, body)
    });
    (port, server)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_request_goes_out_as_it_was_given_and_redirects_come_back() {
    let (_root, host) = host().await;
    let (port, server) =
        serve_once("HTTP/1.1 307 Temporary Redirect\r\nLocation: /there\r\nContent-Length: 5\r\n\r\nmoved");
    let body = stream::iter([Ok(Bytes::from("con")), Ok(Bytes::from("tent"))]).boxed();
    let url = format!("http://127.0.0.1:{port}/v2/a?b=c");
    let response = host.http(request("PUT", url, Some((Some(7), body)))).await.unwrap();
    assert_eq!(response.status, 307);
    assert!(response.headers.contains(&("location".to_owned(), "/there".to_owned())));
    let body: Vec<Bytes> = response.body.try_collect().await.unwrap();
    assert_eq!(body.concat(), b"moved");
    let (lines, sent) = server.join().unwrap();
    assert_eq!(lines[0], "PUT /v2/a?b=c HTTP/1.1");
    assert!(lines.contains(&format!("host: 127.0.0.1:{port}")) && lines.contains(&"x-test: 1".to_owned()));
    assert_eq!(sent, b"content");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn failures_are_worded_as_docker_words_them() {
    let (_root, host) = host().await;
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    drop(listener);
    let error = host.http(request("GET", format!("http://127.0.0.1:{port}/v2/"), None)).await.err().unwrap();
    let expected =
        format!("Get \"http://127.0.0.1:{port}/v2/\": dial tcp 127.0.0.1:{port}: connect: connection refused");
    assert_eq!(error, HostError::Network(expected));
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let server = std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        let mut greeting = [0; 512];
        let length = stream.read(&mut greeting).unwrap();
        stream.write_all(b"HTTP/1.1 400 Bad Request\r\nConnection: close\r\n\r\n").unwrap();
        length
    });
    let error = host.http(request("GET", format!("https://127.0.0.1:{port}/v2/"), None)).await.err().unwrap();
    let expected = format!("Get \"https://127.0.0.1:{port}/v2/\": http: server gave HTTP response to HTTPS client");
    assert_eq!(error, HostError::Network(expected));
    assert!(server.join().unwrap() > 0);
}
