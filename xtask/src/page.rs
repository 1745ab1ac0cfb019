//! Builds the page into `web/dist`: WebAssembly, the terminal's JavaScript, styles, fonts, labs.

use std::{
    fs,
    io::Write as _,
    path::{Path, PathBuf},
    process::Command,
    time::Instant,
};

use anyhow::{Context, Result, bail};
use sha2::{Digest as _, Sha256};

use crate::{
    progress,
    wasm::{self, TARGET, WasmCompiler},
};

const FINGERPRINT: &str = ".fingerprint";
/// What a browser downloads compressed; everything else (fonts, images) is compressed in itself.
const COMPRESSED: [&str; 8] = ["css", "html", "js", "json", "md", "svg", "txt", "wasm"];

/// Builds the page and returns its directory, `web/dist`. With `release` it is optimised for size and every text file
/// has a brotli twin (`.br`). Nothing is done for inputs that have not changed.
pub(crate) fn build_page(release: bool) -> Result<PathBuf> {
    let started = Instant::now();
    let root = progress::workspace_root();
    let web = root.join("web");
    let dist = web.join("dist");
    install_packages(&web)?;
    let compiler = wasm::ensure_compiler()?;
    let module = compile(&root, &compiler, release)?;
    let fingerprint = fingerprint(&root, &module, release)?;
    if fs::read_to_string(dist.join(FINGERPRINT)).is_ok_and(|former| former == fingerprint) {
        return Ok(dist);
    }
    progress::step("page: bindings, scripts, styles");
    recreate(&dist)?;
    bind(&module, &dist, release)?;
    bundle(&web, &dist, release)?;
    copy_tree(&web.join("static"), &dist)?;
    copy_labs(&root.join("labs"), &dist.join("labs"))?;
    if release {
        compress_all(&dist, &root.join("target/page-setup/brotli"))?;
        report_size(&dist)?;
    }
    write(&dist.join(FINGERPRINT), fingerprint.as_bytes())?;
    progress::step(&format!("page: ready in {:.1} s", started.elapsed().as_secs_f64()));
    Ok(dist)
}

/// Installs the npm packages that package-lock.json names, once for each of its versions.
fn install_packages(web: &Path) -> Result<()> {
    let lock = read(&web.join("package-lock.json"))?;
    let wanted = hex::encode(Sha256::digest(&lock));
    let stamp = web.join("node_modules/.docklab-stamp");
    if fs::read_to_string(&stamp).is_ok_and(|installed| installed == wanted) {
        return Ok(());
    }
    progress::step("npm ci");
    let status =
        Command::new("npm").args(["ci", "--no-audit", "--no-fund", "--loglevel=error"]).current_dir(web).status();
    match status {
        Ok(status) if status.success() => write(&stamp, wanted.as_bytes()),
        Ok(status) => bail!("`npm ci` in web/ failed ({status})"),
        Err(error) => bail!("npm is needed to build the page ({error}). On Debian: apt-get install nodejs npm"),
    }
}

fn compile(root: &Path, compiler: &WasmCompiler, release: bool) -> Result<PathBuf> {
    progress::step(if release { "page: compiling (optimised)" } else { "page: compiling" });
    let target = root.join("target/page");
    let mut cargo = Command::new(wasm::cargo());
    cargo.current_dir(root).args([
        "build",
        "--quiet",
        "-p",
        "docklab-web",
        "--bin",
        "docklab-page",
        "--target",
        TARGET,
    ]);
    cargo.arg("--target-dir").arg(&target);
    if release {
        cargo.args(["--profile", "page"]);
    }
    compiler.apply(&mut cargo);
    wasm::run(&mut cargo)?;
    Ok(target.join(TARGET).join(if release { "page" } else { "debug" }).join("docklab-page.wasm"))
}

/// A digest of everything that ends up in the page. The module counts by its time and size: cargo leaves it alone when
/// nothing changed, and hashing 30 MB of a debug build takes longer than it saves.
fn fingerprint(root: &Path, module: &Path, release: bool) -> Result<String> {
    let mut hash = Sha256::new();
    let metadata = fs::metadata(module).with_context(|| format!("reading {}", module.display()))?;
    hash.update(format!("{release} {} {:?}", metadata.len(), metadata.modified()?));
    let mut files = vec![root.join("web/package-lock.json")];
    for directory in ["web/js", "web/styles", "web/static", "labs"] {
        list(&root.join(directory), &mut files)?;
    }
    for file in files {
        hash.update(file.to_string_lossy().as_bytes());
        hash.update(read(&file)?);
    }
    Ok(hex::encode(hash.finalize()))
}

/// Every file below a directory, sorted. The crate beside the labs is not part of the page.
fn list(directory: &Path, files: &mut Vec<PathBuf>) -> Result<()> {
    if !directory.exists() {
        return Ok(());
    }
    let mut entries: Vec<PathBuf> = fs::read_dir(directory)
        .with_context(|| format!("reading {}", directory.display()))?
        .map(|entry| entry.map(|entry| entry.path()))
        .collect::<Result<_, _>>()?;
    entries.sort();
    for path in entries {
        if path.join("Cargo.toml").exists() {
            continue;
        }
        if path.is_dir() {
            list(&path, files)?;
        } else {
            files.push(path);
        }
    }
    Ok(())
}

