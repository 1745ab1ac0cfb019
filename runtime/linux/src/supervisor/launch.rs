//! Starting processes: the fork, and the supervisor's part of the conversation with the child.

use std::{
    io::{self, IoSliceMut, Read},
    os::{
        fd::{AsRawFd, FromRawFd, OwnedFd, RawFd},
        unix::net::UnixStream,
    },
};

use docklab_host::{ExecSpec, HostError, HostResult, ProcessSpec};
use nix::{
    cmsg_space,
    fcntl::OFlag,
    sys::{
        socket::{AddressFamily, ControlMessageOwned, MsgFlags, SockFlag, SockType, recvmsg, socketpair},
        wait::waitpid,
    },
    unistd::{ForkResult, fork, pipe2},
};

use super::{
    child::{self, ChildStreams, Confinement, Report},
    managed::Managed,
    protocol::{self, HEADER, Launch, Request},
};
use crate::{
    capabilities::CapabilitySet,
    devices,
    namespaces::{choose_pid_namespace_of_children, descriptor_of},
    seccomp::Profile,
};

/// Reads the launch request that the engine sends first, with the network namespace's descriptor.
pub(super) fn receive(engine: &OwnedFd) -> io::Result<(Launch, Option<OwnedFd>)> {
    let mut head = [0; HEADER];
    let mut space = cmsg_space!([RawFd; 1]);
    let mut slices = [IoSliceMut::new(&mut head)];
    let flags = MsgFlags::MSG_CMSG_CLOEXEC | MsgFlags::MSG_WAITALL;
    let message = recvmsg::<()>(engine.as_raw_fd(), &mut slices, Some(&mut space), flags)?;
    let mut network = None;
    for control in message.cmsgs()? {
        if let ControlMessageOwned::ScmRights(descriptors) = control {
            // SAFETY: the kernel has just put these descriptors into our table; nobody else owns them.
            network = descriptors.first().map(|raw| unsafe { OwnedFd::from_raw_fd(*raw) });
        }
    }
    if message.bytes != HEADER {
        return Err(io::Error::new(io::ErrorKind::UnexpectedEof, "the engine went away before it said what to start"));
    }
    let (_, length) = protocol::parse_header(head)?;
    let mut payload = vec![0; length];
    UnixStream::from(engine.try_clone()?).read_exact(&mut payload)?;
    match protocol::decode(&payload)? {
        Request::Launch(launch) => Ok((*launch, network)),
        _ => Err(io::Error::new(io::ErrorKind::InvalidData, "the first request must be a launch")),
    }
}

/// The container's first process.
pub(super) fn start(launch: &Launch, network: Option<&OwnedFd>) -> HostResult<Managed> {
    let spec = &launch.spec;
    let (confinement, rules) = confinement(launch, &spec.process)?;
    launch.cgroup.create(&spec.limits, &rules)?;
    choose_pid_namespace_of_children(launch.pid)?;
    spawn(&spec.process, None, |socket, streams| child::run_first(launch, &confinement, network, streams, socket))
}

/// A further process in the running container.
pub(super) fn exec(launch: &Launch, first: u32, spec: ExecSpec) -> HostResult<Managed> {
    let (confinement, _) = confinement(launch, &spec.process)?;
    let first = descriptor_of(first)?;
    spawn(&spec.process, Some(spec.id.clone()), |socket, streams| {
        child::run_further(
            &first,
            &launch.cgroup,
            &spec.process,
            &confinement,
            streams,
            socket,
            &launch.spec.limits.ulimits,
        )
    })
}

fn confinement(launch: &Launch, process: &ProcessSpec) -> HostResult<(Confinement, crate::cgroup::DeviceRules)> {
    let spec = &launch.spec;
    let capabilities = CapabilitySet::for_container(process.privileged, &spec.cap_add, &spec.cap_drop)?;
    // Docker takes `name=value` and the older `name:value`.
    let option =
        |name: &str| spec.security_opt.iter().find_map(|option| option.strip_prefix(name)?.strip_prefix(['=', ':']));
    let unconfined = process.privileged || option("seccomp") == Some("unconfined");
    let no_new_privileges = spec.security_opt.iter().any(|option| option == "no-new-privileges")
        || option("no-new-privileges") == Some("true");
    let (nodes, rules) = devices::plan(&spec.devices, spec.process.privileged)?;
    let confinement = Confinement {
        capabilities,
        seccomp: if unconfined { None } else { Some(Profile::default_for(capabilities)?) },
        no_new_privileges,
        unmask: spec.process.privileged || option("systempaths") == Some("unconfined"),
        nodes,
    };
    Ok((confinement, rules))
}

fn spawn(
    process: &ProcessSpec,
    exec: Option<String>,
    child_side: impl FnOnce(&OwnedFd, ChildStreams) -> HostError,
) -> HostResult<Managed> {
    let failed = |what: &'static str| move |error: nix::Error| HostError::other(what, error.desc());
    let (ours, theirs) = socketpair(AddressFamily::Unix, SockType::SeqPacket, None, SockFlag::SOCK_CLOEXEC)
        .map_err(failed("socketpair"))?;
    let pipe = || pipe2(OFlag::O_CLOEXEC).map_err(failed("make pipe"));
    let mut streams = ChildStreams { stdin: None, stdout: None, stderr: None };
    let mut ends = [None, None, None];
    if !process.tty {
        if process.open_stdin {
            let (read, write) = pipe()?;
            (streams.stdin, ends[0]) = (Some(read), Some(write));
        }
        let (read, write) = pipe()?;
        (streams.stdout, ends[1]) = (Some(write), Some(read));
        let (read, write) = pipe()?;
        (streams.stderr, ends[2]) = (Some(write), Some(read));
    }
    // SAFETY: the supervisor has one thread, so the child finds every lock free and may do what it likes.
    let pid = match unsafe { fork() } {
        Ok(ForkResult::Child) => {
            drop(ours);
            let error = child_side(&theirs, streams);
            child::end_with(&theirs, error)
        }
        Ok(ForkResult::Parent { child }) => child,
        Err(nix::Error::ENOMEM) if exec.is_some() => {
            return Err(HostError::Other("cannot exec in a container that has ended".to_owned()));
        }
        Err(error) => return Err(HostError::other("fork", error.desc())),
    };
    drop((theirs, streams));
    match converse(&ours) {
        Ok(terminal) => {
            Managed::new(exec, pid, terminal, ends).map_err(|error| HostError::other("set up streams", error))
        }
        Err(error) => {
            let _ = nix::sys::signal::kill(pid, nix::sys::signal::Signal::SIGKILL);
            // With the machine's PID namespace or an exec, the child is all there is to clear away.
            let _ = waitpid(pid, None);
            Err(error)
        }
    }
}

/// Hears the child out until its program runs; returns the master end of its terminal.
fn converse(socket: &OwnedFd) -> HostResult<Option<OwnedFd>> {
    let mut terminal = None;
    loop {
        match child::receive(socket).map_err(|error| HostError::other("hear from the container's process", error))? {
            None => return Ok(terminal),
            Some((Report::Terminal, descriptor)) => terminal = descriptor,
            Some((Report::Failed(failure), _)) => return Err(failure.into()),
        }
    }
}
