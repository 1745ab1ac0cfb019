//! Builds the stand-ins: layers are kept under what they are made of, so a second time costs nothing.

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
};

use anyhow::{Context as _, Result, bail};
use serde_json::json;
use sha2::{Digest as _, Sha256};

use super::{
    archive::{self, StoredImage, StoredLayer},
    layer::Layer,
    packages,
    recipes::{LayerRecipe, RECIPES, Recipe, WITHOUT},
};

/// Part of every layer's key: raised when the code that makes them changes what they hold.
const REVISION: u32 = 1;

/// Builds a seed of stand-ins and returns where it lies.
pub(super) fn build(names: &[String], output: Option<&Path>, cache: &Path) -> Result<PathBuf> {
    let recipes = select(names)?;
    fs::create_dir_all(cache).with_context(|| format!("creating {}", cache.display()))?;
    let mut images = Vec::new();
    for recipe in recipes {
        images.push(image(recipe, cache).with_context(|| format!("building the stand-in for {}", recipe.name))?);
    }
    let seed = output.map_or_else(|| cache.join("stand-in.tar"), Path::to_owned);
    archive::write(&images, &seed)?;
    Ok(seed)
}

fn select(names: &[String]) -> Result<Vec<&'static Recipe>> {
    if names.is_empty() {
        return Ok(RECIPES.iter().collect());
    }
    let mut chosen = Vec::new();
    for name in names {
        let Some(recipe) = RECIPES.iter().find(|recipe| recipe.name == name) else {
            let known: Vec<&str> = RECIPES.iter().map(|recipe| recipe.name).collect();
            bail!("there is no stand-in for `{name}`; there are {}", known.join(", "));
        };
        chosen.push(recipe);
    }
    Ok(chosen)
}

struct BuiltLayer {
    stored: StoredLayer,
    /// Seconds since 1970.
    created: u64,
}

fn image(recipe: &Recipe, cache: &Path) -> Result<StoredImage> {
    let mut below = BTreeSet::new();
    let mut layers = Vec::new();
    for layer in recipe.layers {
        layers.push(self::layer(layer, &mut below, cache)?);
    }
    let config = config(recipe, &layers)?;
    Ok(StoredImage {
        tags: recipe.tags.iter().map(|tag| format!("{}:{tag}", recipe.name)).collect(),
        config,
        layers: layers.into_iter().map(|layer| layer.stored).collect(),
    })
}

/// One layer, out of the cache if it is there. `below` are the packages of the layers beneath.
fn layer(recipe: &LayerRecipe, below: &mut BTreeSet<packages::Package>, cache: &Path) -> Result<BuiltLayer> {
    let closure = packages::closure(recipe.packages, &WITHOUT)?;
    let fresh: Vec<packages::Package> = closure.into_iter().filter(|package| !below.contains(package)).collect();
    below.extend(fresh.iter().cloned());
    let key = key(recipe, &fresh);
    let directory = cache.join("layers");
    fs::create_dir_all(&directory).with_context(|| format!("creating {}", directory.display()))?;
    let record = directory.join(format!("{key}.key"));
    if let Some(built) = recall(&record, &directory) {
        return Ok(built);
    }
    eprintln!("  {} ({} packages)", recipe.created_by, fresh.len());
    let mut tree = Layer::default();
    packages::unpack(&fresh, &cache.join("packages"), &mut tree)?;
    (recipe.finish)(&mut tree, cache)?;
    let mut tar = Vec::new();
    tree.write(&mut tar)?;
    let digest = archive::digest(&tar);
    let path = directory.join(format!("{digest}.tar"));
    fs::write(&path, &tar).with_context(|| format!("writing {}", path.display()))?;
    let created = tree.newest();
    fs::write(&record, format!("{digest} {created}")).with_context(|| format!("writing {}", record.display()))?;
    Ok(BuiltLayer { stored: StoredLayer { digest, size: tar.len() as u64, path }, created })
}

fn key(recipe: &LayerRecipe, packages: &[packages::Package]) -> String {
    let mut hash = Sha256::new();
    hash.update(format!("{REVISION} {}\n", recipe.created_by));
    for package in packages {
        hash.update(format!("{}\n", package.exact()));
    }
    hex::encode(hash.finalize())
}

fn recall(record: &Path, directory: &Path) -> Option<BuiltLayer> {
    let text = fs::read_to_string(record).ok()?;
    let (digest, created) = text.split_once(' ')?;
    let path = directory.join(format!("{digest}.tar"));
    let size = fs::metadata(&path).ok()?.len();
    Some(BuiltLayer { stored: StoredLayer { digest: digest.to_owned(), size, path }, created: created.parse().ok()? })
}

fn config(recipe: &Recipe, layers: &[BuiltLayer]) -> Result<Vec<u8>> {
    let date = |seconds: u64| -> Result<String> {
        let seconds = i64::try_from(seconds).context("a file's date is out of range")?;
        Ok(jiff::Timestamp::from_second(seconds).context("a file's date is out of range")?.to_string())
    };
    let newest = layers.iter().map(|layer| layer.created).max().unwrap_or_default();
    let mut history = Vec::new();
    for (layer, recipe) in layers.iter().zip(recipe.layers) {
        history.push(json!({ "created": date(layer.created)?, "created_by": recipe.created_by }));
    }
    let created = date(newest)?;
    let mut note = |instruction: String| {
        history.push(json!({ "created": created, "created_by": format!("/bin/sh -c #(nop)  {instruction}"), "empty_layer": true }));
    };
    let mut settings = json!({
        "Env": recipe.environment,
        "Cmd": recipe.command,
        "WorkingDir": "",
        "Labels": { "org.docklab.stand-in": "true" },
    });
    if !recipe.entrypoint.is_empty() {
        settings["Entrypoint"] = json!(recipe.entrypoint);
        note(format!("ENTRYPOINT {}", json!(recipe.entrypoint)));
    }
    if let Some(port) = recipe.port {
        settings["ExposedPorts"] = json!({ port: {} });
        note(format!("EXPOSE {}", port.trim_end_matches("/tcp")));
    }
    if let Some(signal) = recipe.stop_signal {
        settings["StopSignal"] = json!(signal);
        note(format!("STOPSIGNAL {signal}"));
    }
    if !recipe.volumes.is_empty() {
        settings["Volumes"] = recipe.volumes.iter().map(|volume| ((*volume).to_owned(), json!({}))).collect();
    }
    note(format!("CMD {}", json!(recipe.command)));
    let architecture = match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        other => other,
    };
    let diff_ids: Vec<String> = layers.iter().map(|layer| format!("sha256:{}", layer.stored.digest)).collect();
    Ok(serde_json::to_vec(&json!({
        "architecture": architecture,
        "config": settings,
        "created": created,
        "history": history,
        "os": "linux",
        "rootfs": { "type": "layers", "diff_ids": diff_ids },
    }))?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_unknown_name_is_answered_with_the_known_ones() {
        let error = select(&["postgres".to_owned()]).map(|_| ()).expect_err("there is no such recipe");
        assert!(error.to_string().contains("nginx"), "{error}");
    }

    #[test]
    fn a_key_changes_with_a_version() {
        let package = |version: &str| packages::Package { name: "bash".to_owned(), version: version.to_owned() };
        let recipe = RECIPES[0].layers[0];
        assert_ne!(key(recipe, &[package("1")]), key(recipe, &[package("2")]));
    }
}
