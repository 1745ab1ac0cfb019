//! From a description to an image as a registry holds it: layer tars, configuration, manifest.

use std::collections::BTreeMap;

use bytes::Bytes;
use docklab_host::HostResult;
use jiff::Timestamp;
use serde_json::{Map, Value, json};

use super::{Description, description::LayerDescription};
use crate::{
    fs::{Entry, Tree, digest, gzip, write_tar},
    process::program_file,
};

/// An image with its blobs.
#[derive(Debug, Clone)]
pub(crate) struct BuiltImage {
    pub(crate) config: Bytes,
    pub(crate) manifest: Bytes,
    pub(crate) layers: Vec<BuiltLayer>,
    history: Vec<Value>,
}

#[derive(Debug, Clone)]
pub(crate) struct BuiltLayer {
    pub(crate) tar: Bytes,
    pub(crate) blob: Bytes,
    diff_id: String,
}

fn substitute(text: &str, variables: &BTreeMap<String, String>) -> String {
    variables.iter().fold(text.to_owned(), |text, (name, value)| text.replace(&format!("{{{name}}}"), value))
}

fn layer_tar(layer: &LayerDescription, variables: &BTreeMap<String, String>, mtime: i64) -> HostResult<Vec<u8>> {
    let mut tree = Tree::default();
    let inner = |path: &str| substitute(path, variables).trim_matches('/').to_owned();
    for directory in &layer.directories {
        let mut entry = Entry::directory(mtime);
        let path = inner(directory);
        if path == "tmp" || path == "var/tmp" {
            entry.mode = 0o1777;
        } else if path == "root" {
            entry.mode = 0o700;
        }
        tree.put_with_parents(&path, entry);
    }
    for (path, content) in &layer.files {
        let content = substitute(content, variables);
        let mode = if content.starts_with("#!") { 0o755 } else { 0o644 };
        tree.put_with_parents(&inner(path), Entry::file(content, mode, mtime));
    }
    for (path, program) in &layer.programs {
        tree.put_with_parents(&inner(path), Entry::file(program_file(&substitute(program, variables)), 0o755, mtime));
    }
    for (directory, names) in &layer.tools {
        for name in names.split_whitespace() {
            let entry = Entry::file(program_file(name), 0o755, mtime);
            tree.put_with_parents(&format!("{}/{name}", inner(directory)), entry);
        }
    }
    for (path, target) in &layer.links {
        tree.put_with_parents(&inner(path), Entry::symlink(&substitute(target, variables), mtime));
    }
    let paths = tree.beneath_paths("");
    write_tar(paths.into_iter().map(|path| {
        let entry = tree.get(&path);
        (path, entry)
    }))
}

impl BuiltImage {
    /// Builds one tag on top of its base.
    pub(crate) fn build(description: &Description, tag: &str, base: Option<&Self>) -> HostResult<Self> {
        let none = BTreeMap::new();
        let variables = description.tags.get(tag).unwrap_or(&none);
        let text = |text: &String| substitute(text, variables);
        let created = &description.created;
        let mtime = created.parse::<Timestamp>().map_or(0, Timestamp::as_second);
        let mut layers = base.map(|base| base.layers.clone()).unwrap_or_default();
        let mut history = base.map(|base| base.history.clone()).unwrap_or_default();
        for layer in &description.layers {
            let tar = layer_tar(layer, variables, mtime)?;
            layers.push(BuiltLayer { diff_id: digest(&tar), blob: gzip(&tar)?.into(), tar: tar.into() });
            history.push(json!({"created": created, "created_by": text(&layer.created_by)}));
        }
        let mut config = Map::new();
        config.insert("Env".into(), description.env.iter().map(text).collect());
        let mut metadata = |instruction: String| {
            history.push(json!({"created": created, "created_by": instruction, "empty_layer": true}));
        };
        let quoted = |words: &[String]| serde_json::to_string(words).unwrap_or_default().replace("\",\"", "\" \"");
        for line in &description.env {
            metadata(format!("ENV {}", text(line)));
        }
        if !description.workdir.is_empty() {
            config.insert("WorkingDir".into(), description.workdir.clone().into());
            metadata(format!("WORKDIR {}", description.workdir));
        }
        if !description.user.is_empty() {
            config.insert("User".into(), description.user.clone().into());
            metadata(format!("USER {}", description.user));
        }
        for (key, instruction, values) in
            [("ExposedPorts", "EXPOSE", &description.expose), ("Volumes", "VOLUME", &description.volumes)]
        {
            if !values.is_empty() {
                config.insert(key.into(), values.iter().map(|value| (value.clone(), json!({}))).collect());
                metadata(format!("{instruction} {}", values.join(" ")));
            }
        }
        if !description.entrypoint.is_empty() {
            config.insert("Entrypoint".into(), description.entrypoint.iter().map(text).collect());
            metadata(format!("ENTRYPOINT {}", quoted(&description.entrypoint)));
        }
        if let Some(signal) = &description.stop_signal {
            config.insert("StopSignal".into(), signal.clone().into());
            metadata(format!("STOPSIGNAL {signal}"));
        }
        if !description.cmd.is_empty() {
            config.insert("Cmd".into(), description.cmd.iter().map(text).collect());
            metadata(format!("CMD {}", quoted(&description.cmd)));
        }
        let diff_ids: Vec<&str> = layers.iter().map(|layer| layer.diff_id.as_str()).collect();
        let configuration = json!({
            "architecture": "amd64",
            "config": config,
            "created": created,
            "history": history,
            "os": "linux",
            "rootfs": {"diff_ids": diff_ids, "type": "layers"},
        });
        let configuration = Bytes::from(configuration.to_string());
        let manifest = json!({
            "schemaVersion": 2,
            "mediaType": "application/vnd.docker.distribution.manifest.v2+json",
            "config": {
                "mediaType": "application/vnd.docker.container.image.v1+json",
                "size": configuration.len(),
                "digest": digest(&configuration),
            },
            "layers": layers.iter().map(|layer| json!({
                "mediaType": "application/vnd.docker.image.rootfs.diff.tar.gzip",
                "size": layer.blob.len(),
                "digest": digest(&layer.blob),
            })).collect::<Vec<_>>(),
        });
        Ok(Self { config: configuration, manifest: manifest.to_string().into(), layers, history })
    }
}
