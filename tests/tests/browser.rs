//! The first lab in a browser, by typing into its terminal.

use docklab_tests::{Browser, Need, Server, can_run, workspace};

const NEEDS: [Need; 2] = [Need::Program("chromium"), Need::Program("chromedriver")];

/// Opens the first lab, types its first command and waits for the tick.
fn first_step(server: &Server, backend: bool) {
    let browser = Browser::start();
    browser.open(&server.url());
    browser.wait_for("document.querySelector('.lab-card')");
    browser.evaluate("document.querySelector('.lab-card').click()");
    if backend {
        browser.wait_for("document.querySelector('[data-connection=connected]')");
    } else {
        browser.evaluate(
            "[...document.querySelectorAll('.place-switch button')].find(b => b.innerText.includes('This browser'))?.click()",
        );
    }
    browser.wait_for("document.querySelector('.terminal-body textarea')");
    browser.wait_for(
        "/[$#] *$/.test((document.querySelector('.xterm-rows')?.innerText || '').replace(/\\u00a0/g, ' ').trim())",
    );
    browser.evaluate("document.querySelector('.terminal-body textarea').focus()");
    browser.type_keys("docker container run -t ubuntu top\n");
    browser.wait_for("document.querySelectorAll('[data-state=done]').length > 0");
    browser.wait_for("document.querySelector('.diagram-stage svg, .diagram-stage [role=img]')");
    browser.screenshot(&workspace().join("target").join(if backend { "lab-backend.png" } else { "lab-simulator.png" }));
}

#[test]
fn the_first_step_is_ticked_on_the_simulator() {
    if !can_run("the_first_step_is_ticked_on_the_simulator", &NEEDS) {
        return;
    }
    first_step(&Server::start(false), false);
}

#[test]
fn the_first_step_is_ticked_on_the_backend() {
    if !can_run("the_first_step_is_ticked_on_the_backend", &[NEEDS[0], NEEDS[1], Need::Root]) {
        return;
    }
    first_step(&Server::start(true), true);
}
