//! Which engine a command line speaks to: `-H`, `DOCKER_HOST`, `--context`, `DOCKER_CONTEXT`, the current context.

use std::sync::Arc;

use docklab_api::DockerApi;
use sha2::{Digest as _, Sha256};

use crate::{
    config::Config,
    console::Console,
    error::{CliError, CliResult},
    grammar::Flags,
};

/// What Docker uses when nothing names an engine.
pub(crate) const DEFAULT_HOST: &str = "unix:///var/run/docker.sock";

/// Where an engine is, and how it is to be spoken to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Endpoint {
    /// `unix:///path`, `tcp://host:port`, `ssh://user@host`.
    pub host: String,
    pub tls: Option<Tls>,
    /// Sent with every request (`HttpHeaders` of the configuration).
    pub headers: Vec<(String, String)>,
    /// From `DOCKER_API_VERSION`: spoken as it is, without negotiation.
    pub api_version: Option<String>,
}

impl Default for Endpoint {
    /// The engine of this machine.
    fn default() -> Self {
        Self { host: DEFAULT_HOST.to_owned(), tls: None, headers: Vec::new(), api_version: None }
    }
}

/// Files of a TLS connection.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Tls {
    pub verify: bool,
    pub ca: String,
    pub certificate: String,
    pub key: String,
}

/// Makes clients. The error is a whole line for the user.
pub trait Connector: Send + Sync {
    fn connect(&self, endpoint: &Endpoint) -> Result<Arc<dyn DockerApi>, String>;
}

/// An engine that is there already, whatever the command line says.
pub(crate) struct Fixed(pub Arc<dyn DockerApi>);

impl Connector for Fixed {
    fn connect(&self, _endpoint: &Endpoint) -> Result<Arc<dyn DockerApi>, String> {
        Ok(Arc::clone(&self.0))
    }
}

/// The name of the context in force.
pub(crate) fn context_name(flags: &Flags, config: &Config, console: &dyn Console) -> String {
    let set = |name: &str| console.variable(name).filter(|value| !value.is_empty());
    if let Some(name) = flags.get("context").filter(|name| !name.is_empty()) {
        return name.to_owned();
    }
    if flags.given("host") || set("DOCKER_HOST").is_some() {
        return "default".to_owned();
    }
    set("DOCKER_CONTEXT").unwrap_or_else(|| match config.text("currentContext") {
        "" => "default".to_owned(),
        current => current.to_owned(),
    })
}

/// Where a context's description is kept: its directory bears the digest of its name.
pub(crate) fn metadata_path(config: &Config, name: &str) -> String {
    let digest: String = Sha256::digest(name.as_bytes()).iter().map(|byte| format!("{byte:02x}")).collect();
    format!("{}/contexts/meta/{digest}/meta.json", config.directory)
}

/// Resolves the endpoint.
pub(crate) async fn resolve(flags: &Flags, config: &Config, console: &dyn Console) -> CliResult<Endpoint> {
    let failed =
        |reason: String| CliError::new(format!("Failed to initialize: unable to resolve docker endpoint: {reason}"));
    let hosts = flags.list("host");
    if flags.given("context") && !hosts.is_empty() {
        return Err(CliError::new("conflicting options: cannot specify both --host and --context"));
    }
    if hosts.len() > 1 {
        return Err(failed("Specify only one -H".to_owned()));
    }
    let headers = config.map("HttpHeaders").into_iter().flatten();
    let headers =
        headers.filter_map(|(name, value)| Some((name.clone(), value.as_str()?.to_owned()))).collect::<Vec<_>>();
    let api_version = console.variable("DOCKER_API_VERSION").filter(|version| !version.is_empty());
    let name = context_name(flags, config, console);
    if name != "default" {
        let path = metadata_path(config, &name);
        let bytes = console
            .read_file(&path)
            .await
            .map_err(|error| failed(format!("context {name:?}: context not found: {error}")))?;
        let metadata: serde_json::Value = serde_json::from_slice(&bytes).map_err(|error| failed(error.to_string()))?;
        let docker = metadata.pointer("/Endpoints/docker");
        let host = docker.and_then(|docker| docker.get("Host")).and_then(serde_json::Value::as_str);
        let Some(host) = host else {
            return Err(failed(format!("context {name:?}: no docker endpoint")));
        };
        let skip = docker.and_then(|docker| docker.get("SkipTLSVerify")).and_then(serde_json::Value::as_bool);
        let tls = host.starts_with("tcp://").then(|| {
            let folder = path.replace("/meta/", "/tls/").replace("/meta.json", "/docker");
            Tls {
                verify: !skip.unwrap_or(false),
                ca: format!("{folder}/ca.pem"),
                certificate: format!("{folder}/cert.pem"),
                key: format!("{folder}/key.pem"),
            }
        });
        let tls = match tls {
            Some(tls) if console.metadata(&tls.ca).await.is_ok() => Some(tls),
            _ => None,
        };
        return Ok(Endpoint { host: host.to_owned(), tls, headers, api_version });
    }
    let given = hosts
        .first()
        .cloned()
        .or_else(|| console.variable("DOCKER_HOST").filter(|host| !host.is_empty()))
        .unwrap_or_else(|| DEFAULT_HOST.to_owned());
    let tls = tls(flags, config, console);
    let host = parse_host(given.trim(), tls.is_some()).map_err(failed)?;
    Ok(Endpoint { host, tls, headers, api_version })
}

fn tls(flags: &Flags, config: &Config, console: &dyn Console) -> Option<Tls> {
    let variable = |name: &str| console.variable(name).is_some_and(|value| !value.is_empty());
    let verify = flags.boolean("tlsverify", variable("DOCKER_TLS_VERIFY"));
    if !verify && !flags.boolean("tls", variable("DOCKER_TLS")) {
        return None;
    }
    let folder = console.variable("DOCKER_CERT_PATH").filter(|path| !path.is_empty());
    let folder = folder.unwrap_or_else(|| config.directory.clone());
    let file = |flag: &str, name: &str| flags.get(flag).map_or_else(|| format!("{folder}/{name}"), ToOwned::to_owned);
    Some(Tls {
        verify,
        ca: file("tlscacert", "ca.pem"),
        certificate: file("tlscert", "cert.pem"),
        key: file("tlskey", "key.pem"),
    })
}

/// A host in its full form; what Docker's own parser refuses is refused in its words.
pub(crate) fn parse_host(given: &str, tls: bool) -> Result<String, String> {
    let port = if tls { 2376 } else { 2375 };
    match given.split_once("://") {
        Some(("unix", "")) => Ok(DEFAULT_HOST.to_owned()),
        Some(("unix" | "ssh" | "npipe" | "fd", _)) => Ok(given.to_owned()),
        Some(("tcp" | "http" | "https", address)) => tcp(address, port),
        None if given.is_empty() => Ok(DEFAULT_HOST.to_owned()),
        None => tcp(given, port),
        Some(_) => Err(format!("invalid bind address format: {given}")),
    }
}

fn tcp(address: &str, port: u16) -> Result<String, String> {
    let address = address.trim_end_matches('/');
    let (host, given) = match address.rsplit_once(':') {
        Some((host, given)) if !given.contains(']') => (host, given),
        _ => (address, ""),
    };
    if !given.is_empty() && given.parse::<u16>().is_err() {
        return Err(format!("invalid bind address format: {address}"));
    }
    let host = if host.is_empty() { "127.0.0.1" } else { host };
    let given = if given.is_empty() { port.to_string() } else { given.to_owned() };
    Ok(format!("tcp://{host}:{given}"))
}
