//! The other side of fork(2): from a copy of the supervisor to the container's program.
//!
//! The child talks to the supervisor over a socket of packets: it sends the master end of its terminal and says what went
//! wrong. When the program starts, close-on-exec closes the socket: silence is success.

use std::{
    fs::{self, File},
    io::{self, IoSlice, IoSliceMut},
    os::fd::{AsFd, AsRawFd, FromRawFd, OwnedFd, RawFd},
    path::Path,
};

use docklab_host::{HostError, HostResult, ProcessSpec};
use nix::{
    cmsg_space, libc,
    sys::{
        signal::{SigHandler, SigSet, SigmaskHow, Signal, signal, sigprocmask},
        socket::{ControlMessage, ControlMessageOwned, MsgFlags, recvmsg, sendmsg},
        stat::{Mode, umask},
    },
    unistd::{ForkResult, dup2_stderr, dup2_stdin, dup2_stdout, fork, sethostname, setsid},
};
use serde::{Deserialize, Serialize};

use super::protocol::{Failure, Launch};
use crate::{
    capabilities::CapabilitySet,
    cgroup::Cgroup,
    command,
    devices::{self, DeviceNode},
    init,
    mounts::{self, Prepared},
    namespaces::{self, Membership},
    pty, rlimits,
    seccomp::Profile,
    user::Identity,
};

/// A packet from the child.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) enum Report {
    /// The master end of the terminal comes with it.
    Terminal,
    Failed(Failure),
}

/// What parent and child share when the process has no terminal: our ends of its standard streams.
pub(crate) struct ChildStreams {
    pub(crate) stdin: Option<OwnedFd>,
    pub(crate) stdout: Option<OwnedFd>,
    pub(crate) stderr: Option<OwnedFd>,
}

/// What the program may do, worked out before the fork.
pub(crate) struct Confinement {
    pub(crate) capabilities: CapabilitySet,
    pub(crate) seccomp: Option<Profile>,
    pub(crate) no_new_privileges: bool,
    pub(crate) unmask: bool,
    pub(crate) nodes: Vec<DeviceNode>,
}

/// A child of a fork must never come back into the supervisor's code: it reports and ends.
pub(crate) fn end_with(socket: &OwnedFd, error: HostError) -> ! {
    // If the supervisor is gone there is nobody to tell.
    let _ = send(socket, &Report::Failed(error.into()), None);
    // SAFETY: ends the process without running anything of the parent's that fork(2) copied.
    unsafe { libc::_exit(127) }
}

/// The container's first process. Returns only an error.
pub(crate) fn run_first(
    launch: &Launch,
    confinement: &Confinement,
    network: Option<&OwnedFd>,
    streams: ChildStreams,
    socket: &OwnedFd,
) -> HostError {
    match prepare_first(launch, confinement, network) {
        Ok(()) => {
            let kind = if launch.spec.init { Kind::FirstBeneathInit } else { Kind::First };
            run(&launch.spec.process, confinement, streams, socket, &launch.spec.limits.ulimits, kind)
        }
        Err(error) => error,
    }
}

/// A further process in the container of `first`, a descriptor of its first process. Returns only an error.
pub(crate) fn run_further(
    first: &OwnedFd,
    cgroup: &Cgroup,
    process: &ProcessSpec,
    confinement: &Confinement,
    streams: ChildStreams,
    socket: &OwnedFd,
    ulimits: &[(String, i64, i64)],
) -> HostError {
    let entered = cgroup.join().and_then(|()| namespaces::enter_all_of(first));
    match entered {
        Ok(()) => run(process, confinement, streams, socket, ulimits, Kind::Further),
        Err(error) => error,
    }
}

