//! The container's tree of mounts (mount_namespaces(7), `Documentation/filesystems/overlayfs.rst`, pivot_root(2)).
//!
//! All of it happens in the container's own mount namespace: the machine never sees these mounts, and they are gone with
//! the last process. The order is what makes it safe. Before the root changes we only take hold of what comes from the
//! machine (open_tree(2) makes a detached copy of a mount). Then pivot_root makes the overlay `/` and the machine's tree is
//! let go. Only after that are the targets looked up, so a symbolic link in an image cannot lead out: there is no out.

use std::{
    ffi::CString,
    fs::{self, File},
    io,
    os::{
        fd::{AsRawFd, FromRawFd, OwnedFd},
        unix::{
            ffi::OsStrExt,
            fs::{PermissionsExt, chown},
        },
    },
    path::{Path, PathBuf},
};

use docklab_host::{HostError, HostResult, MountSource, MountSpec, TmpfsOptions};
use nix::{
    libc,
    mount::{MntFlags, MsFlags, mount, umount2},
    unistd::{chdir, pivot_root},
};
use serde::{Deserialize, Serialize};

/// The directories of the root's overlay, topmost lower first.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Overlay {
    pub(crate) lower: Vec<PathBuf>,
    pub(crate) upper: PathBuf,
    pub(crate) work: PathBuf,
}

/// What a container must not read: facts and switches of the machine (moby, `oci/defaults.go`).
pub(crate) const MASKED: [&str; 12] = [
    "/proc/asound",
    "/proc/acpi",
    "/proc/interrupts",
    "/proc/kcore",
    "/proc/keys",
    "/proc/latency_stats",
    "/proc/timer_list",
    "/proc/timer_stats",
    "/proc/sched_debug",
    "/proc/scsi",
    "/sys/firmware",
    "/sys/devices/virtual/powercap",
];
/// What it may read but not write.
pub(crate) const READ_ONLY: [&str; 5] = ["/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger"];

/// A mount of the specification with its source taken hold of.
pub(crate) struct Prepared {
    target: String,
    read_only: bool,
    source: PreparedSource,
}

enum PreparedSource {
    Tree { tree: OwnedFd, directory: bool, fill: bool, propagation: MsFlags },
    Tmpfs(TmpfsOptions),
    File { content: Vec<u8>, mode: u32, uid: u32, gid: u32 },
}

/// Cuts the namespace's mounts off from the machine's: what is mounted here does not appear there. The other direction
/// stays open until the old root is let go.
pub(crate) fn separate() -> HostResult<()> {
    mount(None::<&str>, "/", None::<&str>, MsFlags::MS_REC | MsFlags::MS_SLAVE, None::<&str>)
        .map_err(|error| HostError::other("separate mounts", error.desc()))
}

/// Takes hold of a mount's source on the machine. Volumes were made into binds of their directories before.
pub(crate) fn prepare(spec: &MountSpec, volume: Option<&Path>) -> HostResult<Prepared> {
    let source = match &spec.source {
        MountSource::Bind { path, create, propagation } => {
            let path = Path::new(path);
            if *create && !path.exists() {
                fs::create_dir_all(path).map_err(|error| {
                    HostError::Other(format!("error while creating mount source path '{}': {error}", path.display()))
                })?;
            }
            tree(path, false, propagation_flags(propagation))?
        }
        MountSource::Volume { name, no_copy, subpath } => {
            let directory = volume.ok_or_else(|| HostError::not_found("volume", name))?;
            let directory = within(directory, subpath)?;
            tree(&directory, !no_copy && subpath.is_empty(), PRIVATE)?
        }
        MountSource::Tmpfs(options) => PreparedSource::Tmpfs(options.clone()),
        MountSource::File { content, mode, uid, gid } => {
            PreparedSource::File { content: content.clone(), mode: *mode, uid: *uid, gid: *gid }
        }
    };
    Ok(Prepared { target: spec.target.clone(), read_only: spec.read_only, source })
}

