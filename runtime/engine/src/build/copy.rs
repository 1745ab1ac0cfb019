//! COPY, ADD and WORKDIR as the list of files that their layer holds.

use std::{collections::BTreeMap, sync::Arc};

use docklab_api::{ApiError, ApiResult};
use docklab_host::{Compression, FileKind, Host, Root};
use futures::{FutureExt, future::BoxFuture};

use super::{
    layer::{Content, LayerFile},
    miss::Files,
    path_match,
    source::{Entry, Source, hash_of},
};
use crate::{
    Engine, HostResultExt,
    image::{cleaned, plain},
};

/// A file or directory that an instruction names.
#[derive(Debug, Clone)]
pub(crate) struct Picked {
    /// Where it is in its source, links followed.
    pub(crate) path: String,
    /// Its own last component, as written.
    pub(crate) name: String,
    /// `file:` or `dir:` and its content hash.
    pub(crate) hash: String,
    pub(crate) source: Arc<Source>,
    /// Extract it when it is an archive.
    pub(crate) extract: bool,
}

pub(crate) fn is_pattern(text: &str) -> bool {
    let mut letters = text.chars();
    while let Some(letter) = letters.next() {
        match letter {
            '\\' => {
                letters.next();
            }
            '*' | '?' | '[' => return true,
            _ => {}
        }
    }
    false
}

/// What `written` names in a source; for the build context a missing file is worded as the context's.
pub(crate) fn pick(source: &Arc<Source>, written: &str, extract: bool, context: bool) -> ApiResult<Vec<Picked>> {
    let wanted = written.trim_start_matches('/');
    let wanted = wanted.strip_prefix("./").unwrap_or(wanted);
    if is_pattern(wanted) {
        let pattern = cleaned(wanted);
        let found: Vec<&String> =
            source.entries.keys().filter(|path| !path.is_empty() && path_match(&pattern, path)).collect();
        return found.into_iter().map(|path| pick_one(source, path, extract, context)).collect();
    }
    Ok(vec![pick_one(source, wanted, extract, context)?])
}

fn pick_one(source: &Arc<Source>, wanted: &str, extract: bool, context: bool) -> ApiResult<Picked> {
    let climbs = wanted.split('/').try_fold(0_i32, |depth, part| match part {
        ".." if depth == 0 => None,
        ".." => Some(depth - 1),
        "" | "." => Some(depth),
        _ => Some(depth + 1),
    });
    if climbs.is_none() && context {
        return Err(ApiError::system(format!("forbidden path outside the build context: {wanted} ()")));
    }
    let Some((path, entry)) = source.find(wanted) else {
        let cause = format!("stat {}: file does not exist", cleaned(wanted));
        return Err(ApiError::system(if context {
            format!("file not found in build context or excluded by .dockerignore: {cause}")
        } else {
            cause
        }));
    };
    let hash = if entry.kind == FileKind::Directory {
        let mut sums: Vec<String> = source.beneath(&path).map(|(path, entry)| sum_of(source, path, entry)).collect();
        if !path.is_empty() {
            sums.push(entry.sum.clone());
        }
        sums.sort();
        hash_of("dir", &sums)
    } else {
        format!("file:{}", entry.sum)
    };
    let name = cleaned(wanted).rsplit('/').next().unwrap_or_default().to_owned();
    Ok(Picked { path, name, hash, source: Arc::clone(source), extract })
}

/// A link counts as what it leads to.
fn sum_of(source: &Source, path: &str, entry: &Entry) -> String {
    match entry.kind {
        FileKind::Symlink => source.find(path).map_or_else(|| entry.sum.clone(), |(_, target)| target.sum.clone()),
        _ => entry.sum.clone(),
    }
}

/// The hash of an instruction's sources together.
pub(crate) fn hash(picked: &[Picked]) -> String {
    match picked {
        [one] => one.hash.clone(),
        several => hash_of("multi", &several.iter().map(|one| one.hash.clone()).collect::<Vec<_>>()),
    }
}

/// The regular files of all sources, with the beginning of each hash: enough to tell which one changed.
pub(crate) fn files(picked: &[Picked]) -> Files {
    let short =
        |entry: &Entry| entry.sum.get(..16).and_then(|digits| u64::from_str_radix(digits, 16).ok()).unwrap_or(0);
    let mut files = Files::new();
    for one in picked {
        match one.source.entries.get(&one.path) {
            Some(entry) if entry.kind != FileKind::Directory => files.push((one.path.clone(), short(entry))),
            _ => {
                let inside = one.source.beneath(&one.path).filter(|(_, entry)| entry.kind != FileKind::Directory);
                files.extend(inside.map(|(path, entry)| (path.clone(), short(entry))));
            }
        }
    }
    files
}

/// A layer in the making, on top of what is below it.
pub(crate) struct Plan {
    engine: Engine,
    root: Root,
    now: u64,
    /// Of what is new; `None` keeps the source's.
    pub(crate) owner: Option<(u64, u64)>,
    pub(crate) mode: Option<u32>,
    files: Vec<LayerFile>,
    /// Where each path is in `files`.
    known: BTreeMap<String, usize>,
    /// Something is new, and not only passed through.
    changed: bool,
}