fn prepare_first(launch: &Launch, confinement: &Confinement, network: Option<&OwnedFd>) -> HostResult<()> {
    let spec = &launch.spec;
    let privileged = spec.process.privileged;
    umask(Mode::empty());
    // While the machine's cgroup tree is still in sight.
    launch.cgroup.join()?;
    if let Some(value) = spec.limits.oom_score_adj {
        // Only CAP_SYS_RESOURCE may lower it; a machine that withholds that still runs the container.
        let _ = fs::write("/proc/self/oom_score_adj", value.to_string());
    }
    let shared_memory = match launch.ipc {
        Membership::Own => None,
        Membership::Host => Some(mounts::shared_memory_of(None)?),
        Membership::OfProcess(pid) => Some(mounts::shared_memory_of(Some(pid))?),
    };
    namespaces::enter_own(launch.ipc, launch.uts, network)?;
    if launch.uts == Membership::Own {
        sethostname(&spec.hostname).map_err(|error| HostError::other("sethostname", error.desc()))?;
        // SAFETY: the pointer and the length describe the name, which lives through the call.
        unsafe { libc::setdomainname(spec.domainname.as_ptr().cast(), spec.domainname.len()) };
    }
    let mut prepared = Vec::new();
    for (mount, volume) in spec.mounts.iter().zip(&launch.volumes).filter(|(mount, _)| mounts::is_shared(mount)) {
        prepared.push(mounts::prepare(mount, volume.as_deref())?);
    }
    mounts::separate()?;
    for (name, target) in [("resolv.conf", "/etc/resolv.conf"), ("hostname", "/etc/hostname"), ("hosts", "/etc/hosts")]
    {
        if !spec.mounts.iter().any(|mount| mount.target == target) {
            prepared.push(mounts::prepare_file(&launch.directory.join(name), target, false)?);
        }
    }
    for (mount, volume) in spec.mounts.iter().zip(&launch.volumes).filter(|(mount, _)| !mounts::is_shared(mount)) {
        prepared.push(mounts::prepare(mount, volume.as_deref())?);
    }
    prepared.sort_by_key(Prepared::depth);
    mounts::change_root(&launch.overlay, Path::new("rootfs"))?;
    mounts::mount_kernel_file_systems(privileged)?;
    mounts::mount_ipc(spec.shm_size, shared_memory.as_ref())?;
    devices::make_nodes(&confinement.nodes)?;
    for mount in prepared {
        mount.attach()?;
    }
    namespaces::new_cgroup_namespace()?;
    let controllers: Vec<String> = launch.cgroup.mounted_names();
    mounts::mount_cgroups(launch.cgroup.version(), &controllers, !privileged)?;
    for (name, value) in &spec.sysctls {
        let path = format!("/proc/sys/{}", name.replace('.', "/"));
        fs::write(&path, value).map_err(|error| HostError::other(format!("write sysctl {name}"), error))?;
    }
    if !confinement.unmask {
        mounts::READ_ONLY.iter().try_for_each(|path| mounts::protect(path))?;
        mounts::MASKED.iter().try_for_each(|path| mounts::mask(path))?;
    }
    make_directory(&spec.process.cwd)?;
    if spec.read_only_rootfs {
        mounts::set_read_only(Path::new("/"), false)?;
    }
    Ok(())
}

fn make_directory(path: &str) -> HostResult<()> {
    if path.is_empty() || Path::new(path).is_dir() {
        return Ok(());
    }
    fs::DirBuilder::new()
        .recursive(true)
        .create(path)
        .map_err(|error| HostError::other(format!("make working directory {path}"), error))
}

/// Which of a container's processes is about to run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    First,
    /// Process 1 is an init of ours, its child the program.
    FirstBeneathInit,
    Further,
}

/// Standard streams, limits, filter, capabilities, user, program: in the order in which each still may be done.
fn run(
    process: &ProcessSpec,
    confinement: &Confinement,
    streams: ChildStreams,
    socket: &OwnedFd,
    ulimits: &[(String, i64, i64)],
    kind: Kind,
) -> HostError {
    match confine_and_find(process, confinement, streams, socket, ulimits, kind) {
        Ok((path, env)) => command::execute(&path, &process.argv, &env),
        Err(error) => error,
    }
}

