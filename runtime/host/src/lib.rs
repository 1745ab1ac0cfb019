//! What a machine must be able to do to run containers.
//!
//! Docker's semantics live in the engine, once; everything the engine needs of a machine comes through [`Host`].
//! `docklab-linux` implements it with namespaces, overlayfs, cgroups and netlink; `docklab-sim` in memory, on a virtual
//! clock, for the browser. The trait is small on purpose: a rule that could be written on this side of it (names, states,
//! texts, caches, address assignment) belongs to the engine.
//!
//! All futures are `Send`: the native engine runs on a work-stealing runtime, and the simulator holds nothing that is
//! bound to a thread.

mod compression;
mod error;
mod layers;
mod network;
mod process;
mod system;

pub use compression::Compression;
pub use error::{HostError, HostResult};
pub use layers::{
    Blob, BlobDigest, ByteStream, Change, ChangeKind, Digest, FileKind, FileStat, Layers, Root, UnpackedLayer,
};
pub use network::{
    EndpointSpec, Ipv6Endpoint, Ipv6Network, NetworkDriver, NetworkSpec, Networks, PortSpec, Protocol, PublishedPort,
};
pub use process::{
    ContainerSpec, DeviceSpec, ExecSpec, Exit, Limits, LogQuery, LogRecord, MountSource, MountSpec, NetworkMode,
    Output, Process, ProcessList, ProcessSpec, Processes, Standard, Started, Stats, TmpfsOptions, User,
};
pub use system::{HostInfo, HttpRequest, HttpResponse, Identity, Judge, Link, Machine, Records, Transport, Volumes};

/// A machine that can hold an engine.
pub trait Host: Machine + Records + Transport + Layers + Volumes + Processes + Networks {}
impl<T: Machine + Records + Transport + Layers + Volumes + Processes + Networks + ?Sized> Host for T {}
