//! A compiler for `wasm32-unknown-unknown`: found, or made.
//!
//! Three ways, tried in this order: the compiler that is already there, `rustup target add`, and Debian's `rustc-web`
//! with a standard library built from its sources.

use std::{
    env, fs,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use anyhow::{Context, Result, bail};

use crate::progress;

/// The target the page is compiled for.
pub(crate) const TARGET: &str = "wasm32-unknown-unknown";
const DEBIAN_RUSTC: &str = "/usr/bin/rustc";
const DEBIAN_SYSROOT: &str = "/usr/lib/rustlib";
/// rustup may wait for a dead server for minutes; this is long enough for a slow download of 30 MB.
const RUSTUP_SECONDS: &str = "90";

/// The compiler to hand to cargo as `RUSTC`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct WasmCompiler {
    pub(crate) rustc: PathBuf,
}

impl WasmCompiler {
    /// Points a cargo command at this compiler.
    pub(crate) fn apply(&self, cargo: &mut Command) {
        cargo.env("RUSTC", &self.rustc);
    }
}

/// Finds a compiler that can build for the browser, installing what is missing.
pub(crate) fn ensure_compiler() -> Result<WasmCompiler> {
    let default = default_rustc();
    if compiles(&default) {
        return Ok(WasmCompiler { rustc: default });
    }
    let debian = PathBuf::from(DEBIAN_RUSTC);
    if compiles(&debian) {
        return Ok(WasmCompiler { rustc: debian });
    }
    progress::step("wasm32: no compiler yet, asking rustup");
    if add_with_rustup() && compiles(&default) {
        return Ok(WasmCompiler { rustc: default });
    }
    if Path::new("/etc/debian_version").exists() {
        progress::step("wasm32: rustup cannot help here, using Debian's rustc-web");
        install_debian().context("setting up Debian's compiler for wasm32")?;
        if compiles(&debian) {
            return Ok(WasmCompiler { rustc: debian });
        }
    }
    bail!(
        "no Rust compiler here can build for {TARGET}.\n\
         With rustup and a network:  rustup target add {TARGET}\n\
         On Debian or Ubuntu, as root:  apt-get install rustc-web rust-web-src, then run this again."
    )
}

fn default_rustc() -> PathBuf {
    env::var_os("RUSTC").map_or_else(|| PathBuf::from("rustc"), PathBuf::from)
}

/// Compiles and links an empty program. This finds everything that can be wrong with a target at once: no standard
/// library, one of another compiler release, no linker.
fn compiles(rustc: &Path) -> bool {
    let Ok(directory) = scratch_directory("wasm-probe") else { return false };
    let source = directory.join("probe.rs");
    if fs::write(&source, "fn main() {}\n").is_err() {
        return false;
    }
    Command::new(rustc)
        .args(["--target", TARGET, "--edition", "2024", "-o"])
        .arg(directory.join("probe.wasm"))
        .arg(&source)
        .current_dir(&directory)
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .is_ok_and(|status| status.success())
}

fn add_with_rustup() -> bool {
    let rustup = ["target", "add", TARGET];
    let with_limit = Command::new("timeout").arg(RUSTUP_SECONDS).arg("rustup").args(rustup).status();
    match with_limit {
        Ok(status) => status.success(),
        // No `timeout` outside GNU systems; rustup's own limits apply there.
        Err(_) => Command::new("rustup").args(rustup).status().is_ok_and(|status| status.success()),
    }
}

fn install_debian() -> Result<()> {
    if !is_root() {
        bail!("this needs root: run  sudo apt-get install rustc-web rust-web-src  and start again as root once");
    }
    apt_install(&["rustc-web", "rust-web-src"])?;
    let linker = format!("lld-{}", llvm_major()?);
    apt_install(&[&linker])?;
    link_rust_lld(&linker)?;
    build_standard_library()
}

fn is_root() -> bool {
    Command::new("id").arg("-u").output().is_ok_and(|output| output.stdout.trim_ascii() == b"0")
}

fn apt_install(packages: &[&str]) -> Result<()> {
    progress::step(&format!("apt-get install {}", packages.join(" ")));
    let install = || {
        run(Command::new("apt-get")
            .env("DEBIAN_FRONTEND", "noninteractive")
            .args(["install", "-y", "-q", "--no-install-recommends"])
            .args(packages))
    };
    // The package lists of a fresh machine are empty or old.
    install().or_else(|_| {
        run(Command::new("apt-get").args(["update", "-q"]))?;
        install()
    })
}

/// The LLVM release that the compiler was built with; its linker must not be older.
fn llvm_major() -> Result<u32> {
    let output = Command::new(DEBIAN_RUSTC).arg("-vV").output().context("asking rustc for its version")?;
    parse_llvm_major(&String::from_utf8_lossy(&output.stdout))
        .with_context(|| format!("`{DEBIAN_RUSTC} -vV` names no LLVM version"))
}

