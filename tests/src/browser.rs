use std::{
    fs,
    net::TcpListener,
    process::{Child, Command, Stdio},
};

use serde_json::{Value, json};

use crate::{get, request, wait_until};

/// A headless chromium, driven through chromedriver's WebDriver protocol.
pub struct Browser {
    driver: Child,
    port: u16,
    session: String,
}

const ARGUMENTS: [&str; 8] = [
    "--headless=new",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--window-size=1400,900",
];

impl Browser {
    pub fn start() -> Self {
        let port =
            TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr()).expect("a free port").port();
        let driver = Command::new("chromedriver")
            .arg(format!("--port={port}"))
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("starting chromedriver");
        let mut browser = Self { driver, port, session: String::new() };
        wait_until("chromedriver answers", || get(port, "/status", &[]).is_some_and(|answer| answer.status == 200));
        let wanted = json!({ "capabilities": { "alwaysMatch": { "goog:chromeOptions": { "args": ARGUMENTS } } } });
        let session = browser.call("POST", "/session", &wanted);
        session["sessionId"].as_str().expect("a session").clone_into(&mut browser.session);
        browser
    }

    fn call(&self, method: &str, path: &str, body: &Value) -> Value {
        let text = if method == "POST" { body.to_string() } else { String::new() };
        let headers = ["Content-Type: application/json"];
        let answer = request(self.port, method, path, &headers, &text).expect("chromedriver went away");
        let value: Value = serde_json::from_str(&answer.body).unwrap_or_default();
        assert_eq!(answer.status, 200, "{method} {path}: {}", value["value"]["message"]);
        value["value"].clone()
    }

    fn of_session(&self, path: &str, body: &Value) -> Value {
        self.call("POST", &format!("/session/{}/{path}", self.session), body)
    }

    pub fn open(&self, url: &str) {
        self.of_session("url", &json!({ "url": url }));
    }

    /// Runs JavaScript that returns a value.
    pub fn evaluate(&self, script: &str) -> Value {
        self.of_session("execute/sync", &json!({ "script": script, "args": [] }))
    }

    /// Waits until an expression is true in the page.
    pub fn wait_for(&self, expression: &str) {
        let started = std::time::Instant::now();
        while self.evaluate(&format!("return Boolean({expression})")) != Value::Bool(true) {
            if started.elapsed().as_secs() > 120 {
                let text = self.evaluate("return document.body.innerText");
                panic!("waited in vain for `{expression}`; the page says: {}", text.as_str().unwrap_or_default());
            }
            std::thread::sleep(std::time::Duration::from_millis(50));
        }
    }

    /// Types keys into whatever has the focus.
    pub fn type_keys(&self, text: &str) {
        let mut keys = Vec::new();
        for key in text.chars().map(|key| if key == '\n' { '\u{e007}' } else { key }) {
            keys.push(json!({ "type": "keyDown", "value": key.to_string() }));
            keys.push(json!({ "type": "keyUp", "value": key.to_string() }));
        }
        self.of_session("actions", &json!({ "actions": [{ "type": "key", "id": "keyboard", "actions": keys }] }));
    }

    /// A picture of the page for whoever looks at a failure.
    pub fn screenshot(&self, file: &std::path::Path) {
        let picture = self.call("GET", &format!("/session/{}/screenshot", self.session), &Value::Null);
        let bytes = base64::Engine::decode(&base64::prelude::BASE64_STANDARD, picture.as_str().unwrap_or_default());
        fs::write(file, bytes.unwrap_or_default()).expect("writing the screenshot");
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        if !self.session.is_empty() {
            request(self.port, "DELETE", &format!("/session/{}", self.session), &[], "");
        }
        self.driver.kill().ok();
        self.driver.wait().ok();
    }
}