fn recreate(directory: &Path) -> Result<()> {
    if directory.exists() {
        fs::remove_dir_all(directory).with_context(|| format!("removing {}", directory.display()))?;
    }
    fs::create_dir_all(directory).with_context(|| format!("creating {}", directory.display()))
}

fn bind(module: &Path, dist: &Path, release: bool) -> Result<()> {
    wasm_bindgen_cli_support::Bindgen::new()
        .input_path(module)
        .web(true)?
        .omit_default_module_path(false)
        .typescript(false)
        .debug(!release)
        .keep_debug(!release)
        // A sixth of the download, for names that only a debugger shows.
        .remove_name_section(release)
        .generate(dist)
        .context("writing the module's bindings")
}

fn bundle(web: &Path, dist: &Path, release: bool) -> Result<()> {
    let esbuild = |arguments: &[&str]| {
        let mut command = Command::new(web.join("node_modules/.bin/esbuild"));
        command.current_dir(web).args(arguments).args(["--bundle", "--log-level=warning", "--target=es2022"]);
        command.arg(format!("--outdir={}", dist.display()));
        if release {
            command.arg("--minify");
        }
        wasm::run(&mut command)
    };
    // The bindings import `./terminal.js` themselves, so that both stay modules that the browser fetches side by side.
    esbuild(&["js/terminal.js", "js/boot.js", "--format=esm", "--external:./docklab-page.js"])?;
    esbuild(&["styles/page.css", "--loader:.woff2=file", "--asset-names=fonts/[name]-[hash]"])
}

fn copy_tree(from: &Path, to: &Path) -> Result<()> {
    let mut files = Vec::new();
    list(from, &mut files)?;
    for file in files {
        let target = to.join(file.strip_prefix(from)?);
        if let Some(parent) = target.parent() {
            fs::create_dir_all(parent).with_context(|| format!("creating {}", parent.display()))?;
        }
        fs::copy(&file, &target).with_context(|| format!("copying {}", file.display()))?;
    }
    Ok(())
}

/// Copies the labs and writes `index.json`, the list of lab files: a plain static server has no other way to tell.
fn copy_labs(from: &Path, to: &Path) -> Result<()> {
    fs::create_dir_all(to).with_context(|| format!("creating {}", to.display()))?;
    copy_tree(from, to)?;
    let mut files = Vec::new();
    list(from, &mut files)?;
    let labs: Vec<&str> = files
        .iter()
        .filter(|file| file.parent() == Some(from) && file.extension().is_some_and(|extension| extension == "md"))
        .filter_map(|file| file.file_name().and_then(|name| name.to_str()))
        .collect();
    write(&to.join("index.json"), &serde_json::to_vec(&labs)?)
}

/// Writes `NAME.br` beside every file that shrinks. Results are kept by content, because the best quality takes seconds.
fn compress_all(dist: &Path, cache: &Path) -> Result<()> {
    progress::step("page: compressing");
    fs::create_dir_all(cache).with_context(|| format!("creating {}", cache.display()))?;
    let mut files = Vec::new();
    list(dist, &mut files)?;
    for file in files {
        let extension = file.extension().and_then(|extension| extension.to_str()).unwrap_or_default();
        if !COMPRESSED.contains(&extension) {
            continue;
        }
        let content = read(&file)?;
        let cached = cache.join(hex::encode(Sha256::digest(&content)));
        if !cached.exists() {
            write(&cached, &compress(&content)?)?;
        }
        let twin = PathBuf::from(format!("{}.br", file.display()));
        fs::copy(&cached, &twin).with_context(|| format!("writing {}", twin.display()))?;
    }
    Ok(())
}

fn compress(content: &[u8]) -> Result<Vec<u8>> {
    let mut compressed = Vec::new();
    let mut writer = brotli::CompressorWriter::new(&mut compressed, 64 * 1024, 11, 22);
    writer.write_all(content).context("compressing")?;
    drop(writer);
    Ok(compressed)
}

/// What a first visit downloads.
fn report_size(dist: &Path) -> Result<()> {
    let mut files = Vec::new();
    list(dist, &mut files)?;
    let mut total = 0;
    for file in &files {
        let twin = PathBuf::from(format!("{}.br", file.display()));
        let is_twin = file.extension().is_some_and(|extension| extension == "br");
        if is_twin || !twin.exists() {
            total += fs::metadata(file).with_context(|| format!("reading {}", file.display()))?.len();
        }
    }
    progress::step(&format!("page: {} KiB to download", total.div_ceil(1024)));
    Ok(())
}

fn read(path: &Path) -> Result<Vec<u8>> {
    fs::read(path).with_context(|| format!("reading {}", path.display()))
}

fn write(path: &Path, content: &[u8]) -> Result<()> {
    fs::write(path, content).with_context(|| format!("writing {}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn compression_can_be_undone() {
        let content = b"container container container".repeat(20);
        let compressed = compress(&content).expect("compressing to memory");
        let mut restored = Vec::new();
        std::io::Read::read_to_end(&mut brotli::Decompressor::new(compressed.as_slice(), 4096), &mut restored)
            .expect("decompressing from memory");
        assert!(compressed.len() < content.len());
        assert_eq!(restored, content);
    }
}
