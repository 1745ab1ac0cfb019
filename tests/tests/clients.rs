//! Other programs that speak Docker's API.

use std::{
    path::PathBuf,
    process::Command,
    sync::{Mutex, PoisonError},
};

use docklab_tests::{Engine, Need, can_run, succeed, workspace};

const SMOKE: &str = r#"
import docker
client = docker.from_env()
assert client.ping()
assert client.containers.run("busybox", ["echo", "hello"], remove=True) == b"hello\n"
container = client.containers.run("busybox", ["sleep", "1000"], detach=True, name="py", labels={"a": "b"})
assert [c.name for c in client.containers.list(filters={"label": "a=b"})] == ["py"]
code, output = container.exec_run(["sh", "-c", "echo out; exit 4"])
assert (code, output) == (4, b"out\n"), (code, output)
parts, stat = container.get_archive("/bin/busybox")
assert stat["name"] == "busybox" and len(b"".join(parts)) > 100000
container.put_archive("/tmp", b"\0" * 1024)
container.stop(timeout=0)
assert container.wait()["StatusCode"] == 137
container.remove()
volume = client.volumes.create("vol")
volume.remove()
network = client.networks.create("net1")
network.remove()
try:
    client.containers.get("nosuch")
except docker.errors.NotFound as error:
    assert error.explanation == "No such container: nosuch", error.explanation
else:
    raise AssertionError("a container that does not exist was found")
assert "busybox:latest" in [tag for image in client.images.list() for tag in image.tags]
print("ok")
"#;

/// What clients count on beyond the first steps: each line stands for a kind of request that was once answered differently.
const CONTRACTS: &str = r#"
import io, tarfile
import docker
client = docker.from_env()
api = client.api

def refused(status, text, call, *arguments, **options):
    try:
        call(*arguments, **options)
    except docker.errors.APIError as error:
        assert (error.status_code, text in error.explanation) == (status, True), (error.status_code, error.explanation)
    else:
        raise AssertionError(f"{text!r} was not refused")

# Versions: every one that Docker 28 speaks, and no other.
for version in ["1.24", "1.44", "1.51"]:
    assert docker.from_env(version=version).ping()
refused(400, "is too new. Maximum supported API version is 1.51", docker.from_env(version="1.99").ping)

# Bodies: names in any case, one string as a command, absent fields.
created = api._result(api._post_json(api._url("/containers/create"), {
    "image": "busybox", "CMD": "true", "hostconfig": {"networkmode": "none", "Binds": None}}), json=True)
assert api.inspect_container(created)["HostConfig"]["NetworkMode"] == "none"
api.remove_container(created)
refused(400, "unknown policy 'sometimes'", client.containers.create, "busybox", restart_policy={"Name": "sometimes"})
refused(400, 'plugin "nosuch" not found', client.containers.create, "busybox", "true",
        log_config={"Type": "nosuch", "Config": {}})

# Streams: the start of an exec says how it is read, not its terminal.
main = client.containers.run("busybox", ["sleep", "1000"], detach=True, name="main", environment={"A": "b"})
script = ["sh", "-c", "echo out; echo err >&2"]
exec_id = api.exec_create(main.id, script, tty=True)
assert b"".join(api.exec_start(exec_id, stream=True)) == b"out\r\nerr\r\n"
exec_id = api.exec_create(main.id, script)
assert api.exec_start(exec_id, demux=True) == (b"out\n", b"err\n")
details = api.exec_inspect(exec_id)
assert (details["Running"], details["ExitCode"], details["Pid"] > 0) == (False, 0, True), details
assert b"has already run" in api.exec_start(exec_id)
refused(400, "unable to find user nobody-knows", api.exec_create, main.id, "true", user="nobody-knows")
assert main.exec_run("pwd", workdir="/nosuch")[0] == 127

# Files in the volume of a container that does not run.
volume = client.volumes.create("data")
holder = client.containers.create("busybox", "true", volumes={"data": {"bind": "/data", "mode": "rw"}})
archive = io.BytesIO()
with tarfile.open(fileobj=archive, mode="w") as tar:
    entry = tarfile.TarInfo("file")
    entry.size = 5
    tar.addfile(entry, io.BytesIO(b"hello"))
assert holder.put_archive("/data", archive.getvalue())
parts, stat = holder.get_archive("/data")
with tarfile.open(fileobj=io.BytesIO(b"".join(parts))) as tar:
    assert tar.extractfile("data/file").read() == b"hello"
