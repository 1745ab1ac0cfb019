use std::{
    collections::HashMap,
    sync::{Arc, Mutex},
};

use docklab_host::{HostError, HostResult};

use super::{BuiltImage, Description, ProgramDescription};
use crate::world::lock;

const BUILT_IN: &[&str] = &[
    include_str!("../../images/debian.toml"),
    include_str!("../../images/ubuntu.toml"),
    include_str!("../../images/alpine.toml"),
    include_str!("../../images/busybox.toml"),
    include_str!("../../images/nginx.toml"),
    include_str!("../../images/nginx-alpine.toml"),
    include_str!("../../images/python.toml"),
    include_str!("../../images/python-alpine.toml"),
    include_str!("../../images/mongo.toml"),
    include_str!("../../images/hello-world.toml"),
    include_str!("../../images/registry.toml"),
    include_str!("../../images/node.toml"),
];

/// Every description the world knows, and the images built of them so far.
pub(crate) struct Catalogue {
    descriptions: Mutex<Vec<Arc<Description>>>,
    built: Mutex<HashMap<String, Arc<BuiltImage>>>,
}

impl Catalogue {
    pub(crate) fn built_in() -> Self {
        // A built-in description that does not parse is missing here, and a test says so.
        let descriptions = BUILT_IN.iter().filter_map(|text| Description::parse(text).ok()).map(Arc::new).collect();
        Self { descriptions: Mutex::new(descriptions), built: Mutex::default() }
    }
    /// Later descriptions win over earlier ones of the same repository and tag.
    pub(crate) fn add(&self, description: Description) {
        lock(&self.descriptions).insert(0, Arc::new(description));
        lock(&self.built).clear();
    }
    fn find(&self, repository: &str, tag: &str) -> Option<Arc<Description>> {
        lock(&self.descriptions)
            .iter()
            .find(|description| description.repository() == repository && description.tags.contains_key(tag))
            .cloned()
    }
    /// Tags of a repository.
    pub(crate) fn tags(&self, repository: &str) -> Vec<String> {
        let mut tags: Vec<String> = lock(&self.descriptions)
            .iter()
            .filter(|description| description.repository() == repository)
            .flat_map(|description| description.tags.keys().cloned())
            .collect();
        tags.sort();
        tags.dedup();
        tags
    }
    pub(crate) fn program(&self, name: &str) -> Option<ProgramDescription> {
        lock(&self.descriptions).iter().flat_map(|d| d.programs.iter()).find(|program| program.name == name).cloned()
    }
    /// The image of `library/nginx`, `1.13`.
    pub(crate) fn image(&self, repository: &str, tag: &str) -> HostResult<Arc<BuiltImage>> {
        let key = format!("{repository}:{tag}");
        if let Some(built) = lock(&self.built).get(&key) {
            return Ok(built.clone());
        }
        let description = self.find(repository, tag).ok_or_else(|| HostError::not_found("image", &key))?;
        let base = match &description.base {
            None => None,
            Some(base) => {
                let (name, tag) = base.split_once(':').unwrap_or((base, "latest"));
                let name = if name.contains('/') { name.to_owned() } else { format!("library/{name}") };
                if format!("{name}:{tag}") == key {
                    return Err(HostError::Other(format!("image description {key} stands on itself")));
                }
                Some(self.image(&name, tag)?)
            }
        };
        let built = Arc::new(BuiltImage::build(&description, tag, base.as_deref())?);
        lock(&self.built).insert(key, built.clone());
        Ok(built)
    }
}
