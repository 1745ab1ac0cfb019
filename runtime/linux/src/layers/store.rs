//! Where layers lie, and who uses them.
//!
//! ```text
//! layers/lock                    held while the store's directories change
//! layers/tmp/<engine>-<n>/       what is being made or removed; cleared at open
//! layers/l/<short>               link to a layer's diff: keeps overlayfs's options shorter than a page
//! layers/sha256/<chain>/diff/    the files
//!                      /layer.json, tar-split.gz, tar-split.files, replaced/
//!                      /init/    what Docker puts beneath every container, and /init's own short link
//!                      /users/   one empty file for every engine that uses the layer
//! ```
//!
//! A layer's directory appears by one rename when it is complete. Several engines may share a store: a layer goes when its
//! last user removes it.

use std::{
    collections::HashMap,
    fs, io,
    path::{Path, PathBuf},
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
};

use docklab_host::{HostError, HostResult, UnpackedLayer};
use nix::fcntl::{Flock, FlockArg};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::{
    stack::Stack,
    streams::io_error,
    unpack::{Extraction, Meaning, copy_metadata},
};

/// What `layer.json` holds.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct LayerRecord {
    pub(crate) chain_id: String,
    pub(crate) diff_id: String,
    pub(crate) parent: Option<String>,
    /// Bytes.
    pub(crate) size: u64,
    /// The name in `l/`.
    pub(crate) link: String,
}

impl LayerRecord {
    pub(crate) fn unpacked(&self) -> UnpackedLayer {
        UnpackedLayer { chain_id: self.chain_id.clone(), diff_id: self.diff_id.clone(), size: self.size }
    }
}

pub(crate) struct Store {
    pub(crate) root: PathBuf,
    /// Names this engine among those that share the store.
    engine: String,
    known: Mutex<HashMap<String, LayerRecord>>,
}

/// Distinguishes temporary directories of one process.
static NEXT: AtomicU64 = AtomicU64::new(0);

/// A directory that vanishes unless it is renamed away.
pub(crate) struct Temporary {
    pub(crate) path: PathBuf,
}

impl Drop for Temporary {
    fn drop(&mut self) {
        match fs::remove_dir_all(&self.path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                tracing::warn!("remove {}: {error}", self.path.display());
            }
            _ => {}
        }
    }
}

/// Names that every container has, beneath its writable layer, so that mounting over them changes nothing in it: moby's
/// init layer.
const INIT: [(&str, tar::EntryType); 10] = [
    (".dockerenv", tar::EntryType::Regular),
    ("dev/console", tar::EntryType::Regular),
    ("dev/pts", tar::EntryType::Directory),
    ("dev/shm", tar::EntryType::Directory),
    ("etc/hostname", tar::EntryType::Regular),
    ("etc/hosts", tar::EntryType::Regular),
    ("etc/mtab", tar::EntryType::Symlink),
    ("etc/resolv.conf", tar::EntryType::Regular),
    ("proc", tar::EntryType::Directory),
    ("sys", tar::EntryType::Directory),
];

impl Store {
    /// Opens the store at `root` for the engine whose data lie in `data_root`, and clears what a crash of it left.
    pub(crate) fn open(root: &Path, data_root: &Path) -> HostResult<Self> {
        for directory in ["sha256", "l", "tmp"] {
            create_directory(&root.join(directory))?;
        }
        let identity = fs::canonicalize(data_root).unwrap_or_else(|_| data_root.to_path_buf());
        let engine = hex::encode(&Sha256::digest(identity.as_os_str().as_encoded_bytes())[..6]);
        let store = Self { root: root.to_path_buf(), engine, known: Mutex::new(HashMap::new()) };
        store.clear_temporary()?;
        Ok(store)
    }

    fn clear_temporary(&self) -> HostResult<()> {
        let directory = self.root.join("tmp");
        let failed = |error| io_error(format!("clear {}", directory.display()), error);
        for entry in fs::read_dir(&directory).map_err(failed)? {
            let entry = entry.map_err(failed)?;
            if entry.file_name().to_string_lossy().starts_with(&self.engine) {
                fs::remove_dir_all(entry.path()).map_err(failed)?;
            }
        }
        Ok(())
    }

    /// A new empty directory on the store's file system.
    pub(crate) fn temporary(&self) -> HostResult<Temporary> {
        let path = self.temporary_path();
        create_directory(&path)?;
        Ok(Temporary { path })
    }

    fn temporary_path(&self) -> PathBuf {
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        self.root.join("tmp").join(format!("{}-{}-{number}", self.engine, std::process::id()))
    }