/// A file of the machine that appears in the container under another name (/etc/hosts).
pub(crate) fn prepare_file(path: &Path, target: &str, read_only: bool) -> HostResult<Prepared> {
    Ok(Prepared { target: target.to_owned(), read_only, source: tree(path, false, PRIVATE)? })
}

const PRIVATE: MsFlags = MsFlags::MS_PRIVATE.union(MsFlags::MS_REC);

fn propagation_flags(name: &str) -> MsFlags {
    match name {
        "shared" => MsFlags::MS_SHARED,
        "rshared" => MsFlags::MS_SHARED | MsFlags::MS_REC,
        "slave" => MsFlags::MS_SLAVE,
        "rslave" => MsFlags::MS_SLAVE | MsFlags::MS_REC,
        "private" => MsFlags::MS_PRIVATE,
        _ => PRIVATE,
    }
}

/// True of a mount that must be taken hold of before [`separate`], which cuts the ties that it asks for.
pub(crate) fn is_shared(spec: &MountSpec) -> bool {
    matches!(&spec.source, MountSource::Bind { propagation, .. } if propagation.ends_with("shared"))
}

/// What is mounted in the container can only reach the machine when the machine's own mount there is shared, and the other
/// way round only when it is shared or a slave (moby `oci_linux.go`).
fn check_propagation(path: &Path, propagation: MsFlags) -> HostResult<()> {
    let (word, tags): (_, &[&str]) = if propagation.contains(MsFlags::MS_SHARED) {
        ("shared", &["shared:"])
    } else if propagation.contains(MsFlags::MS_SLAVE) {
        ("shared or slave", &["shared:", "master:"])
    } else {
        return Ok(());
    };
    let table = fs::read_to_string("/proc/self/mountinfo").map_err(|error| HostError::other("read mounts", error))?;
    let real = fs::canonicalize(path).unwrap_or_else(|_| path.to_path_buf());
    let covering = table
        .lines()
        .filter_map(|line| {
            let fields: Vec<&str> = line.split(' ').collect();
            let point = Path::new(fields.get(4)?).to_path_buf();
            let optional: Vec<&str> = fields.iter().skip(6).take_while(|field| **field != "-").copied().collect();
            Some((point, optional.iter().any(|field| tags.iter().any(|tag| field.starts_with(tag)))))
        })
        .filter(|(point, _)| real.starts_with(point))
        // Of several mounts at one point, the last one is on top.
        .max_by_key(|(point, _)| point.components().count());
    match covering {
        Some((point, false)) => Err(HostError::Other(format!(
            "path {} is mounted on {} but it is not a {word} mount",
            path.display(),
            point.display()
        ))),
        _ => Ok(()),
    }
}

/// A directory of a volume; links may not lead out of it.
fn within(volume: &Path, subpath: &str) -> HostResult<PathBuf> {
    if subpath.is_empty() {
        return Ok(volume.to_path_buf());
    }
    let wanted = volume.join(subpath);
    let failed = |error: &dyn std::fmt::Display| {
        let path = wanted.display();
        HostError::NoSuchFile(format!("cannot access path {path}: lstat {path}: {error}"))
    };
    let real = fs::canonicalize(&wanted).map_err(|error| match error.kind() {
        io::ErrorKind::NotFound => {
            HostError::NoSuchFile(format!("cannot access path {0}: lstat {0}", wanted.display()))
        }
        _ => failed(&error),
    })?;
    let volume = fs::canonicalize(volume).map_err(|error| failed(&error))?;
    if !real.starts_with(&volume) {
        return Err(HostError::Other(format!("cannot access path {}: it is outside of the volume", wanted.display())));
    }
    Ok(real)
}

