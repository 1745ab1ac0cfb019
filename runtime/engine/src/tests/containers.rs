use bytes::Bytes;
use docklab_api::{
    AttachContainer, ContainerApi, ExecApi, ListContainers, Logs, RemoveContainer, StateChange, StopContainer,
    VolumeApi, WaitCondition,
    models::{
        ContainerCreateBody, ExecConfig, ExecStartConfig, HealthConfig, HostConfig, PortBinding, RestartPolicy,
        RestartPolicyNameEnum,
    },
};
use futures::{SinkExt, StreamExt};

use super::{FakeHost, body, create, events, open, run};
use crate::Engine;

async fn text(result: Result<impl Sized, docklab_api::ApiError>) -> String {
    result.map_or_else(|error| format!("{} {}", error.status, error.message), |_| "ok".to_owned())
}

fn with_host(command: &[&str], host_config: HostConfig) -> ContainerCreateBody {
    ContainerCreateBody { host_config: Some(host_config), ..body(command) }
}

fn port(host_port: &str) -> HostConfig {
    let binding = PortBinding { host_ip: None, host_port: Some(host_port.to_owned()) };
    HostConfig { port_bindings: Some([("80/tcp".to_owned(), Some(vec![binding]))].into()), ..HostConfig::default() }
}

async fn attach(engine: &Engine, id: &str) -> docklab_api::Attached {
    let options =
        AttachContainer { stream: true, stdin: true, stdout: true, stderr: true, ..AttachContainer::default() };
    engine.attach_container(id, options).await.expect("attached")
}

async fn output(stream: docklab_api::OutputStream) -> String {
    let chunks: Vec<_> = stream.map(|chunk| chunk.expect("a chunk").bytes).collect().await;
    String::from_utf8(chunks.concat()).expect("text")
}