    pub(crate) fn layer_directory(&self, chain_id: &str) -> HostResult<PathBuf> {
        let digits = chain_id.strip_prefix("sha256:").unwrap_or(chain_id);
        if digits.len() != 64 || !digits.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            return Err(HostError::not_found("layer", chain_id));
        }
        Ok(self.root.join("sha256").join(digits))
    }

    /// Reads a layer's record; `None` when the store has no such layer.
    fn read(&self, chain_id: &str) -> HostResult<Option<LayerRecord>> {
        let Ok(directory) = self.layer_directory(chain_id) else { return Ok(None) };
        let path = directory.join("layer.json");
        let bytes = match fs::read(&path) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(io_error(format!("read {}", path.display()), error)),
        };
        serde_json::from_slice(&bytes)
            .map(Some)
            .map_err(|error| HostError::other(format!("read {}", path.display()), error))
    }

    /// Finds a layer and marks it as used by this engine, so that nobody else's removal takes it away.
    pub(crate) fn find(&self, chain_id: &str) -> HostResult<Option<LayerRecord>> {
        if let Some(record) = self.known().get(chain_id) {
            return Ok(Some(record.clone()));
        }
        let _lock = self.lock()?;
        let Some(record) = self.read(chain_id)? else { return Ok(None) };
        self.mark(&self.layer_directory(chain_id)?)?;
        self.known().insert(chain_id.to_owned(), record.clone());
        Ok(Some(record))
    }

    pub(crate) fn get(&self, chain_id: &str) -> HostResult<LayerRecord> {
        self.find(chain_id)?.ok_or_else(|| HostError::not_found("layer", chain_id))
    }

    /// A chain's layers, topmost first.
    pub(crate) fn chain(&self, chain_id: Option<&str>) -> HostResult<Vec<LayerRecord>> {
        let mut layers = Vec::new();
        let mut next = chain_id.map(str::to_owned);
        while let Some(chain_id) = next {
            let record = self.get(&chain_id)?;
            next = record.parent.clone();
            layers.push(record);
        }
        Ok(layers)
    }

    /// The directories of a chain's files, topmost first.
    pub(crate) fn directories(&self, chain_id: Option<&str>) -> HostResult<Vec<PathBuf>> {
        let layers = self.chain(chain_id)?;
        layers.iter().map(|layer| Ok(self.layer_directory(&layer.chain_id)?.join("diff"))).collect()
    }

    /// Moves a complete layer into place, or drops it when the store has it already.
    pub(crate) fn publish(
        &self,
        temporary: &Temporary,
        parent: Option<&str>,
        diff_id: String,
        size: u64,
    ) -> HostResult<LayerRecord> {
        let chain_id = chain_id(parent, &diff_id);
        let directory = self.layer_directory(&chain_id)?;
        let _lock = self.lock()?;
        let record = match self.read(&chain_id)? {
            Some(record) => record,
            None => {
                let link = self.free_link(&chain_id);
                let record =
                    LayerRecord { chain_id: chain_id.clone(), diff_id, parent: parent.map(str::to_owned), size, link };
                let json = serde_json::to_vec_pretty(&record).map_err(|error| HostError::other("layer.json", error))?;
                fs::write(temporary.path.join("layer.json"), json)
                    .and_then(|()| fs::rename(&temporary.path, &directory))
                    .map_err(|error| io_error(format!("store layer {chain_id}"), error))?;
                self.ensure_link(&record.link, &directory.join("diff"))?;
                record
            }
        };
        self.mark(&directory)?;
        self.known().insert(chain_id, record.clone());
        Ok(record)
    }

    /// Takes back this engine's use; the last one's deletes the layer.
    pub(crate) fn remove(&self, chain_id: &str) -> HostResult<()> {
        self.known().remove(chain_id);
        let directory = self.layer_directory(chain_id)?;
        let failed = |error| io_error(format!("remove layer {chain_id}"), error);
        let lock = self.lock()?;
        let Some(record) = self.read(chain_id)? else { return Err(HostError::not_found("layer", chain_id)) };
        let users = directory.join("users");
        ignore_missing(fs::remove_file(users.join(&self.engine))).map_err(failed)?;
        let used = match fs::read_dir(&users) {
            Ok(mut entries) => entries.next().is_some(),
            Err(_) => false,
        };
        if used {
            return Ok(());
        }
        for link in [record.link.clone(), init_link(&record.link)] {
            ignore_missing(fs::remove_file(self.root.join("l").join(link))).map_err(failed)?;
        }
        let doomed = Temporary { path: self.temporary_path() };
        fs::rename(&directory, &doomed.path).map_err(failed)?;
        drop(lock);
        fs::remove_dir_all(&doomed.path).map_err(failed)
    }

    /// The chain's lower directories for overlayfs, relative to [`Self::root`], topmost first; the init layer is the first.
    pub(crate) fn lower_links(&self, chain_id: Option<&str>) -> HostResult<Vec<PathBuf>> {
        let layers = self.chain(chain_id)?;
        let name = layers.first().map_or("scratch", |layer| layer.link.as_str());
        let init = self.ensure_init(chain_id)?;
        self.ensure_link(&init_link(name), &init)?;
        let mut links = vec![Path::new("l").join(init_link(name))];
        for layer in &layers {
            self.ensure_link(&layer.link, &self.layer_directory(&layer.chain_id)?.join("diff"))?;
            links.push(Path::new("l").join(&layer.link));
        }
        Ok(links)
    }

    /// The init layer of a chain, made on first use.
    pub(crate) fn ensure_init(&self, chain_id: Option<&str>) -> HostResult<PathBuf> {
        let directory = match chain_id {
            Some(chain_id) => self.layer_directory(chain_id)?.join("init"),
            None => self.root.join("scratch"),
        };
        if directory.is_dir() {
            return Ok(directory);
        }
        let temporary = self.temporary()?;
        let lower = self.directories(chain_id)?;
        if let Some(top) = lower.first() {
            same_root(top, &temporary.path)?;
        }
        let stack = Stack::open(std::iter::once(temporary.path.clone()).chain(lower))?;
        let archive = init_archive(&stack)?;
        Extraction::new(stack, Meaning::Files, PathBuf::new()).run(archive.as_slice())?;
        match fs::rename(&temporary.path, &directory) {
            // Another engine was faster.
            Err(_) if directory.is_dir() => {}
            result => result.map_err(|error| io_error(format!("store {}", directory.display()), error))?,
        }
        Ok(directory)
    }

    fn lock(&self) -> HostResult<Flock<fs::File>> {
        let path = self.root.join("lock");
        let failed = |error| io_error(format!("lock {}", path.display()), error);
        let file = fs::File::options().create(true).append(true).open(&path).map_err(failed)?;
        Flock::lock(file, FlockArg::LockExclusive).map_err(|(_, error)| failed(error.into()))
    }

    fn mark(&self, directory: &Path) -> HostResult<()> {
        let users = directory.join("users");
        create_directory(&users)?;
        fs::write(users.join(&self.engine), [])
            .map_err(|error| io_error(format!("mark {} as used", directory.display()), error))
    }

    /// The shortest beginning of the chain's digits that no other layer uses.
    fn free_link(&self, chain_id: &str) -> String {
        let digits = chain_id.trim_start_matches("sha256:");
        (6..=digits.len())
            .map(|length| &digits[..length])
            .find(|name| fs::symlink_metadata(self.root.join("l").join(name)).is_err())
            .unwrap_or(digits)
            .to_owned()
    }

    fn ensure_link(&self, name: &str, target: &Path) -> HostResult<()> {
        let link = self.root.join("l").join(name);
        let relative = Path::new("..").join(target.strip_prefix(&self.root).unwrap_or(target));
        match std::os::unix::fs::symlink(relative, &link) {
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists => {
                Err(io_error(format!("link {}", link.display()), error))
            }
            _ => Ok(()),
        }
    }

    fn known(&self) -> std::sync::MutexGuard<'_, HashMap<String, LayerRecord>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn init_link(name: &str) -> String {
    format!("{name}i")
}

