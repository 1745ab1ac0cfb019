use std::{
    collections::BTreeMap,
    net::IpAddr,
    sync::{
        Arc, Mutex,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use async_trait::async_trait;
use bytes::Bytes;
use docklab_host::*;
use futures::{FutureExt, StreamExt, future::BoxFuture, stream::BoxStream};
use jiff::Timestamp;
use tokio::sync::{mpsc, watch};

type Names = Vec<(String, Vec<IpAddr>)>;

/// A process whose behaviour its first word decides.
struct FakeProcess {
    ignores_term: bool,
    output: Mutex<Option<mpsc::UnboundedSender<Output>>>,
    exit: watch::Sender<Option<Exit>>,
    began: tokio::time::Instant,
}

fn at(began: tokio::time::Instant) -> Timestamp {
    let base = Timestamp::from_second(1_700_000_000).expect("a time");
    base + jiff::SignedDuration::try_from(began.elapsed()).expect("short")
}

impl FakeProcess {
    fn end(&self, code: i32) {
        self.output.lock().expect("output").take();
        self.exit.send_if_modified(|exit| {
            let first = exit.is_none();
            if first {
                *exit = Some(Exit { code, oom_killed: false, at: at(self.began) });
            }
            first
        });
    }
}

#[async_trait]
impl Process for FakeProcess {
    fn pid(&self) -> u32 {
        42
    }
    async fn wait(&self) -> HostResult<Exit> {
        let mut exit = self.exit.subscribe();
        let exit = exit.wait_for(Option::is_some).await.map_err(|error| HostError::other("wait", error))?;
        exit.ok_or_else(|| HostError::Other("no exit".to_owned()))
    }
    async fn signal(&self, signal: i32) -> HostResult<()> {
        match signal {
            9 => self.end(137),
            15 if !self.ignores_term => self.end(0),
            _ => {}
        }
        Ok(())
    }
    async fn resize(&self, _: u16, _: u16) -> HostResult<()> {
        Ok(())
    }
    async fn write_stdin(&self, bytes: Bytes) -> HostResult<()> {
        if let Some(output) = &*self.output.lock().expect("output") {
            let _ = output.send(Output { stream: Standard::Stdout, bytes });
        }
        Ok(())
    }
    async fn close_stdin(&self) -> HostResult<()> {
        self.end(0);
        Ok(())
    }
}

/// A machine in memory. Time is tokio's paused clock.
pub(super) struct FakeHost {
    began: tokio::time::Instant,
    random: AtomicU64,
    records: Mutex<BTreeMap<(String, String), Bytes>>,
    running: Mutex<BTreeMap<String, Arc<FakeProcess>>>,
    pub(super) names: Mutex<BTreeMap<String, Names>>,
    /// A host port that some other program has.
    pub(super) foreign_port: Mutex<Option<u16>>,
}

impl FakeHost {
    pub(super) fn new() -> Arc<Self> {
        Arc::new(Self {
            began: tokio::time::Instant::now(),
            random: AtomicU64::new(1),
            records: Mutex::default(),
            running: Mutex::default(),
            names: Mutex::default(),
            foreign_port: Mutex::default(),
        })
    }

    /// Ends a container's process from outside.
    pub(super) fn end(&self, container: &str, code: i32) {
        self.running.lock().expect("running")[container].end(code);
    }

    fn launch(&self, argv: &[String], open_stdin: bool) -> HostResult<(Arc<FakeProcess>, Started)> {
        let (sender, receiver) = mpsc::unbounded_channel();
        let word = argv.first().map(String::as_str).unwrap_or("");
        if word == "nosuch" {
            return Err(HostError::CommandNotFound(word.to_owned()));
        }
        if word == "/etc" {
            return Err(HostError::CommandNotExecutable {
                command: word.to_owned(),
                reason: "is a directory".to_owned(),
            });
        }
        let process = Arc::new(FakeProcess {
            ignores_term: word == "sleep",
            output: Mutex::new(Some(sender)),
            exit: watch::Sender::new(None),
            began: self.began,
        });
        match word {
            "true" => process.end(0),
            "exit" => process.end(argv[1].parse().expect("a code")),
            "echo" => {
                let bytes = Bytes::from(format!("{}\n", argv[1..].join(" ")));
                if let Some(output) = &*process.output.lock().expect("output") {
                    let _ = output.send(Output { stream: Standard::Stdout, bytes });
                }
                process.end(0);
            }
            "cat" if !open_stdin => process.end(0),
            _ => {}
        }
        let output = futures::stream::unfold(receiver, |mut receiver| async move {
            receiver.recv().await.map(|output| (output, receiver))
        })
        .boxed();
        let started = Started { process: process.clone(), output, ports: Vec::new(), warnings: Vec::new() };
        Ok((process, started))
    }
}

#[async_trait]
impl Machine for FakeHost {
    fn now(&self) -> Timestamp {
        at(self.began)
    }
    fn sleep(&self, duration: Duration) -> BoxFuture<'static, ()> {
        tokio::time::sleep(duration).boxed()
    }
    fn spawn(&self, task: BoxFuture<'static, ()>) {
        tokio::spawn(task);
    }
    fn random(&self, buffer: &mut [u8]) {
        for byte in buffer {
            let number = self.random.fetch_add(1, Ordering::Relaxed);
            // Splitmix: numbered draws that look random and repeat in every run.
            let mixed =
                (number.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ (number << 7)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
            *byte = (mixed >> 56) as u8;
        }
    }
    fn info(&self) -> HostInfo {
        HostInfo {
            hostname: "node1".to_owned(),
            operating_system: "test".to_owned(),
            kernel_version: "6".to_owned(),
            machine: "x86_64".to_owned(),
            cpus: 2,
            memory: 1 << 30,
            cgroup_version: 2,
            root_dir: "/var/lib/docker".to_owned(),
            kind: "sim",
            warnings: Vec::new(),
        }
    }
}

#[async_trait]
impl Records for FakeHost {
    async fn load_records(&self, kind: &str) -> HostResult<Vec<(String, Bytes)>> {
        let records = self.records.lock().expect("records");
        Ok(records
            .iter()
            .filter(|((of, _), _)| of == kind)
            .map(|((_, key), value)| (key.clone(), value.clone()))
            .collect())
    }
    async fn put_record(&self, kind: &str, key: &str, value: Bytes) -> HostResult<()> {
        self.records.lock().expect("records").insert((kind.to_owned(), key.to_owned()), value);
        Ok(())
    }
    async fn delete_record(&self, kind: &str, key: &str) -> HostResult<()> {
        self.records.lock().expect("records").remove(&(kind.to_owned(), key.to_owned()));
        Ok(())
    }
}

fn unsupported<T>() -> HostResult<T> {
    Err(HostError::Unsupported("not in this test".to_owned()))
}

#[async_trait]
impl Transport for FakeHost {
    async fn http(&self, _: HttpRequest) -> HostResult<HttpResponse> {
        unsupported()
    }
}

#[async_trait]
impl Layers for FakeHost {
    async fn unpack(&self, _: Option<&str>, _: Compression, _: ByteStream) -> HostResult<UnpackedLayer> {
        unsupported()
    }
    async fn layer(&self, _: &str) -> HostResult<Option<UnpackedLayer>> {
        Ok(None)
    }
    async fn export_layer(&self, _: &str) -> HostResult<ByteStream> {
        unsupported()
    }
    async fn remove_layer(&self, _: &str) -> HostResult<()> {
        Ok(())
    }
    async fn write_blob(&self, _: Option<&str>, _: ByteStream) -> HostResult<Blob> {
        unsupported()
    }
    async fn read_blob(&self, _: &str, _: u64) -> HostResult<ByteStream> {
        unsupported()
    }
    async fn remove_blob(&self, _: &str) -> HostResult<()> {
        Ok(())
    }
    fn gzip(&self, content: ByteStream) -> ByteStream {
        content
    }
    async fn create_rootfs(&self, _: &str, _: Option<&str>) -> HostResult<()> {
        Ok(())
    }
    async fn remove_rootfs(&self, _: &str) -> HostResult<()> {
        Ok(())
    }
    async fn rootfs_size(&self, _: &str) -> HostResult<u64> {
        Ok(2)
    }
    async fn changes(&self, _: &str) -> HostResult<Vec<Change>> {
        Ok(Vec::new())
    }
    async fn commit(&self, _: &str) -> HostResult<Option<UnpackedLayer>> {
        Ok(None)
    }
    async fn stat(&self, _: &Root, _: &str) -> HostResult<Option<FileStat>> {
        Ok(None)
    }
    async fn archive(&self, _: &Root, _: &str) -> HostResult<ByteStream> {
        unsupported()
    }
    async fn extract(&self, _: &Root, _: &str, _: bool, _: ByteStream) -> HostResult<()> {
        unsupported()
    }
    async fn read_file(&self, _: &Root, _: &str, _: u64) -> HostResult<Option<Bytes>> {
        Ok(None)
    }
}

#[async_trait]
impl Volumes for FakeHost {
    async fn create_volume(&self, name: &str) -> HostResult<String> {
        Ok(format!("/var/lib/docker/volumes/{name}/_data"))
    }
    async fn remove_volume(&self, _: &str) -> HostResult<()> {
        Ok(())
    }
    async fn volume_size(&self, _: &str) -> HostResult<u64> {
        Ok(0)
    }
    async fn bind_source_exists(&self, path: &str) -> HostResult<bool> {
        Ok(path == "/there")
    }
}

#[async_trait]
impl Processes for FakeHost {
    async fn start(&self, spec: &ContainerSpec) -> HostResult<Started> {
        let foreign = *self.foreign_port.lock().expect("port");
        if let Some(port) = spec.ports.iter().find(|port| Some(port.host_port) == foreign) {
            let address = format!("{}:{}", port.host_address, port.host_port);
            return Err(HostError::PortInUse { protocol: "tcp", address });
        }
        let (process, mut started) = self.launch(&spec.process.argv, spec.process.open_stdin)?;
        started.ports = spec
            .ports
            .iter()
            .map(|port| PublishedPort {
                host_address: port.host_address,
                host_port: port.host_port,
                container_port: port.container_port,
                protocol: port.protocol,
            })
            .collect();
        self.running.lock().expect("running").insert(spec.id.clone(), process);
        Ok(started)
    }
    async fn reattach(&self, container: &str) -> HostResult<Option<Started>> {
        let process = self.running.lock().expect("running").get(container).cloned();
        Ok(process.map(|process| {
            let ending = process.clone();
            let output = futures::stream::once(async move { ending.wait().await })
                .filter_map(|_| futures::future::ready(None))
                .boxed();
            Started { process, output, ports: Vec::new(), warnings: Vec::new() }
        }))
    }
    async fn cleanup(&self, container: &str) -> HostResult<()> {
        self.running.lock().expect("running").remove(container);
        Ok(())
    }
    async fn exec(&self, _: &str, spec: &ExecSpec) -> HostResult<Started> {
        self.launch(&spec.process.argv, spec.process.open_stdin).map(|(_, started)| started)
    }
    async fn pause(&self, _: &str) -> HostResult<()> {
        Ok(())
    }
    async fn resume(&self, _: &str) -> HostResult<()> {
        Ok(())
    }
    async fn update_limits(&self, _: &str, _: &Limits) -> HostResult<()> {
        Ok(())
    }
    async fn stats(&self, _: &str) -> HostResult<Stats> {
        Ok(Stats::default())
    }
    async fn top(&self, _: &str, _: &str) -> HostResult<ProcessList> {
        Ok(ProcessList::default())
    }
    async fn logs(&self, _: &str, _: LogQuery) -> HostResult<BoxStream<'static, HostResult<LogRecord>>> {
        let line = LogRecord { at: at(self.began), stream: Standard::Stdout, bytes: Bytes::from_static(b"line\n") };
        Ok(futures::stream::once(futures::future::ready(Ok(line))).boxed())
    }
    async fn remove_logs(&self, _: &str) -> HostResult<()> {
        Ok(())
    }
}

#[async_trait]
impl Networks for FakeHost {
    async fn create_network(&self, _: &NetworkSpec) -> HostResult<()> {
        Ok(())
    }
    async fn remove_network(&self, _: &str) -> HostResult<()> {
        Ok(())
    }
    async fn connect(&self, _: &str, _: &EndpointSpec) -> HostResult<()> {
        Ok(())
    }
    async fn disconnect(&self, _: &str, _: &str) -> HostResult<()> {
        Ok(())
    }
    async fn set_names(&self, network: &str, names: &[(String, Vec<IpAddr>)]) -> HostResult<()> {
        self.names.lock().expect("names").insert(network.to_owned(), names.to_vec());
        Ok(())
    }
    async fn set_peers(&self, _: &str, _: &[IpAddr]) -> HostResult<()> {
        Ok(())
    }
    async fn set_mesh(&self, _: &str, _: u16, _: Protocol, _: &[(IpAddr, u16)]) -> HostResult<()> {
        Ok(())
    }
    async fn remove_mesh(&self, _: u16, _: Protocol) -> HostResult<()> {
        Ok(())
    }
    async fn node_addresses(&self) -> HostResult<Vec<(String, IpAddr)>> {
        Ok(Vec::new())
    }
}
