//! Whole labs in a browser, by typing into its terminal.

use docklab_tests::{Browser, Need, Server, Student, can_run, workspace};

const NEEDS: [Need; 3] = [Need::Program("chromium"), Need::Program("chromedriver"), Need::Root];

/// Does a lab on the server's engine, or in the page alone with the server gone.
fn whole_lab(file: &str, on_backend: bool) {
    let browser = Browser::start();
    let server = Server::start(on_backend);
    browser.open(&server.url());
    let mut student = Student::new(&browser);
    student.open_lab(file);
    let _server = if on_backend {
        student.wait_for_backend();
        Some(server)
    } else {
        student.use_simulator();
        // The page has everything by now.
        drop(server);
        None
    };
    let place = if on_backend { "backend" } else { "simulator" };
    let pictures = workspace().join("target/pictures");
    std::fs::create_dir_all(&pictures).expect("a directory for pictures");
    student.do_lab(file, |step| {
        browser.screenshot(&pictures.join(format!("{}-{place}-{step}.png", &file[..2])));
    });
}

#[test]
fn lab_1_is_done_on_the_simulator_with_the_server_gone() {
    if can_run("lab_1_is_done_on_the_simulator_with_the_server_gone", &NEEDS[..2]) {
        whole_lab("01-running-a-container.md", false);
    }
}

#[test]
fn lab_1_is_done_on_the_backend() {
    if can_run("lab_1_is_done_on_the_backend", &NEEDS) {
        whole_lab("01-running-a-container.md", true);
    }
}

#[test]
fn lab_2_is_done_on_the_simulator_with_the_server_gone() {
    if can_run("lab_2_is_done_on_the_simulator_with_the_server_gone", &NEEDS[..2]) {
        whole_lab("02-images.md", false);
    }
}

#[test]
fn lab_2_is_done_on_the_backend() {
    if can_run("lab_2_is_done_on_the_backend", &NEEDS) {
        whole_lab("02-images.md", true);
    }
}
