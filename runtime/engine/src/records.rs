use docklab_api::{ApiError, ApiResult};
use docklab_host::Host;
use serde::{Serialize, de::DeserializeOwned};

use crate::HostResultExt;

/// Writes one durable record as JSON; it lasts once this returns.
pub(crate) async fn put<T: Serialize + Sync>(host: &dyn Host, kind: &str, key: &str, value: &T) -> ApiResult<()> {
    let bytes = serde_json::to_vec(value)
        .map_err(|error| ApiError::system(format!("failed to encode the {kind} record {key}: {error}")))?;
    host.put_record(kind, key, bytes.into()).await.api()
}

/// Reads all records of a kind. One that cannot be read is reported in the log and left out, so that one broken record
/// does not keep the engine from starting.
pub(crate) async fn load<T: DeserializeOwned>(host: &dyn Host, kind: &str) -> ApiResult<Vec<(String, T)>> {
    let mut records = Vec::new();
    for (key, bytes) in host.load_records(kind).await.api()? {
        match serde_json::from_slice(&bytes) {
            Ok(value) => records.push((key, value)),
            Err(error) => tracing::error!(kind, key, %error, "a record could not be read and is left out"),
        }
    }
    Ok(records)
}
