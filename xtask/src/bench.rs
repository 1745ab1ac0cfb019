//! `cargo xtask bench`: our engine and a real dockerd side by side, each alone on the machine in turn.

use std::{
    collections::BTreeMap,
    fs,
    path::Path,
    process::{Command, Stdio},
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, bail};
use serde_json::{Value, json};

use crate::{
    command, page,
    parity::machine::{self, Client, Machine},
    progress, setup, wasm,
};

const ROUNDS: usize = 20;
/// Containers that run while `ps` and memory are measured.
const CROWD: usize = 100;

/// Medians in milliseconds, memory in KiB.
type Figures = BTreeMap<&'static str, f64>;

pub(crate) fn run(json_file: Option<&Path>) -> Result<bool> {
    if !setup::is_root() {
        bail!("both engines need root. Type:  sudo -E cargo xtask bench");
    }
    let docklab = setup::build_docklab(true)?;
    let seed = setup::stand_ins(&docklab)?;
    let ours = measure(&Machine::docklab(&docklab)?, &seed).context("measuring our engine")?;
    let docker = measure(&Machine::docker()?, &seed).context("measuring dockerd")?;
    let tick = tick(&docklab, &seed).context("measuring the page")?;
    println!("{:<38}{:>12}{:>12}{:>8}", "median", "docklab", "dockerd", "ratio");
    let mut rows = Vec::new();
    for (name, ours) in &ours {
        let theirs = docker.get(name).copied().unwrap_or_default();
        let ratio = if *ours > 0.0 { theirs / ours } else { 0.0 };
        println!("{name:<38}{ours:>12.1}{theirs:>12.1}{ratio:>7.1}×");
        rows.push(json!({ "name": name, "docklab": ours, "dockerd": theirs, "ratio": ratio }));
    }
    let name = "container started to tick in page, ms";
    println!("{name:<38}{tick:>12.1}{:>12}", "-");
    rows.push(json!({ "name": name, "docklab": tick }));
    if let Some(file) = json_file {
        fs::write(file, serde_json::to_vec_pretty(&rows)?).with_context(|| format!("writing {}", file.display()))?;
    }
    Ok(true)
}

/// The median that the example `tick` of the end-to-end tests finds with the optimised page and engine.
fn tick(docklab: &Path, seed: &Path) -> Result<f64> {
    page::build_page(true)?;
    let mut example = Command::new(wasm::cargo());
    example.current_dir(progress::workspace_root());
    example.args(["run", "--quiet", "-p", "docklab-tests", "--example", "tick"]);
    example.env("DOCKLAB_BINARY", docklab).env("DOCKLAB_SEED", seed);
    let median = command::output(&mut example)?;
    median.trim().parse().with_context(|| format!("reading the median `{median}`"))
}

fn measure(machine: &Machine, seed: &Path) -> Result<Figures> {
    let mut figures = Figures::new();
    figures.insert("idle engine, resident KiB", resident(machine.pid()));
    machine.load(seed)?;
    let docker = |words: &[&str]| docker(machine, words);
    figures.insert("docker run --rm true, ms", median(|_| timed(|| docker(&["run", "--rm", "busybox", "true"])))?);
    figures.insert(
        "docker run --rm --network none, ms",
        median(|_| timed(|| docker(&["run", "--rm", "--network", "none", "busybox", "true"])))?,
    );
    figures.insert("API create and start, ms", median(|_| create_and_start(machine.socket()))?);
    docker(&["run", "-d", "--name", "bench", "busybox", "sleep", "1000"])?;
    figures.insert("docker exec true, ms", median(|_| timed(|| docker(&["exec", "bench", "true"])))?);
    figures.insert(
        "docker stop, ms",
        median(|round| {
            let name = format!("stopped{round}");
            docker(&["run", "-d", "--init", "--name", &name, "busybox", "sleep", "1000"])?;
            timed(|| docker(&["stop", &name]))
        })?,
    );
    let before = rss_of_tree(machine.pid());
    for _ in 0..CROWD {
        docker(&["run", "-d", "--network", "none", "busybox", "sleep", "1000"])?;
    }
    figures.insert("docker ps, 100 containers, ms", median(|_| timed(|| docker(&["ps"])))?);
    figures.insert("engine's processes per container, KiB", (rss_of_tree(machine.pid()) - before) / CROWD as f64);
    Ok(figures)
}

