//! What is the lab's on an engine. On a student's own Docker, nothing else is ever touched.

use std::collections::BTreeSet;

use anyhow::Result;
use docklab_api::{
    ApiResult, ContainerApi as _, Filters, ImageApi as _, ListContainers, ListImages, NetworkApi as _, Reference,
    RemoveContainer, RemoveImage, VolumeApi as _,
};
use docklab_daemon::client::HttpClient;
use docklab_scenario::Belongings;

/// Objects of an engine, by ID; volumes and tags by name.
#[derive(Debug, Default)]
pub(super) struct Objects {
    pub(super) containers: Vec<Named>,
    pub(super) networks: Vec<Named>,
    pub(super) volumes: Vec<Named>,
    pub(super) tags: Vec<Named>,
}

#[derive(Debug, Clone)]
pub(super) struct Named {
    pub(super) id: String,
    pub(super) name: String,
    /// Of a container.
    image: String,
}

impl Objects {
    pub(super) async fn of(engine: &HttpClient) -> ApiResult<Self> {
        let mut objects = Self::default();
        let all = ListContainers { all: true, ..ListContainers::default() };
        for container in engine.list_containers(all).await? {
            let name = container.names.unwrap_or_default().first().map(|name| name.trim_start_matches('/').to_owned());
            objects.containers.push(Named {
                id: container.id.unwrap_or_default(),
                name: name.unwrap_or_default(),
                image: container.image.unwrap_or_default(),
            });
        }
        for network in engine.list_networks(Filters::new()).await? {
            objects.networks.push(Named::new(network.id.unwrap_or_default(), network.name.unwrap_or_default()));
        }
        for volume in engine.list_volumes(Filters::new()).await?.volumes.unwrap_or_default() {
            objects.volumes.push(Named::new(volume.name.clone(), volume.name));
        }
        for image in engine.list_images(ListImages::default()).await? {
            let tags = image.repo_tags.into_iter().filter(|tag| tag != "<none>:<none>");
            objects.tags.extend(tags.map(|tag| Named::new(tag.clone(), tag)));
        }
        Ok(objects)
    }

    pub(super) fn ids(&self) -> Vec<String> {
        let all = [&self.containers, &self.networks, &self.volumes, &self.tags];
        all.into_iter().flatten().map(|object| object.id.clone()).collect()
    }

    /// Those that came after `held` was taken and that the lab's commands create.
    pub(super) fn of_lab(self, lab: &Belongings, held: &[String]) -> Self {
        let held: BTreeSet<&str> = held.iter().map(String::as_str).collect();
        let is_new = |object: &Named| !held.contains(object.id.as_str());
        let is_named = |object: &Named| is_new(object) && lab.names.contains(&object.name);
        let made_from = |image: &str| {
            let same = |known: &String| is_of_repository(image, known);
            lab.images.iter().any(same) || lab.built.iter().any(same)
        };
        Self {
            containers: kept(self.containers, |container| {
                is_named(container) || (is_new(container) && made_from(&container.image))
            }),
            networks: kept(self.networks, is_named),
            volumes: kept(self.volumes, is_named),
            tags: kept(self.tags, |tag| {
                is_new(tag) && lab.built.iter().any(|built| is_of_repository(&tag.name, built))
            }),
        }
    }

    /// Those that were there before under a name that the lab will want.
    pub(super) fn in_the_way(&self, lab: &Belongings) -> Vec<String> {
        let all = [("container", &self.containers), ("network", &self.networks), ("volume", &self.volumes)];
        let named = all.into_iter().flat_map(|(kind, objects)| objects.iter().map(move |object| (kind, object)));
        named
            .filter(|(_, object)| lab.names.contains(&object.name))
            .map(|(kind, object)| format!("{kind} `{}`", object.name))
            .collect()
    }

    /// Removes them all; goes on after an error and reports the first.
    pub(super) async fn remove(&self, engine: &HttpClient) -> Result<()> {
        let mut first_error = None;
        let mut note = |outcome: ApiResult<()>| {
            if let Err(error) = outcome
                && !error.is_not_found()
            {
                first_error.get_or_insert(error);
            }
        };
        let options = RemoveContainer { force: true, volumes: true, link: false };
        for container in &self.containers {
            note(engine.remove_container(&container.id, options).await);
        }
        for network in &self.networks {
            note(engine.remove_network(&network.id).await);
        }
        for volume in &self.volumes {
            note(engine.remove_volume(&volume.name, true).await);
        }
        for tag in &self.tags {
            note(engine.remove_image(&tag.name, RemoveImage::default()).await.map(|_| ()));
        }
        first_error.map_or(Ok(()), |error| Err(error.into()))
    }
}

impl Named {
    fn new(id: String, name: String) -> Self {
        Self { id, name, image: String::new() }
    }
}

fn kept(mut objects: Vec<Named>, keep: impl Fn(&Named) -> bool) -> Vec<Named> {
    objects.retain(|object| keep(object));
    objects
}

/// Without a tag in `wanted`, every tag of the repository.
fn is_of_repository(image: &str, wanted: &str) -> bool {
    let (Ok(image), Ok(wanted)) = (Reference::parse(image), Reference::parse(wanted)) else { return image == wanted };
    let is_any_tag = wanted.familiar() == wanted.familiar_name();
    image.name() == wanted.name()
        && (is_any_tag || image.with_default_tag().familiar() == wanted.with_default_tag().familiar())
}

#[cfg(test)]
mod tests {
    use docklab_scenario::parse;

    use super::{Named, Objects};

    fn container(id: &str, name: &str, image: &str) -> Named {
        Named { id: id.to_owned(), name: name.to_owned(), image: image.to_owned() }
    }

    #[test]
    fn only_what_is_new_and_the_labs_is_the_labs() {
        let text = "+++\nid = \"a\"\ntitle = \"A\"\nimages = [\"nginx:1.13\"]\n+++\n\n## S\n\n```sh run\ndocker network create shop\ndocker run --name web nginx:1.13\ndocker run ubuntu\ndocker build -t mine .\n```\n";
        let lab = parse("a.md", text).scenario.belongings();
        let objects = || Objects {
            containers: vec![
                container("1", "web", "redis"),
                container("2", "other", "nginx:1.13"),
                container("3", "db", "nginx:1.14"),
                container("4", "calm_bell", "ubuntu:latest"),
                container("5", "x", "mine"),
            ],
            networks: vec![Named::new("6".into(), "shop".into()), Named::new("7".into(), "bridge".into())],
            volumes: vec![Named::new("data".into(), "data".into())],
            tags: vec![
                Named::new("mine:v2".into(), "mine:v2".into()),
                Named::new("nginx:1.13".into(), "nginx:1.13".into()),
            ],
        };
        let ids = |held: &[&str]| {
            let held: Vec<String> = held.iter().map(|id| (*id).to_owned()).collect();
            objects().of_lab(&lab, &held).ids()
        };
        assert_eq!(ids(&[]), ["1", "2", "4", "5", "6", "mine:v2"]);
        assert_eq!(ids(&["1", "6", "mine:v2"]), ["2", "4", "5"]);
        assert_eq!(objects().in_the_way(&lab), ["container `web`", "network `shop`"]);
    }
}
