//! The image configuration: the JSON whose digest is the image's ID (OCI image spec, "Image JSON").

use std::collections::BTreeMap;

use docklab_api::{ApiError, ApiResult, models};
use serde::{Deserialize, Deserializer, Serialize, de::DeserializeOwned};
use sha2::{Digest as _, Sha256};

/// Go writes `null` where a string, list or number has its zero value.
fn null_is_default<'de, D: Deserializer<'de>, T: Default + Deserialize<'de>>(deserializer: D) -> Result<T, D::Error> {
    Ok(Option::deserialize(deserializer)?.unwrap_or_default())
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Empty {}

/// How to run a container of the image; the field order is that of Docker's own encoder.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
pub(crate) struct RunConfig {
    #[serde(deserialize_with = "null_is_default")]
    pub hostname: String,
    #[serde(deserialize_with = "null_is_default")]
    pub domainname: String,
    #[serde(deserialize_with = "null_is_default")]
    pub user: String,
    #[serde(deserialize_with = "null_is_default")]
    pub attach_stdin: bool,
    #[serde(deserialize_with = "null_is_default")]
    pub attach_stdout: bool,
    #[serde(deserialize_with = "null_is_default")]
    pub attach_stderr: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub exposed_ports: Option<BTreeMap<String, Empty>>,
    #[serde(deserialize_with = "null_is_default")]
    pub tty: bool,
    #[serde(deserialize_with = "null_is_default")]
    pub open_stdin: bool,
    #[serde(deserialize_with = "null_is_default")]
    pub stdin_once: bool,
    pub env: Option<Vec<String>>,
    pub cmd: Option<Vec<String>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub healthcheck: Option<models::HealthConfig>,
    #[serde(skip_serializing_if = "std::ops::Not::not", deserialize_with = "null_is_default")]
    pub args_escaped: bool,
    #[serde(deserialize_with = "null_is_default")]
    pub image: String,
    pub volumes: Option<BTreeMap<String, Empty>>,
    #[serde(deserialize_with = "null_is_default")]
    pub working_dir: String,
    pub entrypoint: Option<Vec<String>>,
    #[serde(skip_serializing_if = "std::ops::Not::not", deserialize_with = "null_is_default")]
    pub network_disabled: bool,
    #[serde(skip_serializing_if = "String::is_empty", deserialize_with = "null_is_default")]
    pub mac_address: String,
    pub on_build: Option<Vec<String>>,
    pub labels: Option<BTreeMap<String, String>>,
    #[serde(skip_serializing_if = "String::is_empty", deserialize_with = "null_is_default")]
    pub stop_signal: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub stop_timeout: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub shell: Option<Vec<String>>,
}

impl RunConfig {
    /// Converts one of the API's shapes of the same JSON.
    pub(crate) fn from_model<T: Serialize>(model: &T) -> ApiResult<Self> {
        recode(model)
    }
    /// Converts to one of the API's shapes.
    pub(crate) fn to_model<T: DeserializeOwned>(&self) -> ApiResult<T> {
        recode(self)
    }
}

fn recode<T: Serialize, U: DeserializeOwned>(from: &T) -> ApiResult<U> {
    serde_json::to_vec(from)
        .and_then(|text| serde_json::from_slice(&text))
        .map_err(|error| ApiError::invalid(format!("invalid container configuration: {error}")))
}

#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct History {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub created: Option<String>,
    #[serde(skip_serializing_if = "String::is_empty", deserialize_with = "null_is_default")]
    pub author: String,
    #[serde(skip_serializing_if = "String::is_empty", deserialize_with = "null_is_default")]
    pub created_by: String,
    #[serde(skip_serializing_if = "String::is_empty", deserialize_with = "null_is_default")]
    pub comment: String,
    #[serde(skip_serializing_if = "std::ops::Not::not", deserialize_with = "null_is_default")]
    pub empty_layer: bool,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct RootFs {
    #[serde(rename = "type")]
    pub kind: String,
    #[serde(deserialize_with = "null_is_default")]
    pub diff_ids: Vec<String>,
}

impl Default for RootFs {
    fn default() -> Self {
        Self { kind: "layers".to_owned(), diff_ids: Vec::new() }
    }
}