fn tree(path: &Path, fill: bool, propagation: MsFlags) -> HostResult<PreparedSource> {
    let metadata = fs::metadata(path).map_err(|error| match error.kind() {
        io::ErrorKind::NotFound => HostError::Other(format!(
            "invalid mount config for type \"bind\": bind source path does not exist: {}",
            path.display()
        )),
        _ => HostError::other(format!("look at mount source {}", path.display()), error),
    })?;
    check_propagation(path, propagation)?;
    let tree =
        open_tree(path).map_err(|error| HostError::other(format!("open mount source {}", path.display()), error))?;
    Ok(PreparedSource::Tree { tree, directory: metadata.is_dir(), fill, propagation })
}

/// Mounts the overlay and makes it this namespace's root.
pub(crate) fn change_root(overlay: &Overlay, point: &Path) -> HostResult<()> {
    let failed =
        |what: &str, error: &dyn std::fmt::Display| HostError::Other(format!("{what} root file system: {error}"));
    fs::create_dir_all(point).map_err(|error| failed("make mount point of", &error))?;
    if overlay.lower.is_empty() {
        // An image without layers: the writable directory is all there is.
        mount(Some(&overlay.upper), point, None::<&str>, MsFlags::MS_BIND, None::<&str>)
            .map_err(|error| failed("bind", &error.desc()))?;
    } else {
        mount_overlay(overlay, point).map_err(|error| failed("mount", &error))?;
    }
    chdir(point).map_err(|error| failed("enter", &error.desc()))?;
    // Both names the same directory: the old root is then mounted over the new one, and taken away from there
    // (pivot_root(2), "pivot_root(".", ".")").
    pivot_root(".", ".").map_err(|error| failed("change to", &error.desc()))?;
    umount2(".", MntFlags::MNT_DETACH).map_err(|error| failed("leave the machine's", &error.desc()))?;
    chdir("/").map_err(|error| failed("enter", &error.desc()))
}

fn mount_overlay(overlay: &Overlay, point: &Path) -> io::Result<()> {
    let lower = overlay.lower.iter().map(|path| path.to_string_lossy()).collect::<Vec<_>>().join(":");
    let options = format!("lowerdir={lower},upperdir={},workdir={}", overlay.upper.display(), overlay.work.display());
    // mount(2) takes one page of options.
    if options.len() < 4096 {
        mount(Some("overlay"), point, Some("overlay"), MsFlags::empty(), Some(options.as_str()))?;
        return Ok(());
    }
    // The newer interface takes one option at a time, and since Linux 6.5 one layer at a time.
    // SAFETY: fsopen(2) reads a string that ends with NUL.
    let context = owned(unsafe { libc::syscall(libc::SYS_fsopen, c"overlay".as_ptr(), 1) })?;
    let set = |command: libc::c_uint, key: *const libc::c_char, value: *const libc::c_char| {
        // SAFETY: key and value are null or strings that end with NUL and live through the call.
        let result = unsafe { libc::syscall(libc::SYS_fsconfig, context.as_raw_fd(), command, key, value, 0) };
        if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
    };
    const SET_STRING: libc::c_uint = 1;
    const CREATE: libc::c_uint = 6;
    for path in &overlay.lower {
        set(SET_STRING, c"lowerdir+".as_ptr(), CString::new(path.as_os_str().as_bytes())?.as_ptr())?;
    }
    set(SET_STRING, c"upperdir".as_ptr(), CString::new(overlay.upper.as_os_str().as_bytes())?.as_ptr())?;
    set(SET_STRING, c"workdir".as_ptr(), CString::new(overlay.work.as_os_str().as_bytes())?.as_ptr())?;
    set(CREATE, std::ptr::null(), std::ptr::null())?;
    // SAFETY: fsmount(2) takes numbers only.
    let mounted = owned(unsafe { libc::syscall(libc::SYS_fsmount, context.as_raw_fd(), 1, 0) })?;
    move_mount(&mounted, point)
}