fn docker(machine: &Machine, words: &[&str]) -> Result<()> {
    let client = Client::real()?;
    let output = Command::new(client.program)
        .env("DOCKER_HOST", machine.host())
        .args(words)
        .stdin(Stdio::null())
        .output()
        .context("starting docker")?;
    if !output.status.success() {
        bail!("docker {}: {}", words.join(" "), String::from_utf8_lossy(&output.stderr).trim());
    }
    Ok(())
}

/// From the request to create until the answer that the program has been started.
fn create_and_start(socket: &Path) -> Result<Duration> {
    let started = Instant::now();
    let body = json!({ "Image": "busybox", "Cmd": ["true"] }).to_string();
    let (status, answer) = machine::request(socket, "POST", "/containers/create", &body)?;
    let id = json_body(&answer).and_then(|answer| Some(answer.get("Id")?.as_str()?.to_owned()));
    let id = id.with_context(|| format!("creating a container: status {status}: {answer}"))?;
    let (status, answer) = machine::request(socket, "POST", &format!("/containers/{id}/start"), "")?;
    if status != 204 {
        bail!("starting a container: status {status}: {answer}");
    }
    Ok(started.elapsed())
}

/// The object in a body, whether or not it came in chunks.
fn json_body(body: &str) -> Option<Value> {
    let object = body.get(body.find('{')?..=body.rfind('}')?)?;
    serde_json::from_str(object).ok()
}

fn timed(work: impl FnOnce() -> Result<()>) -> Result<Duration> {
    let started = Instant::now();
    work()?;
    Ok(started.elapsed())
}

fn median(mut round: impl FnMut(usize) -> Result<Duration>) -> Result<f64> {
    let mut times = Vec::new();
    for number in 0..ROUNDS {
        times.push(round(number)?);
    }
    times.sort();
    Ok(times[times.len() / 2].as_secs_f64() * 1000.0)
}

/// Resident memory of a process and its children's children, without what runs in containers.
fn rss_of_tree(pid: u32) -> f64 {
    let name = fs::read_to_string(format!("/proc/{pid}/comm")).unwrap_or_default();
    let own = if matches!(name.trim(), "sleep" | "busybox" | "docker-init") { 0.0 } else { rss(pid) };
    let tasks = fs::read_dir(format!("/proc/{pid}/task"));
    let children = tasks.into_iter().flatten().filter_map(Result::ok).filter_map(|task| {
        let list = fs::read_to_string(task.path().join("children")).ok()?;
        Some(list.split_whitespace().filter_map(|child| child.parse().ok()).collect::<Vec<u32>>())
    });
    own + children.flatten().map(rss_of_tree).sum::<f64>()
}

/// What `ps` calls RSS: everything of the process that is in memory, shared libraries included, in KiB.
fn resident(pid: u32) -> f64 {
    let Ok(status) = fs::read_to_string(format!("/proc/{pid}/status")) else { return 0.0 };
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    line.and_then(|line| line.trim().trim_end_matches(" kB").parse().ok()).unwrap_or(0.0)
}

/// Its private share in KiB: pages that it shares with its like count once for all.
fn rss(pid: u32) -> f64 {
    let Ok(smaps) = fs::read_to_string(format!("/proc/{pid}/smaps_rollup")) else { return 0.0 };
    let line = smaps.lines().find_map(|line| line.strip_prefix("Pss:"));
    line.and_then(|line| line.trim().trim_end_matches(" kB").parse().ok()).unwrap_or(0.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_object_is_found_in_a_chunked_body() {
        let body = "1a\r\n{\"Id\":\"abc\",\"Warnings\":[]}\r\n0\r\n\r\n";
        assert_eq!(
            json_body(body).and_then(|value| Some(value.get("Id")?.as_str()?.to_owned())).as_deref(),
            Some("abc")
        );
    }
}