assert stat["name"] == "data"
holder.remove()
volume.remove()

# Links of the default bridge: variables, a name that can be removed.
linked = client.containers.create("busybox", "env", links={"main": "other"}, name="linked")
linked.start()
linked.wait()
assert b"OTHER_NAME=/linked/other" in linked.logs() and b"OTHER_ENV_A=b" in linked.logs(), linked.logs()
assert "/linked/other" in api.containers(filters={"name": "main"})[0]["Names"]
api.remove_container("linked/other", link=True)
assert "/linked/other" not in api.containers(filters={"name": "main"})[0]["Names"]

# Networks: both families, addresses and MAC of choice, names by links.
pool = docker.types.IPAMPool(subnet="2001:389::/64", gateway="2001:389::1")
network = client.networks.create("six", enable_ipv6=True, ipam=docker.types.IPAMConfig(pool_configs=[pool]))
config = api.create_networking_config({"six": api.create_endpoint_config(
    ipv6_address="2001:389::f00d", mac_address="02:42:ac:11:99:02", links={"main": "other"}, link_local_ips=["169.254.8.8"])})
six = api.create_container("busybox", ["sleep", "1000"], name="six", networking_config=config,
                           host_config=api.create_host_config(network_mode="six"))
assert api.inspect_container(six)["NetworkSettings"]["Networks"]["six"]["MacAddress"] == "02:42:ac:11:99:02"
network.connect(main)
api.start(six)
endpoint = api.inspect_container(six)["NetworkSettings"]["Networks"]["six"]
assert endpoint["GlobalIPv6Address"] == "2001:389::f00d" and endpoint["IPAMConfig"]["LinkLocalIPs"] == ["169.254.8.8"]
code, output = client.containers.get("six").exec_run(["sh", "-c", "ip -6 addr show eth0; nslookup other"])
assert b"2001:389::f00d" in output, output
code, output = main.exec_run(["ping6", "-c", "1", "-w", "5", "2001:389::f00d"])
assert code == 0, output
refused(404, "network six not found", api.inspect_network, "six", scope="swarm")
api.remove_container(six, force=True)
network.disconnect(main)
network.remove()

# Filters are patterns, and what is neither true nor false is refused.
assert [c.name for c in client.containers.list(filters={"name": "^/?ma[hi]n$"})] == ["main"]
refused(400, "invalid filter 'is-task=[perhaps]'", client.containers.list, filters={"is-task": "perhaps"})
assert client.api.volumes(filters={"name": "^data$"})["Volumes"] == []

# A terminal has a console.
console = client.containers.run("busybox", ["sh", "-c", "echo seen > /dev/console"], tty=True, remove=True)
assert console == b"seen\r\n", console
main.remove(force=True)
linked.remove()
print("ok")
"#;

#[test]
fn docker_py_works_with_our_engine() {
    if !can_run("docker_py_works_with_our_engine", &[Need::Root, Need::Program("python3")]) {
        return;
    }
    let engine = Engine::start();
    let output = succeed(Command::new(python()).args(["-c", SMOKE]).env("DOCKER_HOST", engine.host()));
    assert_eq!(output, "ok\n");
}

#[test]
fn docker_py_finds_what_clients_count_on() {
    if !can_run("docker_py_finds_what_clients_count_on", &[Need::Root, Need::Program("python3")]) {
        return;
    }
    let engine = Engine::start();
    let output = succeed(Command::new(python()).args(["-c", CONTRACTS]).env("DOCKER_HOST", engine.host()));
    assert_eq!(output, "ok\n");
}

/// A Python with docker-py, set up once.
fn python() -> PathBuf {
    static SETTING_UP: Mutex<()> = Mutex::new(());
    let _one_at_a_time = SETTING_UP.lock().unwrap_or_else(PoisonError::into_inner);
    let environment = workspace().join("target/docker-py");
    let python = environment.join("bin/python3");
    if !environment.join("ready").exists() {
        succeed(Command::new("python3").args(["-m", "venv", "--clear"]).arg(&environment));
        succeed(Command::new(&python).args(["-m", "pip", "install", "--quiet", "docker==7.1.0"]));
        std::fs::write(environment.join("ready"), "").expect("marking the environment as ready");
    }
    python
}