/// /proc, /dev, /sys: file systems that are windows into the kernel.
pub(crate) fn mount_kernel_file_systems(privileged: bool) -> HostResult<()> {
    let strict = MsFlags::MS_NOSUID | MsFlags::MS_NODEV | MsFlags::MS_NOEXEC;
    let plain = MsFlags::MS_NOSUID | MsFlags::MS_NOEXEC;
    let sys = if privileged { strict } else { strict | MsFlags::MS_RDONLY };
    special("proc", "/proc", strict, "")?;
    special("tmpfs", "/dev", MsFlags::MS_NOSUID | MsFlags::MS_STRICTATIME, "mode=755,size=65536k")?;
    special("devpts", "/dev/pts", plain, "newinstance,ptmxmode=0666,mode=0620,gid=5")?;
    special("sysfs", "/sys", sys, "")
}

/// Shared memory and message queues belong to the IPC namespace. `shared` is another's /dev/shm.
pub(crate) fn mount_ipc(shm_size: u64, shared: Option<&OwnedFd>) -> HostResult<()> {
    let strict = MsFlags::MS_NOSUID | MsFlags::MS_NODEV | MsFlags::MS_NOEXEC;
    special("mqueue", "/dev/mqueue", strict, "")?;
    match shared {
        Some(tree) => {
            make_point("/dev/shm", true)?;
            move_mount(tree, Path::new("/dev/shm")).map_err(|error| HostError::other("mount /dev/shm", error))
        }
        None => {
            let size = if shm_size == 0 { 64 << 20 } else { shm_size };
            special("tmpfs", "/dev/shm", strict, &format!("mode=1777,size={size}"))
        }
    }
}

/// Opens another process's /dev/shm to mount it here.
pub(crate) fn shared_memory_of(pid: Option<u32>) -> HostResult<OwnedFd> {
    let path = pid.map_or_else(|| "/dev/shm".to_owned(), |pid| format!("/proc/{pid}/root/dev/shm"));
    open_tree(Path::new(&path)).map_err(|error| HostError::other("open shared /dev/shm", error))
}

/// The container's own cgroups, read-only; the cgroup namespace makes them look like roots.
pub(crate) fn mount_cgroups(version: u8, controllers: &[String], read_only: bool) -> HostResult<()> {
    let strict = MsFlags::MS_NOSUID | MsFlags::MS_NODEV | MsFlags::MS_NOEXEC;
    let flags = if read_only { strict | MsFlags::MS_RDONLY } else { strict };
    if version == 2 {
        return special("cgroup2", "/sys/fs/cgroup", flags, "");
    }
    special("tmpfs", "/sys/fs/cgroup", strict, "mode=755")?;
    for controller in controllers {
        special("cgroup", &format!("/sys/fs/cgroup/{controller}"), flags, controller)?;
    }
    if read_only { set_read_only(Path::new("/sys/fs/cgroup"), false) } else { Ok(()) }
}

fn special(kind: &str, target: &str, flags: MsFlags, options: &str) -> HostResult<()> {
    make_point(target, true)?;
    mount(Some(kind), target, Some(kind), flags, Some(options))
        .map_err(|error| HostError::other(format!("mount {kind} at {target}"), error.desc()))
}

impl Prepared {
    /// Parents are mounted before what lies in them.
    pub(crate) fn depth(&self) -> usize {
        Path::new(&self.target).components().count()
    }

    /// Mounts at the target, which is made when it is missing.
    pub(crate) fn attach(self) -> HostResult<()> {
        let target = Path::new(&self.target);
        let failed = |error: io::Error| HostError::other(format!("mount at {}", self.target), error);
        match self.source {
            PreparedSource::Tree { tree, directory, fill, propagation } => {
                make_point(&self.target, directory)?;
                if fill {
                    let volume = PathBuf::from(format!("/proc/self/fd/{}", tree.as_raw_fd()));
                    fill_empty(&volume, target).map_err(failed)?;
                }
                move_mount(&tree, target).map_err(failed)?;
                mount(None::<&str>, target, None::<&str>, propagation, None::<&str>)
                    .map_err(|error| failed(error.into()))?;
                if self.read_only { set_read_only(target, true) } else { Ok(()) }
            }
            PreparedSource::Tmpfs(options) => {
                let mut text = format!("mode={:o}", options.mode.unwrap_or(0o1777));
                if let Some(size) = options.size {
                    text.push_str(&format!(",size={size}"));
                }
                let mut flags = MsFlags::MS_NOSUID | MsFlags::MS_NODEV | MsFlags::MS_NOEXEC;
                if self.read_only {
                    flags |= MsFlags::MS_RDONLY;
                }
                special("tmpfs", &self.target, flags, &text)
            }
            PreparedSource::File { content, mode, uid, gid } => {
                make_point(&self.target, false)?;
                let holder = tmpfs_file(&content, mode, uid, gid).map_err(failed)?;
                move_mount(&holder, target).map_err(failed)?;
                if self.read_only { set_read_only(target, false) } else { Ok(()) }
            }
        }
    }
}

