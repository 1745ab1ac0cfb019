//! What has to be on the machine: programs, the binary, images.

use std::{
    env,
    net::{TcpStream, ToSocketAddrs as _},
    path::{Path, PathBuf},
    process::Command,
    sync::mpsc,
    thread,
    time::Duration,
};

use anyhow::{Result, bail};

use crate::{command, progress, wasm};

/// A program and the Debian package that has it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Program {
    pub(crate) name: &'static str,
    pub(crate) package: &'static str,
}

const fn program(name: &'static str, package: &'static str) -> Program {
    Program { name, package }
}

/// What the page needs.
pub(crate) const FOR_PAGE: [Program; 2] = [program("node", "nodejs"), program("npm", "npm")];
/// What the engine needs on Linux.
pub(crate) const FOR_ENGINE: [Program; 2] = [program("nft", "nftables"), program("ip", "iproute2")];
/// What the stand-in for MongoDB is installed with; Debian splits it from python3.
pub(crate) const FOR_IMAGES: [Program; 2] = [program("python3", "python3"), program("pip3", "python3-pip")];
/// What the tests need beside these.
pub(crate) const FOR_TESTS: [Program; 5] = [
    program("busybox", "busybox-static"),
    program("chromium", "chromium"),
    program("chromedriver", "chromium-driver"),
    program("docker", "docker.io"),
    program("script", "bsdutils"),
];

/// Installs the packages of programs that are missing. Without root, or off Debian, it names them with the command.
pub(crate) fn ensure(programs: &[Program]) -> Result<()> {
    let missing = missing(programs);
    if missing.is_empty() {
        return Ok(());
    }
    let packages: Vec<&str> = missing.iter().map(|program| program.package).collect();
    if !Path::new("/etc/debian_version").exists() {
        let names: Vec<&str> = missing.iter().map(|program| program.name).collect();
        bail!("these programs are missing: {}. Install them with your system's package manager", names.join(", "));
    }
    if !is_root() {
        bail!("some programs are missing. Type:  sudo apt-get install {}", packages.join(" "));
    }
    install(&packages)
}

pub(crate) fn missing(programs: &[Program]) -> Vec<Program> {
    programs.iter().copied().filter(|program| find_program(program.name).is_none()).collect()
}

/// Looks where a login shell of root looks, too: a user's PATH has no sbin on Debian.
pub(crate) fn find_program(name: &str) -> Option<PathBuf> {
    let path = env::var_os("PATH").unwrap_or_default();
    let sbin = ["/usr/local/sbin", "/usr/sbin", "/sbin"].map(PathBuf::from);
    env::split_paths(&path).chain(sbin).map(|directory| directory.join(name)).find(|file| file.is_file())
}

pub(crate) fn is_root() -> bool {
    command::output(Command::new("id").arg("-u")).is_ok_and(|id| id == "0")
}

pub(crate) fn install(packages: &[&str]) -> Result<()> {
    progress::step(&format!("apt-get install {}", packages.join(" ")));
    let install = || {
        command::output(
            Command::new("apt-get")
                .env("DEBIAN_FRONTEND", "noninteractive")
                .args(["install", "-y", "-qq", "--no-install-recommends"])
                .args(packages),
        )
    };
    if install().is_ok() {
        return Ok(());
    }
    // The package lists of a fresh machine are empty or old.
    command::output(Command::new("apt-get").args(["update", "-qq"]))?;
    install().map(drop)
}

/// Builds the `docklab` binary and returns where it is.
pub(crate) fn build_docklab(release: bool) -> Result<PathBuf> {
    progress::step(if release { "docklab: building (release)" } else { "docklab: building" });
    let root = progress::workspace_root();
    let mut cargo = Command::new(wasm::cargo());
    cargo.current_dir(&root).args(["build", "--quiet", "-p", "docklab"]);
    if release {
        cargo.arg("--release");
    }
    command::run(&mut cargo)?;
    let target = env::var_os("CARGO_TARGET_DIR").map_or_else(|| root.join("target"), PathBuf::from);
    Ok(target.join(if release { "release" } else { "debug" }).join("docklab"))
}

/// Whether Docker Hub's registry accepts a connection within one and a half seconds.
pub(crate) fn hub_answers() -> bool {
    let (sender, receiver) = mpsc::channel();
    // Resolving a name has no time limit of its own.
    thread::spawn(move || {
        let limit = Duration::from_millis(1500);
        let answers = ("registry-1.docker.io", 443)
            .to_socket_addrs()
            .is_ok_and(|mut addresses| addresses.any(|address| TcpStream::connect_timeout(&address, limit).is_ok()));
        sender.send(answers).ok();
    });
    receiver.recv_timeout(Duration::from_millis(1500)).unwrap_or(false)
}

/// The seed of stand-in images, made unless it is there.
pub(crate) fn stand_ins(docklab: &Path) -> Result<PathBuf> {
    let seed = progress::workspace_root().join("target/images/stand-in.tar");
    if seed.exists() {
        return Ok(seed);
    }
    ensure(&FOR_IMAGES)?;
    progress::step("images: Docker Hub does not answer, building stand-ins from Debian packages (once)");
    if let Some(directory) = seed.parent() {
        std::fs::create_dir_all(directory)?;
    }
    command::output(
        Command::new(docklab)
            .args(["images", "stand-in", "--output"])
            .arg(&seed)
            .env("DOCKLAB_HOME", progress::workspace_root().join("target/images/home")),
    )?;
    Ok(seed)
}