fn directory(mode: u32, (uid, gid): (u64, u64), mtime: u64) -> Entry {
    Entry {
        kind: FileKind::Directory,
        mode,
        uid,
        gid,
        size: 0,
        mtime,
        link: String::new(),
        device: (0, 0),
        xattrs: Vec::new(),
        offset: 0,
        sum: String::new(),
    }
}

impl Plan {
    pub(crate) fn new(engine: &Engine, chain: Option<&str>) -> Self {
        Self {
            root: Root::Layers(chain.map(ToOwned::to_owned)),
            now: u64::try_from(engine.host.now().as_second()).unwrap_or(0),
            engine: engine.clone(),
            owner: None,
            mode: None,
            files: Vec::new(),
            known: BTreeMap::new(),
            changed: false,
        }
    }

    /// The files; none when nothing is new.
    pub(crate) fn files(self) -> Vec<LayerFile> {
        if self.changed { self.files } else { Vec::new() }
    }

    fn put(&mut self, path: &str, entry: Entry, content: Content) {
        self.changed = true;
        self.insert(path, entry, content);
    }

    fn insert(&mut self, path: &str, entry: Entry, content: Content) {
        let file = LayerFile { path: path.to_owned(), entry, content };
        match self.known.get(path) {
            Some(index) => self.files[*index] = file,
            None => {
                self.known.insert(path.to_owned(), self.files.len());
                self.files.push(file);
            }
        }
    }

    /// `path` with every link on it followed, inside the root; what does not exist stays as it is.
    fn resolve<'a>(&'a self, path: &'a str, hops: u32) -> BoxFuture<'a, ApiResult<String>> {
        async move {
            let path = cleaned(path);
            if path.is_empty() || self.known.contains_key(&path) {
                return Ok(path);
            }
            if hops > 40 {
                return Err(ApiError::system(format!("too many links in /{path}")));
            }
            let (parent, name) = path.rsplit_once('/').unwrap_or(("", &path));
            match self.engine.host.stat(&self.root, &format!("/{path}")).await.api()? {
                Some(stat) if stat.kind == FileKind::Symlink => {
                    let base = stat.path.rsplit_once('/').map_or("", |(base, _)| base);
                    let target = if stat.link_target.starts_with('/') {
                        stat.link_target
                    } else {
                        format!("{base}/{}", stat.link_target)
                    };
                    self.resolve(&target, hops + 1).await
                }
                Some(stat) => Ok(cleaned(&stat.path)),
                None => {
                    let parent = self.resolve(parent, hops + 1).await?;
                    Ok(cleaned(&format!("{parent}/{name}")))
                }
            }
        }
        .boxed()
    }

    async fn is_directory(&self, path: &str) -> ApiResult<bool> {
        if path.is_empty() {
            return Ok(true);
        }
        if let Some(index) = self.known.get(path) {
            return Ok(self.files[*index].entry.kind == FileKind::Directory);
        }
        let stat = self.engine.host.stat(&self.root, &format!("/{path}")).await.api()?;
        Ok(stat.is_some_and(|stat| stat.kind == FileKind::Directory))
    }

    /// A directory with all above it: as they are when they exist, otherwise new.
    pub(crate) async fn directory(&mut self, path: &str) -> ApiResult<()> {
        let path = self.resolve(path, 0).await?;
        let ends = path.match_indices('/').map(|(end, _)| end).chain([path.len()]);
        for part in ends.map(|end| path[..end].to_owned()).filter(|part| !part.is_empty()) {
            if self.known.contains_key(&part) {
                continue;
            }
            match self.engine.host.stat(&self.root, &format!("/{part}")).await.api()? {
                Some(stat) if stat.kind == FileKind::Directory => {
                    let owner = (u64::from(stat.uid), u64::from(stat.gid));
                    let entry = directory(stat.mode, owner, u64::try_from(stat.mtime).unwrap_or(0));
                    self.insert(&part, entry, Content::None);
                }
                Some(_) => return Err(ApiError::system(format!("mkdir /{part}: not a directory"))),
                None => {
                    let entry = directory(0o755, self.owner.unwrap_or((0, 0)), self.now);
                    self.put(&part, entry, Content::None);
                }
            }
        }
        Ok(())
    }

    /// An entry as it will be in the layer.
    fn own(&self, entry: &Entry) -> Entry {
        let mut entry = entry.clone();
        if let Some((uid, gid)) = self.owner {
            (entry.uid, entry.gid) = (uid, gid);
        }
        if let Some(mode) = self.mode {
            entry.mode = mode;
        }
        entry
    }