/// A file in memory, as a detached mount: the content never touches a disk.
fn tmpfs_file(content: &[u8], mode: u32, uid: u32, gid: u32) -> io::Result<OwnedFd> {
    let directory = Path::new("/dev/shm");
    // For a moment a tmpfs over /dev/shm, that nobody else can see: this is before any program runs.
    mount(
        Some("tmpfs"),
        directory,
        Some("tmpfs"),
        MsFlags::MS_NOSUID | MsFlags::MS_NODEV | MsFlags::MS_NOEXEC,
        Some("mode=700"),
    )?;
    let file = directory.join("content");
    let made = fs::write(&file, content)
        .and_then(|()| fs::set_permissions(&file, fs::Permissions::from_mode(mode)))
        .and_then(|()| chown(&file, Some(uid), Some(gid)))
        .and_then(|()| open_tree(&file));
    umount2(directory, MntFlags::MNT_DETACH)?;
    made
}

/// A new volume starts with what the image has at its place.
fn fill_empty(volume: &Path, image: &Path) -> io::Result<()> {
    if fs::read_dir(volume)?.next().is_some() || fs::read_dir(image)?.next().is_none() {
        return Ok(());
    }
    copy_owner(image, volume)?;
    copy_tree(image, volume)
}

fn copy_tree(from: &Path, to: &Path) -> io::Result<()> {
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        let (source, target) = (entry.path(), to.join(entry.file_name()));
        let kind = entry.file_type()?;
        if kind.is_symlink() {
            std::os::unix::fs::symlink(fs::read_link(&source)?, &target)?;
            let metadata = fs::symlink_metadata(&source)?;
            use std::os::unix::fs::MetadataExt;
            std::os::unix::fs::lchown(&target, Some(metadata.uid()), Some(metadata.gid()))?;
        } else if kind.is_dir() {
            fs::create_dir(&target)?;
            copy_owner(&source, &target)?;
            copy_tree(&source, &target)?;
        } else if kind.is_file() {
            fs::copy(&source, &target)?;
            copy_owner(&source, &target)?;
            File::options().write(true).open(&target)?.set_modified(fs::metadata(&source)?.modified()?)?;
        }
    }
    Ok(())
}

fn copy_owner(from: &Path, to: &Path) -> io::Result<()> {
    use std::os::unix::fs::MetadataExt;
    let metadata = fs::metadata(from)?;
    chown(to, Some(metadata.uid()), Some(metadata.gid()))?;
    fs::set_permissions(to, metadata.permissions())
}

/// The first process's terminal is the container's console.
pub(crate) fn console(terminal: &File) -> io::Result<()> {
    let console = Path::new("/dev/console");
    // Only a mount point; what is in its place in a privileged container stays beneath.
    if !console.exists() {
        File::create(console)?;
    }
    let source = format!("/proc/self/fd/{}", terminal.as_raw_fd());
    mount(Some(source.as_str()), console, None::<&str>, MsFlags::MS_BIND, None::<&str>)?;
    Ok(())
}