fn confine_and_find(
    process: &ProcessSpec,
    confinement: &Confinement,
    streams: ChildStreams,
    socket: &OwnedFd,
    ulimits: &[(String, i64, i64)],
    kind: Kind,
) -> HostResult<(std::path::PathBuf, Vec<String>)> {
    let failed = |what: &'static str| move |error: io::Error| HostError::other(what, error);
    setsid().map_err(|error| HostError::other("start a session", error.desc()))?;
    take_streams(process, streams, socket, kind).map_err(failed("set up standard streams"))?;
    umask(Mode::from_bits_truncate(0o022));
    rlimits::apply(ulimits)?;
    let identity = Identity::look_up(&process.user)?;
    identity.own_standard_streams();
    let cwd = if process.cwd.is_empty() { "/" } else { &process.cwd };
    std::env::set_current_dir(cwd).map_err(|error| {
        let operation = format!("chdir to cwd (\"{cwd}\") set in config.json failed");
        match error.kind() {
            io::ErrorKind::NotFound => HostError::NoSuchFile(operation),
            io::ErrorKind::NotADirectory => HostError::NotADirectory(operation),
            _ => HostError::other(operation, error),
        }
    })?;
    // Without no_new_privs a filter needs CAP_SYS_ADMIN, which goes next.
    if confinement.no_new_privileges {
        // SAFETY: PR_SET_NO_NEW_PRIVS takes plain numbers and touches no memory of ours.
        unsafe { libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) };
    }
    if let Some(profile) = &confinement.seccomp {
        profile.install().map_err(failed("install seccomp filter"))?;
    }
    confinement.capabilities.limit_bounding_set().map_err(failed("limit capabilities"))?;
    if identity.uid != 0 {
        identity.assume().map_err(failed("change user"))?;
    } else {
        identity.assume().map_err(failed("change user"))?;
        confinement.capabilities.make_effective().map_err(failed("set capabilities"))?;
    }
    let mut env = process.env.clone();
    if !env.iter().any(|variable| variable.starts_with("HOME=")) {
        env.push(format!("HOME={}", identity.home));
    }
    let path = command::find(process.argv.first().map_or("", String::as_str), &env)?;
    if kind == Kind::FirstBeneathInit {
        become_init(process, socket)?;
    }
    reset_signals().map_err(failed("reset signals"))?;
    // If the supervisor is killed, the container goes too: without it nobody would know of its end. Cleared by a change of
    // user, so it comes after.
    // SAFETY: PR_SET_PDEATHSIG takes plain numbers and touches no memory of ours.
    unsafe { libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL, 0, 0, 0) };
    Ok((path, env))
}

/// The parent stays as process 1 and never returns; the child goes on to the program.
fn become_init(process: &ProcessSpec, socket: &OwnedFd) -> HostResult<()> {
    // SAFETY: this process has one thread, so the child may do what it likes.
    match unsafe { fork() }.map_err(|error| HostError::other("fork", error.desc()))? {
        ForkResult::Child => {
            setsid().map_err(|error| HostError::other("start a session", error.desc()))?;
            if process.tty {
                // Process 1 leads a session without a terminal, so its child's session may have it.
                // SAFETY: dup takes a number; descriptor 0 is the terminal.
                let duplicate = unsafe { libc::dup(0) };
                if duplicate >= 0 {
                    // SAFETY: dup has just returned this descriptor to us alone.
                    let terminal = File::from(unsafe { OwnedFd::from_raw_fd(duplicate) });
                    pty::control(&terminal).map_err(|error| HostError::other("take the terminal", error))?;
                }
            }
            Ok(())
        }
        ForkResult::Parent { child } => {
            init::take_name();
            // SAFETY: PR_SET_PDEATHSIG takes plain numbers and touches no memory of ours.
            unsafe { libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL, 0, 0, 0) };
            // Descriptor 3 and above, the report socket among them: the supervisor waits for its end.
            // SAFETY: close_range takes numbers only; nothing that owns these descriptors is used afterwards.
            unsafe { libc::syscall(libc::SYS_close_range, 3, libc::c_uint::MAX, 0) };
            let _ = socket;
            let code = init::run(child);
            // SAFETY: ends the process without running anything of the parent's that fork(2) copied.
            unsafe { libc::_exit(code) }
        }
    }
}