    /// Copies one file or tree to `destination`, an absolute path.
    pub(crate) async fn copy(&mut self, picked: &Picked, destination: &str) -> ApiResult<()> {
        let target = self.resolve(destination, 0).await?;
        let Some(entry) = picked.source.entries.get(&picked.path) else {
            return Err(ApiError::system(format!("stat {}: file does not exist", picked.path)));
        };
        if entry.kind == FileKind::Directory {
            return self.copy_tree(picked, entry, &target).await;
        }
        if picked.extract && self.extract(picked, entry, &target).await? {
            return Ok(());
        }
        let target = if destination.ends_with('/') || self.is_directory(&target).await? {
            cleaned(&format!("{target}/{}", picked.name))
        } else {
            target
        };
        let target = self.resolve(&target, 0).await?;
        if let Some((parent, _)) = target.rsplit_once('/') {
            self.directory(parent).await?;
        }
        self.put(&target, self.own(entry), Content::Blob(Arc::clone(&picked.source.blob)));
        Ok(())
    }

    /// A directory's content goes into the destination, not the directory itself.
    async fn copy_tree(&mut self, picked: &Picked, entry: &Entry, target: &str) -> ApiResult<()> {
        if !target.is_empty() && !self.is_directory(target).await? {
            if let Some((parent, _)) = target.rsplit_once('/') {
                self.directory(parent).await?;
            }
            let mut root = self.own(entry);
            if root.mtime == 0 {
                // The archive has no entry of its own for it.
                root.mtime = self.now;
            }
            self.put(target, root, Content::None);
        } else {
            self.directory(target).await?;
        }
        let skipped = if picked.path.is_empty() { 0 } else { picked.path.len() + 1 };
        let source = Arc::clone(&picked.source);
        for (path, entry) in source.beneath(&picked.path) {
            let place = cleaned(&format!("{target}/{}", &path[skipped..]));
            let content =
                if entry.kind == FileKind::Regular { Content::Blob(Arc::clone(&source.blob)) } else { Content::None };
            self.put(&place, self.own(entry), content);
        }
        Ok(())
    }

    /// Unpacks an archive into the destination; false when the file is none.
    async fn extract(&mut self, picked: &Picked, entry: &Entry, target: &str) -> ApiResult<bool> {
        if entry.size < 10 {
            return Ok(false);
        }
        let start = Entry { size: entry.size.min(512), ..entry.clone() };
        let start = picked.source.read(&*self.engine.host, &start).await?;
        let is_tar = start.get(257..262) == Some(b"ustar");
        if !is_tar && Compression::of(&start) == Compression::None {
            return Ok(false);
        }
        let content = plain(picked.source.open(&*self.engine.host, entry).await?).await.api()?;
        // A compressed file that holds no archive is copied as it is.
        let Ok(archive) = Source::stage(&self.engine, content, None).await else { return Ok(false) };
        if archive.entries.len() < 2 {
            return Ok(false);
        }
        self.directory(target).await?;
        for (path, entry) in archive.beneath("") {
            let place = cleaned(&format!("{target}/{path}"));
            let content =
                if entry.kind == FileKind::Regular { Content::Blob(Arc::clone(&archive.blob)) } else { Content::None };
            let sums = entry.sum == *path && entry.kind == FileKind::Directory;
            if sums {
                self.directory(&place).await?;
            } else {
                self.put(&place, self.own(entry), content);
            }
        }
        Ok(true)
    }

    /// Puts a file whose content is at hand.
    pub(crate) async fn write(&mut self, destination: &str, name: &str, mode: u32, content: Vec<u8>) -> ApiResult<()> {
        let mut target = self.resolve(destination, 0).await?;
        if destination.ends_with('/') || self.is_directory(&target).await? {
            target = cleaned(&format!("{target}/{name}"));
        }
        if let Some((parent, _)) = target.rsplit_once('/') {
            self.directory(parent).await?;
        }
        let mut entry = directory(mode, (0, 0), self.now);
        entry.kind = FileKind::Regular;
        entry.size = content.len() as u64;
        let entry = self.own(&entry);
        self.put(&target, entry, Content::Bytes(content.into()));
        Ok(())
    }
}

/// The number that a user or group of `--chown` means, by /etc/passwd or /etc/group of the image.
pub(crate) async fn owner(host: &dyn Host, chain: Option<&str>, chown: &str) -> ApiResult<(u64, u64)> {
    let (user, group) = chown.split_once(':').unwrap_or((chown, chown));
    let failed = |what: &str, name: &str, kind: &str| {
        ApiError::system(format!(
            "unable to convert uid/gid chown string to host mapping: can't find {what} for {kind} {name}: no such {kind}: {name}"
        ))
    };
    let user_id = lookup(host, chain, "/etc/passwd", user).await?.ok_or_else(|| failed("uid", user, "user"))?;
    let group_id = lookup(host, chain, "/etc/group", group).await?.ok_or_else(|| failed("gid", group, "group"))?;
    Ok((user_id, group_id))
}

async fn lookup(host: &dyn Host, chain: Option<&str>, file: &str, name: &str) -> ApiResult<Option<u64>> {
    if let Ok(number) = name.parse() {
        return Ok(Some(number));
    }
    let root = Root::Layers(chain.map(ToOwned::to_owned));
    let text = host.read_file(&root, file, 1 << 20).await.api()?.unwrap_or_default();
    Ok(String::from_utf8_lossy(&text).lines().find_map(|line| {
        let mut fields = line.split(':');
        (fields.next() == Some(name)).then(|| fields.nth(1)?.parse().ok()).flatten()
    }))
}