/// The whole configuration. Fields are in the alphabetical order in which Docker writes them.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct ImageFile {
    #[serde(deserialize_with = "null_is_default")]
    pub architecture: String,
    #[serde(skip_serializing_if = "String::is_empty", deserialize_with = "null_is_default")]
    pub author: String,
    #[serde(skip_serializing_if = "String::is_empty", deserialize_with = "null_is_default")]
    pub comment: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub config: Option<RunConfig>,
    #[serde(skip_serializing_if = "String::is_empty", deserialize_with = "null_is_default")]
    pub container: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub container_config: Option<RunConfig>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub created: Option<String>,
    #[serde(skip_serializing_if = "String::is_empty", deserialize_with = "null_is_default")]
    pub docker_version: String,
    #[serde(skip_serializing_if = "Vec::is_empty", deserialize_with = "null_is_default")]
    pub history: Vec<History>,
    #[serde(deserialize_with = "null_is_default")]
    pub os: String,
    #[serde(rename = "os.features", skip_serializing_if = "Vec::is_empty", deserialize_with = "null_is_default")]
    pub os_features: Vec<String>,
    #[serde(rename = "os.version", skip_serializing_if = "String::is_empty", deserialize_with = "null_is_default")]
    pub os_version: String,
    pub rootfs: RootFs,
    #[serde(skip_serializing_if = "String::is_empty", deserialize_with = "null_is_default")]
    pub variant: String,
}

impl ImageFile {
    pub(crate) fn parse(bytes: &[u8]) -> ApiResult<Self> {
        let file: Self = serde_json::from_slice(bytes)
            .map_err(|error| ApiError::invalid(format!("invalid image configuration: {error}")))?;
        let layers = file.history.iter().filter(|entry| !entry.empty_layer).count();
        if !file.history.is_empty() && layers > file.rootfs.diff_ids.len() {
            return Err(ApiError::invalid("too many non-empty layers in History section"));
        }
        Ok(file)
    }

    pub(crate) fn to_bytes(&self) -> ApiResult<Vec<u8>> {
        serde_json::to_vec(self).map_err(|error| ApiError::system(format!("failed to encode an image: {error}")))
    }
}

/// `sha256:` and the SHA-256 of `bytes`.
pub(crate) fn sha256(bytes: &[u8]) -> String {
    format!("sha256:{}", hex::encode(Sha256::digest(bytes)))
}

/// The chain IDs of a stack of layers, bottom first (OCI image spec, "Layer ChainID").
pub(crate) fn chain_ids(diff_ids: &[String]) -> Vec<String> {
    let mut chains: Vec<String> = Vec::with_capacity(diff_ids.len());
    for diff_id in diff_ids {
        let chain = match chains.last() {
            None => diff_id.clone(),
            Some(parent) => sha256(format!("{parent} {diff_id}").as_bytes()),
        };
        chains.push(chain);
    }
    chains
}

/// Go's name of a machine (`uname -m`).
pub(crate) fn go_architecture(machine: &str) -> &str {
    match machine {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        "armv7l" | "armv6l" => "arm",
        "i686" | "i386" => "386",
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn chain_ids_follow_the_oci_rule() {
        let diffs = ["sha256:aa".to_owned(), "sha256:bb".to_owned()];
        let chains = chain_ids(&diffs);
        assert_eq!(chains, ["sha256:aa".to_owned(), sha256(b"sha256:aa sha256:bb")]);
    }

    #[test]
    fn nulls_and_absent_fields_are_read() {
        let text = br#"{"architecture":"amd64","os":"linux","config":{"Env":null,"Cmd":["sh"],"Volumes":{"/d":{}},
            "User":null,"Labels":null},"rootfs":{"type":"layers","diff_ids":["sha256:aa"]},
            "history":[{"created_by":"x"},{"created_by":"y","empty_layer":true}]}"#;
        let file = ImageFile::parse(text).unwrap();
        assert_eq!(file.config.unwrap().cmd, Some(vec!["sh".to_owned()]));
        let bad = br#"{"rootfs":{"type":"layers","diff_ids":[]},"history":[{"created_by":"x"}]}"#;
        assert_eq!(ImageFile::parse(bad).unwrap_err().message, "too many non-empty layers in History section");
    }
}