#[tokio::test(start_paused = true)]
async fn run_rm_attaches_before_start_and_tells_dockers_events() {
    let host = FakeHost::new();
    let engine = open(&host).await;
    let id = create(
        &engine,
        "hello",
        with_host(&["echo", "hi"], HostConfig { auto_remove: Some(true), ..HostConfig::default() }),
    )
    .await
    .expect("created");
    let attached = attach(&engine, &id).await;
    let wait = engine.wait_container(&id, WaitCondition::Removed).await.expect("a wait");
    assert_eq!(engine.start_container(&id).await, Ok(StateChange::Changed));
    assert_eq!(output(attached.output).await, "hi\n");
    assert_eq!(wait.await.map(|end| end.status_code), Ok(0));
    insta::assert_snapshot!(events(&engine).await.join("\n"), @r"
    container create
    container attach
    network connect
    container start
    container die exitCode=0 execDuration=0
    network disconnect
    container destroy
    ");
    assert!(engine.container(&id).is_err());
}

#[tokio::test(start_paused = true)]
async fn stop_waits_ten_seconds_for_a_process_that_ignores_sigterm() {
    let host = FakeHost::new();
    let engine = open(&host).await;
    let id = run(&engine, "web", body(&["sleep"])).await;
    assert_eq!(engine.stop_container("web", StopContainer::default()).await, Ok(StateChange::Changed));
    assert_eq!(engine.stop_container("web", StopContainer::default()).await, Ok(StateChange::NotModified));
    insta::assert_snapshot!(events(&engine).await.join("\n"), @r"
    container create
    network connect
    container start
    container kill signal=15
    container kill signal=9
    container die exitCode=137 execDuration=10
    network disconnect
    container stop
    ");
    let state = engine.inspect_container(&id, false).await.expect("inspect").state.expect("state");
    assert_eq!((state.running, state.exit_code), (Some(false), Some(137)));
}

#[tokio::test(start_paused = true)]
async fn errors_in_dockers_words() {
    let host = FakeHost::new();
    let engine = open(&host).await;
    let id = run(&engine, "web", with_host(&["sleep"], port("8080"))).await;
    let clash = create(&engine, "clash", with_host(&["sleep"], port("8080"))).await.expect("created");
    let mut lines = vec![
        create(&engine, "web", body(&["sleep"])).await.unwrap_err(),
        create(&engine, "a", body(&["sleep"])).await.unwrap_err(),
        text(engine.inspect_container("nosuch", false).await).await,
        text(engine.kill_container("nosuch", None).await).await,
        text(engine.remove_container("web", RemoveContainer::default()).await).await,
        text(engine.start_container(&clash).await).await,
        text(engine.kill_container("clash", None).await).await,
        text(engine.rename_container("clash", "web").await).await,
        text(engine.unpause_container("web").await).await,
        text(engine.container_logs("web", Logs::default()).await).await,
        text(engine.create_exec("clash", ExecConfig::default()).await).await,
        text(engine.create_exec("web", ExecConfig::default()).await).await,
    ];
    let bind = HostConfig {
        mounts: Some(vec![docklab_api::models::Mount {
            typ: Some(docklab_api::models::MountTypeEnum::BIND),
            source: Some("/missing".to_owned()),
            target: Some("/x".to_owned()),
            ..Default::default()
        }]),
        ..HostConfig::default()
    };
    lines.push(create(&engine, "bind", with_host(&["sleep"], bind)).await.unwrap_err());
    let bad = create(&engine, "bad", body(&["nosuch"])).await.expect("created");
    lines.push(text(engine.start_container(&bad).await).await);
    let endpoint = engine.container(&clash).expect("clash").id.clone();
    let all = lines.join("\n").replace(&id, "<web>").replace(&endpoint, "<clash>");
    // The endpoint's ID differs in every run of the generator's numbering.
    let all = regex_free_hex(&all);
    insta::assert_snapshot!(all, @r#"
    409 Conflict. The container name "/web" is already in use by container "<web>". You have to remove (or rename) that container to be able to reuse that name.
    400 Invalid container name (a), only [a-zA-Z0-9][a-zA-Z0-9_.-] are allowed
    404 No such container: nosuch
    404 cannot kill container: nosuch: No such container: nosuch
    409 cannot remove container "web": container is running: stop the container before removing or force remove
    500 failed to set up container networking: driver failed programming external connectivity on endpoint clash (<id>): Bind for 0.0.0.0:8080 failed: port is already allocated
    409 cannot kill container: clash: container <clash> is not running
    409 Error when allocating new name: Conflict. The container name "/web" is already in use by container "<web>". You have to remove (or rename) that container to be able to reuse that name.
    500 Container <web> is not paused
    400 Bad parameters: you must choose at least one stream
    409 container <clash> is not running
    400 No exec command specified
    400 invalid mount config for type "bind": bind source path does not exist: /missing
    400 failed to create task for container: failed to create shim task: OCI runtime create failed: runc create failed: unable to start container process: error during container init: exec: "nosuch": executable file not found in $PATH
    "#);
    let state = engine.inspect_container(&bad, false).await.expect("inspect").state.expect("state");
    assert_eq!(state.exit_code, Some(127));
    let list = engine.list_containers(ListContainers { all: true, ..ListContainers::default() }).await.expect("list");
    let rows: Vec<_> = list
        .iter()
        .map(|row| format!("{} {}", row.names.as_ref().expect("names")[0], row.status.as_ref().expect("status")))
        .collect();
    assert!(rows.contains(&"/clash Created".to_owned()), "{rows:?}");
    assert!(rows.contains(&"/web Up Less than a second".to_owned()), "{rows:?}");
}

/// Replaces every run of 64 hexadecimal digits.
fn regex_free_hex(text: &str) -> String {
    let mut result = String::new();
    let mut run = String::new();
    for letter in text.chars().chain(['\0']) {
        if letter.is_ascii_hexdigit() && !letter.is_ascii_uppercase() {
            run.push(letter);
            continue;
        }
        result.push_str(if run.len() == 64 { "<id>" } else { &run });
        run.clear();
        if letter != '\0' {
            result.push(letter);
        }
    }
    result
}

#[tokio::test(start_paused = true)]
async fn a_drawn_port_that_another_program_has_is_drawn_again() {
    let host = FakeHost::new();
    *host.foreign_port.lock().expect("port") = Some(32768);
    let engine = open(&host).await;
    let id = run(&engine, "web", with_host(&["sleep"], port(""))).await;
    let list = engine.list_containers(ListContainers::default()).await.expect("list");
    let ports = list[0].ports.clone().unwrap_or_default();
    assert!(!ports.is_empty() && ports.iter().all(|port| port.public_port == Some(32769)), "{ports:?}");
    let fixed = create(&engine, "fixed", with_host(&["sleep"], port("32768"))).await.expect("created");
    let error = engine.start_container(&fixed).await.unwrap_err().message;
    assert!(error.ends_with("failed to bind host port 0.0.0.0:32768/tcp: address already in use"), "{error}");
    assert!(engine.remove_container(&id, RemoveContainer { force: true, ..RemoveContainer::default() }).await.is_ok());
}

#[tokio::test(start_paused = true)]
async fn stdin_reaches_the_process_and_its_end_closes_it() {
    let host = FakeHost::new();
    let engine = open(&host).await;
    let mut wanted = body(&["cat"]);
    wanted.open_stdin = Some(true);
    wanted.stdin_once = Some(true);
    let id = create(&engine, "cat", wanted).await.expect("created");
    let mut attached = attach(&engine, &id).await;
    attached.input.send(Bytes::from_static(b"hello\n")).await.expect("sent");
    engine.start_container(&id).await.expect("started");
    attached.input.close().await.expect("closed");
    assert_eq!(output(attached.output).await, "hello\n");
}

#[tokio::test(start_paused = true)]
async fn the_detach_keys_leave_the_container_running() {
    let host = FakeHost::new();
    let engine = open(&host).await;
    let mut wanted = body(&["cat"]);
    (wanted.open_stdin, wanted.tty) = (Some(true), Some(true));
    let id = run(&engine, "cat", wanted).await;
    let mut attached = attach(&engine, &id).await;
    attached.input.send(Bytes::from_static(b"x")).await.expect("sent");
    let echoed = attached.output.next().await.expect("output").expect("a chunk");
    assert_eq!(echoed.bytes, "x");
    attached.input.send(Bytes::from_static(b"\x10\x11")).await.expect("sent");
    assert_eq!(output(attached.output).await, "");
    let state = engine.inspect_container(&id, false).await.expect("inspect").state.expect("state");
    assert_eq!(state.running, Some(true));
}

#[tokio::test(start_paused = true)]
async fn restart_policies_back_off_until_somebody_stops_the_container() {
    let host = FakeHost::new();
    let engine = open(&host).await;
    let policy = RestartPolicy { name: Some(RestartPolicyNameEnum::ON_FAILURE), maximum_retry_count: Some(2) };
    let id = create(
        &engine,
        "crash",
        with_host(&["exit", "3"], HostConfig { restart_policy: Some(policy), ..HostConfig::default() }),
    )
    .await
    .expect("created");
    let exits = |n: u64| {
        let mut progress = engine.container(&id).expect("there").progress.subscribe();
        async move { progress.wait_for(|progress| progress.exits >= n).await.map(|p| p.exits).ok() }
    };
    engine.start_container(&id).await.expect("started");
    assert_eq!(exits(3).await, Some(3));
    let inspected = engine.inspect_container(&id, false).await.expect("inspect");
    assert_eq!((inspected.restart_count, inspected.state.and_then(|state| state.exit_code)), (Some(2), Some(3)));
    let always = RestartPolicy { name: Some(RestartPolicyNameEnum::ALWAYS), maximum_retry_count: None };
    let id = run(
        &engine,
        "loop",
        with_host(&["exit", "1"], HostConfig { restart_policy: Some(always), ..HostConfig::default() }),
    )
    .await;
    let mut progress = engine.container(&id).expect("there").progress.subscribe();
    progress.wait_for(|progress| progress.exits >= 2).await.expect("it restarts");
    engine.stop_container(&id, StopContainer::default()).await.expect("stopped");
    let state = engine.inspect_container(&id, false).await.expect("inspect").state.expect("state");
    assert_eq!((state.running, state.restarting), (Some(false), Some(false)));
}

#[tokio::test(start_paused = true)]
async fn execs_report_their_exit_code_and_missing_commands() {
    let host = FakeHost::new();
    let engine = open(&host).await;
    run(&engine, "web", body(&["sleep"])).await;
    let mut seen = Vec::new();
    for command in [vec!["echo", "a"], vec!["exit", "7"], vec!["nosuch"], vec!["/etc"]] {
        let config = ExecConfig {
            cmd: Some(command.into_iter().map(ToOwned::to_owned).collect()),
            attach_stdout: Some(true),
            attach_stderr: Some(true),
            ..ExecConfig::default()
        };
        let exec = engine.create_exec("web", config).await.expect("exec");
        let attached = engine.start_exec(&exec, ExecStartConfig::default()).await.expect("started").expect("attached");
        let text = output(attached.output).await;
        let code = engine.inspect_exec(&exec).await.expect("inspect").exit_code;
        seen.push(format!("{code:?} {}", text.trim_end()));
        // Whoever starts it again is told as its output, or, without one, by the status.
        let again = engine.start_exec(&exec, ExecStartConfig::default()).await.expect("answered").expect("attached");
        assert_eq!(output(again.output).await, format!("exec command {exec} has already run\r\n"));
        let detached = ExecStartConfig { detach: Some(true), ..ExecStartConfig::default() };
        assert_eq!(engine.start_exec(&exec, detached).await.map(|_| ()).unwrap_err().status, 409);
    }
    insta::assert_snapshot!(seen.join("\n"), @r#"
    Some(0) a
    Some(7) 
    Some(127) OCI runtime exec failed: exec failed: unable to start container process: exec: "nosuch": executable file not found in $PATH
    Some(126) OCI runtime exec failed: exec failed: unable to start container process: exec: "/etc": is a directory
    "#);
}

#[tokio::test(start_paused = true)]
async fn an_exec_is_read_as_its_start_asks_whatever_terminal_it_has() {
    let host = FakeHost::new();
    let engine = open(&host).await;
    run(&engine, "web", body(&["sleep"])).await;
    for (has_terminal, reads_raw) in [(true, false), (false, true)] {
        let config = ExecConfig {
            cmd: Some(vec!["echo".to_owned(), "a".to_owned()]),
            tty: Some(has_terminal),
            attach_stdout: Some(true),
            ..ExecConfig::default()
        };
        let exec = engine.create_exec("web", config).await.expect("exec");
        let start = ExecStartConfig { tty: Some(reads_raw), ..ExecStartConfig::default() };
        let attached = engine.start_exec(&exec, start).await.expect("started").expect("attached");
        assert_eq!(attached.tty, reads_raw);
    }
}

#[tokio::test(start_paused = true)]
async fn health_events_come_only_on_a_change() {
    let host = FakeHost::new();
    let engine = open(&host).await;
    let mut wanted = body(&["sleep"]);
    wanted.healthcheck = Some(HealthConfig {
        test: Some(vec!["CMD".to_owned(), "true".to_owned()]),
        interval: Some(1_000_000_000),
        ..HealthConfig::default()
    });
    run(&engine, "hc", wanted).await;
    tokio::time::sleep(std::time::Duration::from_millis(3500)).await;
    let changes: Vec<_> = events(&engine).await.into_iter().filter(|event| event.contains("health")).collect();
    assert_eq!(changes, ["container health_status: healthy"]);
    let list = engine.list_containers(ListContainers::default()).await.expect("list");
    // The helper waited for the end of the fourth second.
    assert_eq!(list[0].status.as_deref(), Some("Up 4 seconds (healthy)"));
}

#[tokio::test(start_paused = true)]
async fn a_new_engine_finds_running_containers_and_learns_how_others_ended() {
    let host = FakeHost::new();
    let engine = open(&host).await;
    let running = run(&engine, "stays", with_host(&["sleep"], port("8080"))).await;
    let ended = run(&engine, "ends", body(&["sleep"])).await;
    // The old engine is cut off: it must not see the end.
    let records = open(&host).await;
    drop(engine);
    host.end(&ended, 5);
    let mut progress = records.container(&ended).expect("loaded").progress.subscribe();
    progress.wait_for(|progress| progress.exits > 0).await.expect("the end is seen");
    let state = records.inspect_container(&ended, false).await.expect("inspect").state.expect("state");
    assert_eq!((state.running, state.exit_code), (Some(false), Some(5)));
    let list = records.list_containers(ListContainers::default()).await.expect("list");
    assert_eq!(list.len(), 1);
    assert_eq!(list[0].id.as_deref(), Some(running.as_str()));
    // Its port and address are still its own.
    let clash = create(&records, "clash", with_host(&["sleep"], port("8080"))).await.expect("created");
    assert!(records.start_container(&clash).await.is_err());
}

#[tokio::test(start_paused = true)]
async fn anonymous_volumes_go_with_rm_v_and_named_ones_stay() {
    let host = FakeHost::new();
    let engine = open(&host).await;
    let mut wanted =
        with_host(&["sleep"], HostConfig { binds: Some(vec!["vol1:/data".to_owned()]), ..HostConfig::default() });
    wanted.volumes = Some([("/cache".to_owned(), Default::default())].into());
    let id = create(&engine, "db", wanted).await.expect("created");
    let in_use = engine.remove_volume("vol1", false).await.unwrap_err();
    assert_eq!(in_use.message, format!("remove vol1: volume is in use - [{id}]"));
    engine
        .remove_container(&id, RemoveContainer { volumes: true, ..RemoveContainer::default() })
        .await
        .expect("removed");
    let left = engine.list_volumes(docklab_api::Filters::default()).await.expect("list").volumes.unwrap_or_default();
    assert_eq!(left.iter().map(|volume| volume.name.as_str()).collect::<Vec<_>>(), ["vol1"]);
    assert_eq!(engine.remove_volume("nosuch", false).await.unwrap_err().message, "get nosuch: no such volume");
    assert_eq!(engine.remove_volume("vol1", false).await, Ok(()));
}
