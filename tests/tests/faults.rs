//! Engines that die, and what must be left of it: nothing but what users asked for.

use docklab_tests::{Client, Engine, Need, can_run, wait_until};

#[test]
fn a_container_outlives_a_killed_engine_and_loses_no_line() {
    if !can_run("a_container_outlives_a_killed_engine_and_loses_no_line", &[Need::Root]) {
        return;
    }
    let mut engine = Engine::start();
    let script = "i=0; while true; do i=$((i+1)); echo $i; sleep 0.01; done";
    engine.docker(&["run", "-d", "--name", "counter", "busybox", "sh", "-c", script]);
    let pid = engine.docker(&["inspect", "-f", "{{.State.Pid}}", "counter"]);
    wait_until("it counts", || engine.docker(&["logs", "counter"]).lines().count() > 20);
    engine.crash_and_restart();
    assert_eq!(engine.docker(&["inspect", "-f", "{{.State.Status}}", "counter"]), "running");
    assert_eq!(engine.docker(&["inspect", "-f", "{{.State.Pid}}", "counter"]), pid);
    let before = engine.docker(&["logs", "counter"]).lines().count();
    wait_until("it counts on", || engine.docker(&["logs", "counter"]).lines().count() > before + 20);
    let log = engine.docker(&["logs", "counter"]);
    for (index, line) in log.lines().enumerate() {
        assert_eq!(line, (index + 1).to_string(), "a line is missing");
    }
    assert_eq!(engine.docker(&["exec", "counter", "echo", "hi"]), "hi");
    engine.docker(&["rm", "-f", "counter"]);
}

#[test]
fn an_end_while_no_engine_was_there_is_noticed() {
    if !can_run("an_end_while_no_engine_was_there_is_noticed", &[Need::Root]) {
        return;
    }
    let mut engine = Engine::start();
    engine.docker(&[
        "run",
        "-d",
        "--name",
        "short",
        "busybox",
        "sh",
        "-c",
        "while [ ! -e /go ]; do sleep 0.01; done; exit 3",
    ]);
    let pid: i32 = engine.docker(&["inspect", "-f", "{{.State.Pid}}", "short"]).parse().expect("a process id");
    engine.docker(&["exec", "short", "sh", "-c", "(sleep 0.2; touch /go) >/dev/null 2>&1 &"]);
    engine.crash_and_restart();
    wait_until("the process is gone", || !std::path::Path::new(&format!("/proc/{pid}/root/bin")).exists());
    wait_until("the engine says so", || {
        engine.docker(&["inspect", "-f", "{{.State.Status}} {{.State.ExitCode}}", "short"]) == "exited 3"
    });
}

#[test]
fn many_containers_and_crashes_leave_nothing() {
    if !can_run("many_containers_and_crashes_leave_nothing", &[Need::Root]) {
        return;
    }
    let mut engine = Engine::start();
    // The same sequence each time, so that a failure can be repeated.
    let mut state = 0x9e37_79b9_u32;
    let mut random = move || {
        state ^= state << 13;
        state ^= state >> 17;
        state ^= state << 5;
        state
    };
    for round in 0..200 {
        match random() % 4 {
            0 => drop(engine.docker(&["run", "--rm", "busybox", "true"])),
            1 => drop(engine.docker(&["run", "-d", "--rm", "busybox", "sleep", "0.01"])),
            2 => {
                let id = engine.docker(&["run", "-d", "busybox", "sleep", "1000"]);
                engine.docker(&["rm", "-f", &id]);
            }
            _ => {
                let id = engine.docker(&["create", "busybox", "true"]);
                engine.docker(&["start", &id]);
                engine.docker(&["rm", "-f", &id]);
            }
        }
        if round % 20 == 19 {
            engine.crash_and_restart();
        }
    }
    wait_until("the last one has removed itself", || engine.docker(&["ps", "-aq"]).is_empty());
    assert_eq!(engine.run(Client::Ours, &["ps", "-q"]).exit, 0);
}