fn parse_llvm_major(version: &str) -> Option<u32> {
    let line = version.lines().find_map(|line| line.strip_prefix("LLVM version: "))?;
    line.split('.').next()?.trim().parse().ok()
}

fn link_rust_lld(linker: &str) -> Result<()> {
    let triple = format!("{}-unknown-linux-gnu", env::consts::ARCH);
    let directory = Path::new(DEBIAN_SYSROOT).join(triple).join("bin");
    fs::create_dir_all(&directory).with_context(|| format!("creating {}", directory.display()))?;
    let link = directory.join("rust-lld");
    if link.symlink_metadata().is_ok() {
        fs::remove_file(&link).with_context(|| format!("removing {}", link.display()))?;
    }
    run(Command::new("ln").arg("-sfn").arg(format!("/usr/bin/{linker}")).arg(&link))
}

/// Debian ships the sources of the standard library for this target, not the library. An empty crate built with
/// `-Z build-std` leaves all its rlibs in `deps`, from where they move into the compiler's sysroot.
fn build_standard_library() -> Result<()> {
    progress::step("wasm32: building the standard library (about 30 seconds, once)");
    let directory = scratch_directory("wasm-std")?;
    let write = |path: &str, text: &str| -> Result<()> {
        let path = directory.join(path);
        if let Some(parent) = path.parent() {
            fs::create_dir_all(parent).with_context(|| format!("creating {}", parent.display()))?;
        }
        fs::write(&path, text).with_context(|| format!("writing {}", path.display()))
    };
    write(
        "Cargo.toml",
        "[package]\nname = \"empty\"\nversion = \"0.1.0\"\nedition = \"2021\"\n[workspace]\n\
         [profile.release]\nopt-level = \"s\"\ncodegen-units = 1\npanic = \"abort\"\n",
    )?;
    write("src/lib.rs", "")?;
    write(
        ".cargo/config.toml",
        "[source.crates-io]\nreplace-with = \"vendored\"\n\
         [source.vendored]\ndirectory = \"/usr/lib/rustlib/src/rust/library/vendor\"\n",
    )?;
    run(Command::new(cargo())
        .current_dir(&directory)
        .env("RUSTC", DEBIAN_RUSTC)
        .env("RUSTC_BOOTSTRAP", "1")
        // Without bitcode in the rlibs the page's link-time optimisation cannot reach into them.
        .env("CARGO_TARGET_WASM32_UNKNOWN_UNKNOWN_RUSTFLAGS", "-Cembed-bitcode=yes")
        .args(["build", "--offline", "--release", "--target", TARGET])
        .args(["-Z", "build-std=std,panic_abort,panic_unwind,proc_macro,test"]))?;
    let built = directory.join("target").join(TARGET).join("release/deps");
    let library = Path::new(DEBIAN_SYSROOT).join(TARGET).join("lib");
    // Rests of another compiler release would be found beside the new ones.
    if library.exists() {
        fs::remove_dir_all(&library).with_context(|| format!("removing {}", library.display()))?;
    }
    fs::create_dir_all(&library).with_context(|| format!("creating {}", library.display()))?;
    for entry in fs::read_dir(&built).with_context(|| format!("reading {}", built.display()))? {
        let path = entry?.path();
        let Some(name) = path.file_name().and_then(|name| name.to_str()) else { continue };
        let is_library = name.ends_with(".rlib") || name.ends_with(".rmeta");
        if is_library && !name.starts_with("libempty") {
            fs::copy(&path, library.join(name)).with_context(|| format!("copying {name}"))?;
        }
    }
    Ok(())
}

pub(crate) fn cargo() -> PathBuf {
    env::var_os("CARGO").map_or_else(|| PathBuf::from("cargo"), PathBuf::from)
}

fn scratch_directory(name: &str) -> Result<PathBuf> {
    let directory = progress::workspace_root().join("target/page-setup").join(name);
    fs::create_dir_all(&directory).with_context(|| format!("creating {}", directory.display()))?;
    Ok(directory)
}

pub(crate) fn run(command: &mut Command) -> Result<()> {
    let name = command.get_program().to_string_lossy().into_owned();
    let status = command.status().with_context(|| format!("starting {name}"))?;
    if !status.success() {
        let arguments: Vec<_> = command.get_args().map(|argument| argument.to_string_lossy()).collect();
        bail!("`{name} {}` failed ({status})", arguments.join(" "));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_linker_follows_the_compilers_llvm() {
        let version = "rustc 1.96.0\nhost: x86_64-unknown-linux-gnu\nrelease: 1.96.0\nLLVM version: 22.1.2\n";
        assert_eq!(parse_llvm_major(version), Some(22));
        assert_eq!(parse_llvm_major("rustc 1.96.0\n"), None);
    }

    #[test]
    fn a_missing_compiler_does_not_compile() {
        assert!(!compiles(Path::new("/no/such/rustc")));
    }
}
