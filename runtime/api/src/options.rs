//! Query parameters of the Engine API, decoded. Field names follow the API's own.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::{Filters, models::AuthConfig};

/// `GET /containers/json`.
#[derive(Debug, Clone, Default)]
pub struct ListContainers {
    pub all: bool,
    /// Newest N, whatever their state; `None` or 0 is no limit.
    pub limit: Option<i64>,
    pub size: bool,
    pub filters: Filters,
}

/// `POST /containers/create`.
#[derive(Debug, Clone, Default)]
pub struct CreateContainer {
    pub name: Option<String>,
    /// `os[/arch[/variant]]`.
    pub platform: Option<String>,
}

/// `POST /containers/{id}/attach`.
#[derive(Debug, Clone, Default)]
pub struct AttachContainer {
    pub stream: bool,
    pub logs: bool,
    pub stdin: bool,
    pub stdout: bool,
    pub stderr: bool,
    /// `ctrl-p,ctrl-q` when empty. The server watches for it only with a terminal.
    pub detach_keys: Option<String>,
}

/// `GET /containers/{id}/logs`, `/services/{id}/logs`, `/tasks/{id}/logs`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Logs {
    pub stdout: bool,
    pub stderr: bool,
    pub follow: bool,
    pub timestamps: bool,
    pub details: bool,
    /// Unix time, with a fraction, or 0 for the beginning.
    pub since: Option<String>,
    pub until: Option<String>,
    /// `all` or a number; what cannot be read means all.
    pub tail: Option<String>,
}

/// `POST /containers/{id}/wait?condition=`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum WaitCondition {
    #[default]
    NotRunning,
    NextExit,
    Removed,
}

/// `DELETE /containers/{id}`.
#[derive(Debug, Clone, Copy, Default)]
pub struct RemoveContainer {
    pub force: bool,
    /// Remove anonymous volumes too.
    pub volumes: bool,
    pub link: bool,
}

/// `POST /containers/{id}/stop` and `/restart`.
#[derive(Debug, Clone, Default)]
pub struct StopContainer {
    pub signal: Option<String>,
    /// Seconds; `None` is the container's own, negative waits for ever.
    pub timeout: Option<i64>,
}

/// The `X-Docker-Container-Path-Stat` header.
#[derive(Debug, Clone, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct PathStat {
    pub name: String,
    pub size: i64,
    /// Go's `os.FileMode` bits: permission bits below, type bits from bit 31 down.
    pub mode: u32,
    /// RFC 3339.
    pub mtime: String,
    #[serde(rename = "linkTarget")]
    pub link_target: String,
}

/// `POST /images/create`, which is both pull (`from_image`) and import (`from_src`).
#[derive(Debug, Clone, Default)]
pub struct CreateImage {
    pub from_image: Option<String>,
    pub from_src: Option<String>,
    pub repo: Option<String>,
    pub tag: Option<String>,
    pub message: Option<String>,
    pub changes: Vec<String>,
    pub platform: Option<String>,
    pub auth: Option<AuthConfig>,
}

/// `GET /images/json`.
#[derive(Debug, Clone, Default)]
pub struct ListImages {
    pub all: bool,
    pub digests: bool,
    pub shared_size: bool,
    pub filters: Filters,
}

/// `DELETE /images/{name}`.
#[derive(Debug, Clone, Copy, Default)]
pub struct RemoveImage {
    pub force: bool,
    pub noprune: bool,
}

/// `POST /images/{name}/push`.
#[derive(Debug, Clone, Default)]
pub struct PushImage {
    pub tag: Option<String>,
    /// One platform of several, as the API's JSON.
    pub platform: Option<String>,
    pub auth: Option<AuthConfig>,
}

/// `POST /commit`.
#[derive(Debug, Clone, Default)]
pub struct CommitContainer {
    pub container: String,
    pub repo: Option<String>,
    pub tag: Option<String>,
    pub comment: Option<String>,
    pub author: Option<String>,
    pub pause: bool,
    pub changes: Vec<String>,
}

/// `POST /build` with the classic builder's parameters.
#[derive(Debug, Clone, Default)]
pub struct BuildImage {
    pub dockerfile: Option<String>,
    pub tags: Vec<String>,
    pub extra_hosts: Vec<String>,
    pub remote: Option<String>,
    pub quiet: bool,
    pub no_cache: bool,
    pub cache_from: Vec<String>,
    pub pull: bool,
    /// Remove intermediate containers after a successful build.
    pub remove: bool,
    pub force_remove: bool,
    pub build_args: BTreeMap<String, Option<String>>,
    pub labels: BTreeMap<String, String>,
    pub target: Option<String>,
    pub network_mode: Option<String>,
    pub platform: Option<String>,
    pub memory: Option<i64>,
    pub shm_size: Option<i64>,
    /// Credentials by registry host, from `X-Registry-Config`.
    pub auth: BTreeMap<String, AuthConfig>,
}

/// `GET /events`.
#[derive(Debug, Clone, Default)]
pub struct Events {
    pub since: Option<String>,
    pub until: Option<String>,
    pub filters: Filters,
}

/// `POST /swarm/update`.
#[derive(Debug, Clone, Copy, Default)]
pub struct UpdateSwarm {
    pub version: u64,
    pub rotate_worker_token: bool,
    pub rotate_manager_token: bool,
    pub rotate_manager_unlock_key: bool,
}

/// `POST /services/{id}/update`.
#[derive(Debug, Clone, Default)]
pub struct UpdateService {
    pub version: u64,
    pub registry_auth_from: Option<String>,
    /// `previous` rolls back.
    pub rollback: Option<String>,
    pub auth: Option<AuthConfig>,
}

/// `GET /services`.
#[derive(Debug, Clone, Default)]
pub struct ListServices {
    pub filters: Filters,
    /// Fill `ServiceStatus`.
    pub status: bool,
}

/// `HEAD /_ping`: what the headers say.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ping {
    pub api_version: String,
    pub os_type: String,
    /// `1` classic, `2` BuildKit.
    pub builder_version: String,
    /// `inactive`, `pending`, `locked`, `error`, `active/worker`, `active/manager`.
    pub swarm: String,
}

/// A request in the API's own terms, for what Docker has and [`crate::DockerApi`] has no type for.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct RawRequest {
    /// `GET`, `POST`, `PUT`, `DELETE`; `GET` when empty.
    pub method: &'static str,
    /// Without version: `/services/web`.
    pub path: String,
    pub query: Vec<(String, String)>,
    pub body: Option<serde_json::Value>,
    /// Credentials for a registry; `Some(None)` sends the header that says there are none.
    pub auth: Option<Option<AuthConfig>>,
}

impl RawRequest {
    /// A `GET`.
    pub fn get(path: impl Into<String>) -> Self {
        Self { method: "GET", path: path.into(), ..Self::default() }
    }
    /// A `POST`.
    pub fn post(path: impl Into<String>) -> Self {
        Self { method: "POST", path: path.into(), ..Self::default() }
    }
    /// Adds a query parameter; builder style.
    #[must_use]
    pub fn query(mut self, key: &str, value: impl Into<String>) -> Self {
        self.query.push((key.to_owned(), value.into()));
        self
    }
    /// Sends this JSON; builder style.
    #[must_use]
    pub fn body(mut self, body: serde_json::Value) -> Self {
        self.body = Some(body);
        self
    }
}