fn take_streams(process: &ProcessSpec, streams: ChildStreams, socket: &OwnedFd, kind: Kind) -> io::Result<()> {
    if process.tty {
        let (master, terminal) = pty::open()?;
        let (rows, columns) = process.console_size;
        if rows > 0 && columns > 0 {
            pty::resize(master.as_fd(), rows, columns)?;
        }
        if kind != Kind::FirstBeneathInit {
            pty::control(&terminal)?;
        }
        if kind != Kind::Further {
            mounts::console(&terminal)?;
        }
        dup2_stdin(&terminal)?;
        dup2_stdout(&terminal)?;
        dup2_stderr(&terminal)?;
        send(socket, &Report::Terminal, Some(master.as_raw_fd()))?;
    } else {
        let null = File::options().read(true).write(true).open("/dev/null")?;
        match &streams.stdin {
            Some(stdin) => dup2_stdin(stdin)?,
            None => dup2_stdin(&null)?,
        }
        if let (Some(stdout), Some(stderr)) = (&streams.stdout, &streams.stderr) {
            dup2_stdout(stdout)?;
            dup2_stderr(stderr)?;
        }
    }
    // Whatever else is open belongs to the supervisor or the engine and must not reach the program.
    const CLOSE_ON_EXEC: libc::c_uint = 4; // CLOSE_RANGE_CLOEXEC
    // SAFETY: close_range takes numbers only, and with this flag closes nothing yet.
    unsafe { libc::syscall(libc::SYS_close_range, 3, libc::c_uint::MAX, CLOSE_ON_EXEC) };
    Ok(())
}

/// exec keeps blocked and ignored signals; the program must start with none.
fn reset_signals() -> io::Result<()> {
    for number in Signal::iterator() {
        if !matches!(number, Signal::SIGKILL | Signal::SIGSTOP) {
            // SAFETY: the default action runs no code of ours.
            unsafe { signal(number, SigHandler::SigDfl) }?;
        }
    }
    sigprocmask(SigmaskHow::SIG_SETMASK, Some(&SigSet::empty()), None)?;
    Ok(())
}

fn send(socket: &OwnedFd, report: &Report, descriptor: Option<RawFd>) -> io::Result<()> {
    let packet = serde_json::to_vec(report)?;
    let descriptors: Vec<RawFd> = descriptor.into_iter().collect();
    let rights = [ControlMessage::ScmRights(&descriptors)];
    let control: &[ControlMessage<'_>] = if descriptors.is_empty() { &[] } else { &rights };
    sendmsg::<()>(socket.as_raw_fd(), &[IoSlice::new(&packet)], control, MsgFlags::MSG_NOSIGNAL, None)?;
    Ok(())
}

/// The supervisor's side: the next packet, with its descriptor; `None` when the program has started (or the child died).
pub(crate) fn receive(socket: &OwnedFd) -> io::Result<Option<(Report, Option<OwnedFd>)>> {
    let mut packet = vec![0; 16 * 1024];
    let mut space = cmsg_space!([RawFd; 1]);
    let mut slices = [IoSliceMut::new(&mut packet)];
    let message = recvmsg::<()>(socket.as_raw_fd(), &mut slices, Some(&mut space), MsgFlags::MSG_CMSG_CLOEXEC)?;
    let mut descriptor = None;
    for control in message.cmsgs()? {
        if let ControlMessageOwned::ScmRights(descriptors) = control {
            // SAFETY: the kernel has just put these descriptors into our table; nobody else owns them.
            descriptor = descriptors.first().map(|raw| unsafe { OwnedFd::from_raw_fd(*raw) });
        }
    }
    let length = message.bytes;
    if length == 0 {
        return Ok(None);
    }
    Ok(Some((serde_json::from_slice(&packet[..length])?, descriptor)))
}
