//! The client's configuration file, `~/.docker/config.json`.

use serde_json::{Map, Value, json};

use crate::{
    console::Console,
    error::{CliError, CliResult},
};

/// `config.json` and where it stands. What this client does not know in it is kept.
#[derive(Debug, Clone, Default)]
pub(crate) struct Config {
    /// The directory: `--config`, `DOCKER_CONFIG` or `~/.docker`.
    pub directory: String,
    content: Value,
}

impl Config {
    /// Reads the file; a missing one is empty. A broken one is reported as a warning, and is empty too.
    pub(crate) async fn read(console: &dyn Console, directory: Option<&str>) -> (Self, Option<String>) {
        let directory = directory
            .map(ToOwned::to_owned)
            .or_else(|| console.variable("DOCKER_CONFIG").filter(|directory| !directory.is_empty()))
            .unwrap_or_else(|| format!("{}/.docker", console.variable("HOME").unwrap_or_else(|| "/root".to_owned())));
        let path = format!("{directory}/config.json");
        let (content, warning) = match console.read_file(&path).await {
            Ok(bytes) => match serde_json::from_slice(&bytes) {
                Ok(content) => (content, None),
                Err(error) => (json!({}), Some(format!("WARNING: Error parsing config file ({path}): {error}"))),
            },
            Err(error) if error.is_missing() => (json!({}), None),
            Err(error) => (json!({}), Some(format!("WARNING: Error loading config file: {error}"))),
        };
        (Self { directory, content }, warning)
    }

    /// The file's path.
    pub(crate) fn path(&self) -> String {
        format!("{}/config.json", self.directory)
    }

    /// A text setting; empty when it is not set.
    pub(crate) fn text(&self, key: &str) -> &str {
        self.content.get(key).and_then(Value::as_str).unwrap_or_default()
    }

    /// An object; nothing when it is not set.
    pub(crate) fn map(&self, key: &str) -> Option<&Map<String, Value>> {
        self.content.get(key).and_then(Value::as_object)
    }

    /// An array's texts.
    pub(crate) fn texts(&self, key: &str) -> Vec<String> {
        let items = self.content.get(key).and_then(Value::as_array).map_or(&[][..], Vec::as_slice);
        items.iter().filter_map(Value::as_str).map(ToOwned::to_owned).collect()
    }

    /// Changes the content, and writes the file.
    pub(crate) async fn change(
        &mut self,
        console: &dyn Console,
        change: impl FnOnce(&mut Map<String, Value>) + Send,
    ) -> CliResult<()> {
        if !self.content.is_object() {
            self.content = json!({});
        }
        if let Some(map) = self.content.as_object_mut() {
            change(map);
        }
        console.create_directory(&self.directory, 0o700).await?;
        let mut bytes = Vec::new();
        let formatter = serde_json::ser::PrettyFormatter::with_indent(b"\t");
        serde::Serialize::serialize(&self.content, &mut serde_json::Serializer::with_formatter(&mut bytes, formatter))?;
        console.write_file(&self.path(), &bytes, 0o600).await.map_err(CliError::from)
    }
}
