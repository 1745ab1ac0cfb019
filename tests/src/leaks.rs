use std::{fs, path::Path, process::Command};

/// What an engine that has been purged left on the machine: mounts and processes of its directory; links, firewall tables
/// and cgroups of its name.
pub fn leftovers(name: &str, directory: &Path) -> Vec<String> {
    let mut left = Vec::new();
    let directory = directory.to_string_lossy();
    let mounts = fs::read_to_string("/proc/self/mountinfo").unwrap_or_default();
    let containers = format!("{directory}/root/run/containers");
    left.extend(mounts.lines().filter(|line| line.contains(&containers)).map(|line| format!("mount: {line}")));
    left.extend(processes(&directory).into_iter().map(|process| format!("process: {process}")));
    let links = Command::new("ip").args(["-o", "link"]).output().map(|output| output.stdout).unwrap_or_default();
    for line in String::from_utf8_lossy(&links).lines() {
        if line.split_whitespace().nth(1).is_some_and(|link| link.starts_with(name)) {
            left.push(format!("link: {line}"));
        }
    }
    let tables = Command::new("nft").args(["list", "tables"]).output().map(|output| output.stdout).unwrap_or_default();
    let tables = String::from_utf8_lossy(&tables).into_owned();
    left.extend(tables.lines().filter(|line| line.contains(name)).map(|line| format!("firewall: {line}")));
    let roots = fs::read_dir("/sys/fs/cgroup").into_iter().flatten().filter_map(Result::ok).map(|entry| entry.path());
    for root in roots {
        // Of a v1 hierarchy below the controller's directory, of a v2 one at the top.
        for parent in [root.join("docklab"), root.clone()] {
            let cgroup = parent.join(name);
            if cgroup.is_dir() {
                left.push(format!("cgroup: {}", cgroup.display()));
            }
        }
    }
    let cgroup = Path::new("/sys/fs/cgroup/docklab").join(name);
    if cgroup.is_dir() {
        left.push(format!("cgroup: {}", cgroup.display()));
    }
    left
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
