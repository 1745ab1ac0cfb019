//! Other programs that speak Docker's API.

use std::process::Command;

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

#[test]
fn docker_py_works_with_our_engine() {
    if !can_run("docker_py_works_with_our_engine", &[Need::Root, Need::Program("python3")]) {
        return;
    }
    let environment = workspace().join("target/docker-py");
    let python = environment.join("bin/python3");
    if !environment.join("ready").exists() {
        succeed(Command::new("python3").args(["-m", "venv", "--clear"]).arg(&environment));
        succeed(Command::new(&python).args(["-m", "pip", "install", "--quiet", "docker==7.1.0"]));
        std::fs::write(environment.join("ready"), "").expect("marking the environment as ready");
    }
    let engine = Engine::start();
    let output = succeed(Command::new(&python).args(["-c", SMOKE]).env("DOCKER_HOST", engine.host()));
    assert_eq!(output, "ok\n");
}
