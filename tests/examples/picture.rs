//! Plays the beginning of the first lab in the page's simulator and writes a picture of it. `cargo xtask picture` runs it.

use std::path::PathBuf;

use docklab_tests::{Browser, Server, Student};

const LAB: &str = "01-running-a-container.md";
/// Far enough to show two containers, two ticks and the next goal.
const STEPS: usize = 3;

fn main() {
    let file = PathBuf::from(std::env::args_os().nth(1).expect("usage: picture FILE"));
    let server = Server::start(false);
    let browser = Browser::start();
    browser.open(&server.url());
    let mut student = Student::new(&browser);
    student.open_lab(LAB);
    student.use_simulator();
    student.do_steps(LAB, STEPS, |_| {});
    browser.evaluate("document.querySelector('.step[data-state=current]').scrollIntoView()");
    browser.screenshot(&file);
}