/// A tar of those [`INIT`] names that the image does not have.
fn init_archive(stack: &Stack) -> HostResult<Vec<u8>> {
    let failed = |error| io_error("make init layer", error);
    let mut builder = tar::Builder::new(Vec::new());
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).map_or(0, |since| since.as_secs());
    for (name, kind) in INIT {
        // A file in a directory's place: the container does without.
        if !matches!(stack.lookup(Path::new(name), true), Ok(None)) || stack.lookup(Path::new(name), false)?.is_some() {
            continue;
        }
        let mut header = tar::Header::new_gnu();
        header.set_uid(0);
        header.set_gid(0);
        header.set_entry_type(kind);
        header.set_mode(if kind == tar::EntryType::Directory || name == ".dockerenv" { 0o755 } else { 0o644 });
        header.set_mtime(now);
        header.set_size(0);
        match kind {
            tar::EntryType::Symlink => builder.append_link(&mut header, name, "/proc/mounts"),
            _ => builder.append_data(&mut header, name, io::empty()),
        }
        .map_err(failed)?;
    }
    builder.into_inner().map_err(failed)
}

/// OCI image specification, "Layer ChainID".
pub(crate) fn chain_id(parent: Option<&str>, diff_id: &str) -> String {
    match parent {
        None => diff_id.to_owned(),
        Some(parent) => format!("sha256:{}", hex::encode(Sha256::digest(format!("{parent} {diff_id}")))),
    }
}

/// Overlayfs shows the topmost root directory's attributes: make them those of the layer beneath.
pub(crate) fn same_root(lower: &Path, upper: &Path) -> HostResult<()> {
    let copy = || -> io::Result<()> {
        let from = fs::File::open(lower)?;
        copy_metadata(&nix::sys::stat::fstat(&from)?, &fs::File::open(upper)?)
    };
    copy().map_err(|error| io_error(format!("set attributes of {}", upper.display()), error))
}

pub(crate) fn create_directory(path: &Path) -> HostResult<()> {
    fs::create_dir_all(path).map_err(|error| io_error(format!("create {}", path.display()), error))
}

pub(crate) fn ignore_missing(result: io::Result<()>) -> io::Result<()> {
    match result {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        result => result,
    }
}