/// Hides what must not be seen: files behind /dev/null, directories behind an empty one.
pub(crate) fn mask(path: &str) -> HostResult<()> {
    let failed = |error: nix::Error| HostError::other(format!("mask {path}"), error.desc());
    match fs::metadata(path) {
        // Not every kernel has every file.
        Err(_) => Ok(()),
        Ok(metadata) if metadata.is_dir() => {
            mount(Some("tmpfs"), path, Some("tmpfs"), MsFlags::MS_RDONLY, Some("size=0k")).map_err(failed)
        }
        Ok(_) => mount(Some("/dev/null"), path, None::<&str>, MsFlags::MS_BIND, None::<&str>).map_err(failed),
    }
}

/// Mounts a path over itself, to make only that part read-only.
pub(crate) fn protect(path: &str) -> HostResult<()> {
    if !Path::new(path).exists() {
        return Ok(());
    }
    mount(Some(path), path, None::<&str>, MsFlags::MS_BIND | MsFlags::MS_REC, None::<&str>)
        .map_err(|error| HostError::other(format!("protect {path}"), error.desc()))?;
    set_read_only(Path::new(path), true)
}

/// mount_setattr(2), which can do it for all mounts beneath as well.
pub(crate) fn set_read_only(path: &Path, recursive: bool) -> HostResult<()> {
    let failed = |error: io::Error| HostError::other(format!("make {} read-only", path.display()), error);
    let name = CString::new(path.as_os_str().as_bytes()).map_err(|error| failed(error.into()))?;
    // `struct mount_attr`: set, clear, propagation, user namespace.
    let attributes: [u64; 4] = [1 /* MOUNT_ATTR_RDONLY */, 0, 0, 0];
    let flags = if recursive { libc::AT_RECURSIVE } else { 0 };
    // SAFETY: the name ends with NUL and the attributes have the size that is passed; both live through the call.
    let result = unsafe {
        libc::syscall(
            libc::SYS_mount_setattr,
            libc::AT_FDCWD,
            name.as_ptr(),
            flags,
            attributes.as_ptr(),
            size_of_val(&attributes),
        )
    };
    if result == 0 { Ok(()) } else { Err(failed(io::Error::last_os_error())) }
}

/// Makes a mount point, unless something is there.
pub(crate) fn make_point(path: &str, directory: bool) -> HostResult<()> {
    let failed = |error| HostError::other(format!("make mount point {path}"), error);
    let path = Path::new(path);
    if directory {
        return fs::create_dir_all(path).map_err(failed);
    }
    if fs::metadata(path).is_ok() {
        return Ok(());
    }
    if let Some(parent) = path.parent() {
        fs::create_dir_all(parent).map_err(failed)?;
    }
    File::create(path).map(drop).map_err(failed)
}

pub(crate) fn open_tree(path: &Path) -> io::Result<OwnedFd> {
    let name = CString::new(path.as_os_str().as_bytes())?;
    const CLONE: libc::c_int = 1; // OPEN_TREE_CLONE
    // SAFETY: the name ends with NUL and lives through the call.
    owned(unsafe {
        libc::syscall(libc::SYS_open_tree, libc::AT_FDCWD, name.as_ptr(), CLONE | libc::O_CLOEXEC | libc::AT_RECURSIVE)
    })
}

pub(crate) fn move_mount(mount: &OwnedFd, target: &Path) -> io::Result<()> {
    let name = CString::new(target.as_os_str().as_bytes())?;
    // MOVE_MOUNT_F_EMPTY_PATH: the mount is the descriptor itself; MOVE_MOUNT_T_SYMLINKS: the target may be a link.
    let flags = 0x4 | 0x10;
    // SAFETY: both names end with NUL and live through the call; the descriptor is open.
    let result = unsafe {
        libc::syscall(libc::SYS_move_mount, mount.as_raw_fd(), c"".as_ptr(), libc::AT_FDCWD, name.as_ptr(), flags)
    };
    if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

fn owned(result: libc::c_long) -> io::Result<OwnedFd> {
    if result < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: only called with what a system call has just returned: a new descriptor that nobody else has.
    Ok(unsafe { OwnedFd::from_raw_fd(result as libc::c_int) })
}
