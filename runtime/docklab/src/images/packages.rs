//! Debian packages: what belongs to a program, and its files.

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
    process::{Command, Output, Stdio},
};

use anyhow::{Context as _, Result, bail};

use super::layer::Layer;

/// A package as apt resolved it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Package {
    pub(super) name: String,
    pub(super) version: String,
}

impl Package {
    /// apt's own way to write one exact version.
    pub(super) fn exact(&self) -> String {
        format!("{}={}", self.name, self.version)
    }
}

/// The packages and all that they depend on, without recommendations, as on a machine that has nothing yet.
pub(super) fn closure(wanted: &[&str], without: &[&str]) -> Result<Vec<Package>> {
    let simulate = || {
        Command::new("apt-get")
            .args(["install", "--simulate", "--no-install-recommends", "-o", "Dir::State::status=/dev/null"])
            .args(wanted)
            .output()
            .context("stand-ins are made of Debian packages, which needs apt-get")
    };
    let mut output = simulate()?;
    if !output.status.success() {
        // A fresh machine has no package lists.
        run(Command::new("apt-get").args(["update", "-qq"]))?;
        output = simulate()?;
    }
    if !output.status.success() {
        bail!("apt-get cannot resolve {}: {}", wanted.join(" "), last_line(&output));
    }
    let found = parse_simulation(&String::from_utf8_lossy(&output.stdout));
    Ok(found.into_iter().filter(|package| !without.iter().any(|name| matches(name, &package.name))).collect())
}

/// A trailing `*` stands for any rest.
fn matches(pattern: &str, name: &str) -> bool {
    pattern.strip_suffix('*').map_or(pattern == name, |start| name.starts_with(start))
}

/// Lines such as `Inst bash (5.2.15-2+b7 Debian:12.15/oldstable [amd64])`.
fn parse_simulation(text: &str) -> Vec<Package> {
    let mut packages = BTreeSet::new();
    for line in text.lines() {
        let mut words = line.split_whitespace();
        if words.next() != Some("Inst") {
            continue;
        }
        let (Some(name), Some(version)) = (words.next(), words.find_map(|word| word.strip_prefix('('))) else {
            continue;
        };
        packages.insert(Package { name: name.to_owned(), version: version.to_owned() });
    }
    packages.into_iter().collect()
}

/// Unpacks packages into a layer; their maintainer scripts do not run.
pub(super) fn unpack(packages: &[Package], cache: &Path, layer: &mut Layer) -> Result<()> {
    fs::create_dir_all(cache).with_context(|| format!("creating {}", cache.display()))?;
    let missing: Vec<String> =
        packages.iter().filter(|package| find(cache, package).is_none()).map(Package::exact).collect();
    if !missing.is_empty() {
        eprintln!("  downloading {} packages", missing.len());
        run(Command::new("apt-get").args(["download", "-qq"]).args(&missing).current_dir(cache))?;
    }
    for package in packages {
        let file = find(cache, package).with_context(|| format!("apt-get did not download {}", package.exact()))?;
        let mut child = Command::new("dpkg-deb")
            .arg("--fsys-tarfile")
            .arg(&file)
            .stdout(Stdio::piped())
            .spawn()
            .context("stand-ins are made of Debian packages, which needs dpkg-deb")?;
        let tar = child.stdout.take().context("reading a package: no output")?;
        layer.add_tar(tar).with_context(|| format!("unpacking {}", file.display()))?;
        let status = child.wait().context("waiting for dpkg-deb")?;
        if !status.success() {
            bail!("dpkg-deb could not unpack {} ({status})", file.display());
        }
    }
    Ok(())
}

/// `NAME_VERSION_ARCHITECTURE.deb`, with the version's colon escaped.
fn find(cache: &Path, package: &Package) -> Option<PathBuf> {
    let name = package.name.split(':').next().unwrap_or_default();
    let start = format!("{name}_{}_", package.version.replace(':', "%3a"));
    let entries = fs::read_dir(cache).ok()?;
    entries.filter_map(Result::ok).map(|entry| entry.path()).find(|path| {
        path.file_name()
            .and_then(|name| name.to_str())
            .is_some_and(|name| name.starts_with(&start) && name.ends_with(".deb"))
    })
}

pub(super) fn run(command: &mut Command) -> Result<()> {
    let program = command.get_program().to_string_lossy().into_owned();
    let output = command.stdin(Stdio::null()).output().with_context(|| format!("starting {program}"))?;
    if !output.status.success() {
        bail!("{program} failed ({}): {}", output.status, last_line(&output));
    }
    Ok(())
}

fn last_line(output: &Output) -> String {
    let text = String::from_utf8_lossy(&output.stderr);
    text.lines().rev().find(|line| !line.trim().is_empty()).unwrap_or("it printed nothing").to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_simulation_names_packages_and_versions() {
        let text = "Reading package lists...\nInst bash (5.2.15-2+b7 Debian:12/stable [amd64]) []\n\
                    Inst tar [1.0] (1.34 Debian:12/stable [amd64])\nConf bash (5.2.15-2+b7 Debian:12/stable [amd64])\n";
        let names: Vec<String> = parse_simulation(text).iter().map(Package::exact).collect();
        assert_eq!(names, ["bash=5.2.15-2+b7", "tar=1.34"]);
    }

    #[test]
    fn a_star_stands_for_any_rest() {
        assert!(matches("perl*", "perl-base"));
        assert!(!matches("perl", "perl-base"));
    }
}
