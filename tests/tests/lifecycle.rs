//! Containers from birth to removal, through Docker's own command line and ours.

use docklab_tests::{Client, Engine, Need, can_run, get, wait_until};

const NEEDS: [Need; 2] = [Need::Root, Need::Program("docker")];

#[test]
fn a_container_lives_and_dies_as_both_command_lines_say() {
    if !can_run("a_container_lives_and_dies_as_both_command_lines_say", &NEEDS) {
        return;
    }
    let engine = Engine::start();
    for client in [Client::Real, Client::Ours] {
        let docker = |words: &[&str]| engine.run(client, words);
        let started = docker(&["run", "-d", "--name", "life", "busybox", "sh", "-c", "echo hello; sleep 1000"]);
        assert_eq!(started.exit, 0, "{client:?}: {}", started.stderr);
        assert_eq!(started.stdout.len(), 64, "{client:?}: {}", started.stdout);
        assert_eq!(docker(&["ps", "--format", "{{.Names}} {{.Image}}"]).stdout, "life busybox");
        wait_until("the log has the line", || docker(&["logs", "life"]).stdout == "hello");
        let exec = docker(&["exec", "life", "sh", "-c", "echo out; echo err >&2; exit 7"]);
        assert_eq!((exec.stdout.as_str(), exec.stderr.as_str(), exec.exit), ("out", "err", 7), "{client:?}");
        assert_eq!(docker(&["stop", "-t", "0", "life"]).stdout, "life");
        assert_eq!(docker(&["inspect", "-f", "{{.State.Status}} {{.State.ExitCode}}", "life"]).stdout, "exited 137");
        assert_eq!(docker(&["rm", "life"]).stdout, "life");
        assert_eq!(docker(&["ps", "-aq"]).stdout, "");
    }
}

#[test]
fn exec_with_a_terminal_is_a_terminal() {
    if !can_run("exec_with_a_terminal_is_a_terminal", &[Need::Root, Need::Program("docker"), Need::Program("script")]) {
        return;
    }
    let engine = Engine::start();
    engine.docker(&["run", "-d", "--name", "term", "busybox", "sleep", "1000"]);
    for client in [Client::Real, Client::Ours] {
        // `script` gives the command line a terminal of its own.
        let inner =
            engine.command(client, &["exec", "-it", "term", "sh", "-c", "tty; test -t 0 && test -t 1; echo $?"]);
        let words: Vec<String> = std::iter::once(inner.get_program())
            .chain(inner.get_args())
            .map(|word| format!("'{}'", word.to_string_lossy()))
            .collect();
        let mut script = std::process::Command::new("script");
        script.args(["-qec", &words.join(" "), "/dev/null"]).stdin(std::process::Stdio::null());
        script.envs(inner.get_envs().filter_map(|(name, value)| Some((name, value?))));
        let output = docklab_tests::succeed(&mut script);
        // The end of input, which `script` types, may be shown anywhere.
        let shown = output.replace("^@", "").replace("^D\u{8}\u{8}", "");
        assert!(shown.contains("/dev/pts/") && shown.contains("\n0\r\n"), "{client:?}: {output:?}");
    }
}

#[test]
fn a_published_port_answers_until_the_container_is_gone() {
    if !can_run("a_published_port_answers_until_the_container_is_gone", &NEEDS) {
        return;
    }
    let engine = Engine::start();
    engine.docker(&["run", "-d", "--name", "web", "-p", "127.0.0.1::80", "nginx"]);
    let port = engine.docker(&["port", "web", "80"]);
    let port: u16 = port.rsplit(':').next().and_then(|port| port.parse().ok()).expect("a port");
    wait_until("nginx answers", || get(port, "/", &[]).is_some_and(|answer| answer.body.contains("Welcome to nginx!")));
    engine.docker(&["rm", "-f", "web"]);
    assert_eq!(get(port, "/", &[]), None);
}

#[test]
fn files_that_a_container_changed_are_told_apart() {
    if !can_run("files_that_a_container_changed_are_told_apart", &NEEDS) {
        return;
    }
    let engine = Engine::start();
    engine.docker(&["run", "--name", "changes", "ubuntu", "sh", "-c", "echo x > /new; rm /etc/group"]);
    let changes = engine.docker(&["diff", "changes"]);
    let mut lines: Vec<&str> = changes.lines().collect();
    lines.sort_unstable();
    assert_eq!(lines, ["A /new", "C /etc", "D /etc/group"]);
}
