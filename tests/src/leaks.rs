use std::{fs, path::Path, process::Command};

/// What an engine has left on the machine: mounts and processes of its directory; interfaces, network namespaces and
/// cgroups of its name.
///
/// An engine may keep its bridge, so that the next one finds it: only what belongs to a container counts.
pub fn leftovers(name: &str, directory: &Path) -> Vec<String> {
    let mut left = Vec::new();
    let directory = directory.to_string_lossy();
    let mounts = fs::read_to_string("/proc/self/mountinfo").unwrap_or_default();
    let containers = format!("{directory}/root/run/containers");
    left.extend(mounts.lines().filter(|line| line.contains(&containers)).map(|line| format!("mount: {line}")));
    left.extend(processes(&directory).into_iter().map(|process| format!("process: {process}")));
    let links = Command::new("ip").args(["-o", "link"]).output().map(|output| output.stdout).unwrap_or_default();
    for line in String::from_utf8_lossy(&links).lines() {
        let is_bridge = line.split_whitespace().nth(1).is_some_and(|link| !link.contains('@'));
        if line.split_whitespace().nth(1).is_some_and(|link| link.starts_with(name)) && !is_bridge {
            left.push(format!("link: {line}"));
        }
    }
    let roots = fs::read_dir("/sys/fs/cgroup").into_iter().flatten().filter_map(Result::ok).map(|entry| entry.path());
    for root in roots {
        left.extend(cgroups(&root.join(name)).into_iter().map(|cgroup| format!("cgroup: {cgroup}")));
    }
    left
}

/// Cgroups below an engine's own that still hold a process.
fn cgroups(root: &Path) -> Vec<String> {
    let mut held = Vec::new();
    for entry in fs::read_dir(root).into_iter().flatten().filter_map(Result::ok).filter(|entry| entry.path().is_dir()) {
        let members = fs::read_to_string(entry.path().join("cgroup.procs")).unwrap_or_default();
        if !members.trim().is_empty() {
            held.push(entry.path().display().to_string());
        }
        held.extend(cgroups(&entry.path()));
    }
    held
}

fn processes(directory: &str) -> Vec<String> {
    let mut found = Vec::new();
    for entry in fs::read_dir("/proc").into_iter().flatten().filter_map(Result::ok) {
        let Ok(line) = fs::read(entry.path().join("cmdline")) else { continue };
        let line = String::from_utf8_lossy(&line).replace('\0', " ");
        if line.contains(&format!("{directory}/root")) {
            found.push(format!("{} {line}", entry.file_name().to_string_lossy()));
        }
    }
    found
}
