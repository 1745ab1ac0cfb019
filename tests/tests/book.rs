//! The book: labs that run beside their text, and the site that any web server can serve.

use std::{
    io::{BufRead as _, BufReader},
    process::{Command, Stdio},
};

use docklab_tests::{Browser, Need, Server, Student, can_run, docklab, succeed, workspace};

const NEEDS: [Need; 3] = [Need::Program("chromium"), Need::Program("chromedriver"), Need::Program("python3")];

/// Presses the first command of the chapter and waits for the tick of its step.
fn run_first_command(browser: &Browser) {
    browser.wait_for("document.querySelector('.docklab-run .docklab-button')");
    browser.evaluate("document.querySelector('.docklab-run .docklab-button').click()");
    browser.wait_for("document.querySelector('.docklab-panel iframe')");
    browser.wait_for("document.querySelector('.docklab-check li[data-reached=true]')");
}

#[test]
fn a_command_of_the_book_runs_beside_its_text() {
    if !can_run("a_command_of_the_book_runs_beside_its_text", &NEEDS[..2]) {
        return;
    }
    let server = Server::start(false);
    let browser = Browser::start();
    // The token becomes a cookie, by which the rest is served.
    let chapter = "book/labs/running-a-container.html";
    browser.open(&format!("http://127.0.0.1:{}/{chapter}?token={}", server.port, server.token));
    run_first_command(&browser);
    let pictures = workspace().join("target/pictures");
    std::fs::create_dir_all(&pictures).expect("a directory for pictures");
    browser.screenshot(&pictures.join("book.png"));
}

#[test]
fn an_exported_site_works_from_a_plain_web_server() {
    if !can_run("an_exported_site_works_from_a_plain_web_server", &NEEDS) {
        return;
    }
    let directory = tempfile::tempdir().expect("a temporary directory");
    let site = directory.path().join("site");
    succeed(Command::new(docklab()).current_dir(workspace()).arg("export").arg(&site));
    let mut server = Command::new("python3")
        .args(["-u", "-m", "http.server", "0", "--bind", "127.0.0.1", "--directory"])
        .arg(&site)
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .expect("starting python3");
    let mut line = String::new();
    BufReader::new(server.stdout.take().expect("its output")).read_line(&mut line).expect("its first line");
    let port = line.split("port ").nth(1).and_then(|rest| rest.split_whitespace().next()).expect("a port").to_owned();
    let address = format!("http://127.0.0.1:{port}/");
    let browser = Browser::start();
    browser.open(&format!("{address}book/labs/running-a-container.html"));
    run_first_command(&browser);
    let file = "01-running-a-container.md";
    let mut student = Student::new(&browser);
    browser.evaluate("localStorage.clear()");
    browser.open("about:blank");
    student.open_lab_at(&address, file);
    student.do_lab(file, |_| {});
    server.kill().expect("ending the server");
    server.wait().expect("waiting for the server");
}
