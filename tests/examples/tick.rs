//! Measures, in a headless browser connected to our engine, how long after the start of a container the first lab's first
//! tick shows. Prints the median in milliseconds. `cargo xtask bench` runs it.

use docklab_tests::{Browser, Server, Student, request};
use serde_json::Value;

const ROUNDS: usize = 15;
const LAB: &str = "01-running-a-container.md";
const TICK: &str = "document.querySelector('.step[data-state=done]')";

fn main() {
    let server = Server::start(true);
    let browser = Browser::start();
    let mut times: Vec<f64> = (0..ROUNDS).map(|_| round(&server, &browser)).collect();
    times.sort_by(f64::total_cmp);
    println!("{:.1}", times[ROUNDS / 2]);
}

/// From the time at which the kernel started the container's program to the tick, both by this machine's clock.
fn round(server: &Server, browser: &Browser) -> f64 {
    browser.open("about:blank");
    browser.open(&server.url());
    browser.evaluate("localStorage.clear()");
    browser.open("about:blank");
    browser.open(&server.url());
    let student = Student::new(browser);
    student.open_lab(LAB);
    student.wait_for_backend();
    browser.wait_for("document.querySelector('.diagram-stage svg')");
    browser.evaluate(&format!(
        "window.tickedAt = null; new MutationObserver(() => {{ if (!window.tickedAt && {TICK}) window.tickedAt = Date.now(); }})\
         .observe(document.body, {{ subtree: true, childList: true, attributes: true }})"
    ));
    let body = r#"{"Image":"ubuntu","Cmd":["top"],"Tty":true}"#;
    let created = engine(server, "POST", "/containers/create", body);
    let id = created["Id"].as_str().expect("a container").to_owned();
    engine(server, "POST", &format!("/containers/{id}/start"), "");
    browser.wait_for("window.tickedAt");
    let ticked = browser.evaluate("return window.tickedAt").as_f64().expect("a time");
    let started = engine(server, "GET", &format!("/containers/{id}/json"), "")["State"]["StartedAt"].clone();
    let started = browser.evaluate(&format!("return new Date({started}).getTime()")).as_f64().expect("a time");
    engine(server, "DELETE", &format!("/containers/{id}?force=1"), "");
    ticked - started
}

fn engine(server: &Server, method: &str, path: &str, body: &str) -> Value {
    let headers = [format!("Authorization: Bearer {}", server.token), "Content-Type: application/json".to_owned()];
    let headers: Vec<&str> = headers.iter().map(String::as_str).collect();
    let path = format!("/nodes/node1/engine{path}");
    let answer = request(server.port, method, &path, &headers, body).expect("an answer of the engine");
    assert!(answer.status < 300, "{method} {path}: {} {}", answer.status, answer.body);
    serde_json::from_str(&answer.body).unwrap_or_default()
}
