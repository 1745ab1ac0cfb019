//! `docker image ls`, `inspect` and `history`.

use std::collections::{HashMap, HashSet};

use docklab_api::{ApiError, ApiResult, Filters, ListImages, Reference, models};

use super::{seconds, store::Image};
use crate::Engine;

impl Engine {
    pub(super) fn list_local_images(&self, options: &ListImages) -> ApiResult<Vec<models::ImageSummary>> {
        let filters = &options.filters;
        filters.accept(&["dangling", "label", "label!", "before", "since", "reference", "until"])?;
        let dangling = match filters.get("dangling") {
            [] => None,
            values => Some(boolean("dangling", &values[0])?),
        };
        let created_of = |key: &str| -> ApiResult<Option<i64>> {
            filters
                .get(key)
                .first()
                .map(|name| Ok(seconds(self.images.find(name)?.0.file.created.as_deref())))
                .transpose()
        };
        let (before, since) = (created_of("before")?, created_of("since")?);
        let until = self.until_filter(filters)?;
        let containers = self.image_users();
        let mut summaries = Vec::new();
        for image in self.images.all() {
            let created = seconds(image.file.created.as_deref());
            if before.is_some_and(|limit| created >= limit)
                || since.is_some_and(|limit| created <= limit)
                || until.is_some_and(|limit| created > limit)
                || !labels_match(&image, filters)
            {
                continue;
            }
            let has_children = !self.images.children(&image.id).is_empty();
            if dangling == Some(true) && has_children {
                continue;
            }
            let patterns = filters.get("reference");
            let references = self.images.references(&image.id);
            let shown: Vec<&Reference> = references
                .iter()
                .filter(|reference| patterns.is_empty() || patterns.iter().any(|pattern| matches(pattern, reference)))
                .collect();
            let tags: Vec<String> =
                shown.iter().filter(|reference| reference.digest.is_none()).map(|r| r.familiar()).collect();
            let digests: Vec<String> =
                shown.iter().filter(|reference| reference.digest.is_some()).map(|r| r.familiar()).collect();
            if shown.is_empty() {
                if (has_children && !options.all) || dangling == Some(false) || !patterns.is_empty() {
                    continue;
                }
            } else if dangling == Some(true) && !tags.is_empty() {
                continue;
            }
            let shared = if options.shared_size { number(self.images.shared_size(&image)) } else { -1 };
            summaries.push(models::ImageSummary {
                id: image.id.clone(),
                parent_id: image.parent.clone().unwrap_or_default(),
                repo_tags: tags,
                repo_digests: digests,
                created,
                size: number(image.size()),
                shared_size: shared,
                virtual_size: None,
                labels: labels(&image),
                containers: if options.shared_size {
                    number(containers.iter().filter(|user| user.image == image.id).count() as u64)
                } else {
                    -1
                },
                manifests: None,
                descriptor: None,
            });
        }
        Ok(summaries)
    }

    /// Unix seconds of an `until` filter: a timestamp or a Go duration back from now.
    pub(super) fn until_filter(&self, filters: &Filters) -> ApiResult<Option<i64>> {
        let Some(text) = filters.get("until").first() else { return Ok(None) };
        if let Ok(time) = text.parse::<jiff::Timestamp>() {
            return Ok(Some(time.as_second()));
        }
        if let Ok(time) = text.parse::<i64>() {
            return Ok(Some(time));
        }
        match duration(text) {
            Some(length) => Ok(Some(self.host.now().as_second() - length)),
            None => Err(ApiError::invalid(format!("failed to parse value as time or duration: \"{text}\""))),
        }
    }

    pub(super) fn inspect_local_image(&self, name: &str) -> ApiResult<models::ImageInspect> {
        let (image, _) = self.images.find(name)?;
        let file = &image.file;
        let (tags, digests): (Vec<_>, Vec<_>) =
            self.images.references(&image.id).into_iter().partition(|reference| reference.digest.is_none());
        let comment = if file.comment.is_empty() {
            file.history.last().map(|entry| entry.comment.clone()).unwrap_or_default()
        } else {
            file.comment.clone()
        };
        let some = |text: &String| Some(text.clone()).filter(|text| !text.is_empty());
        Ok(models::ImageInspect {
            id: Some(image.id.clone()),
            descriptor: None,
            manifests: None,
            repo_tags: Some(tags.iter().map(Reference::familiar).collect()),
            repo_digests: Some(digests.iter().map(Reference::familiar).collect()),
            parent: Some(image.parent.clone().unwrap_or_default()),
            comment: Some(comment),
            created: file.created.clone(),
            docker_version: Some(file.docker_version.clone()),
            author: Some(file.author.clone()),
            config: file.config.as_ref().map(super::config::RunConfig::to_model).transpose()?,
            architecture: Some(file.architecture.clone()),
            variant: some(&file.variant),
            os: Some(file.os.clone()),
            os_version: some(&file.os_version),
            size: Some(number(image.size())),
            virtual_size: None,
            graph_driver: Some(models::DriverData { name: "overlay2".to_owned(), data: HashMap::new() }),
            root_fs: Some(models::ImageInspectRootFs {
                typ: "layers".to_owned(),
                layers: Some(file.rootfs.diff_ids.clone()).filter(|layers| !layers.is_empty()),
            }),
            metadata: Some(models::ImageInspectMetadata {
                last_tag_time: Some(
                    self.images.tagged_at(&image.id).unwrap_or_else(|| "0001-01-01T00:00:00Z".to_owned()),
                ),
            }),
        })
    }

    pub(super) fn history_of(&self, name: &str) -> ApiResult<Vec<models::HistoryResponseItem>> {
        let (image, _) = self.images.find(name)?;
        let mut sizes = image.sizes.iter();
        let mut items: Vec<_> = image
            .file
            .history
            .iter()
            .map(|entry| models::HistoryResponseItem {
                id: "<missing>".to_owned(),
                created: seconds(entry.created.as_deref()),
                created_by: entry.created_by.clone(),
                tags: Vec::new(),
                size: if entry.empty_layer { 0 } else { number(sizes.next().copied().unwrap_or(0)) },
                comment: entry.comment.clone(),
            })
            .collect();
        items.reverse();
        for (item, id) in items.iter_mut().zip(self.images.ancestors(&image.id)) {
            item.tags = self.images.tags(&id).iter().map(Reference::familiar).collect();
            item.id = id;
        }
        Ok(items)
    }
}

pub(super) fn labels(image: &Image) -> HashMap<String, String> {
    let labels = image.file.config.as_ref().and_then(|config| config.labels.clone());
    labels.unwrap_or_default().into_iter().collect()
}

/// `label` and `label!`.
pub(super) fn labels_match(image: &Image, filters: &Filters) -> bool {
    let labels = image.file.config.as_ref().and_then(|config| config.labels.as_ref());
    let lookup = |key: &str| labels.and_then(|labels| labels.get(key)).map(String::as_str);
    let unwanted = |filter: &String| match filter.split_once('=') {
        Some((key, value)) => lookup(key) == Some(value),
        None => lookup(filter).is_some(),
    };
    filters.labels(lookup) && !filters.get("label!").iter().any(unwanted)
}

pub(super) fn boolean(key: &str, value: &str) -> ApiResult<bool> {
    match value {
        "1" | "t" | "T" | "true" | "True" | "TRUE" => Ok(true),
        "0" | "f" | "F" | "false" | "False" | "FALSE" => Ok(false),
        other => Err(ApiError::invalid(format!("invalid filter '{key}=[{other}]'"))),
    }
}

pub(super) fn number(value: u64) -> i64 {
    i64::try_from(value).unwrap_or(i64::MAX)
}

/// A reference pattern matches the familiar name with or without its tag.
fn matches(pattern: &str, reference: &Reference) -> bool {
    crate::build::path_match(pattern, &reference.familiar())
        || crate::build::path_match(pattern, &reference.familiar_name())
}

/// Seconds of a Go duration: `24h`, `1h30m`, `10s`.
fn duration(text: &str) -> Option<i64> {
    let mut total = 0.0;
    let mut rest = text;
    while !rest.is_empty() {
        let digits = rest.find(|letter: char| !letter.is_ascii_digit() && letter != '.')?;
        let value: f64 = rest[..digits].parse().ok()?;
        let units = &rest[digits..];
        let end = units.find(|letter: char| letter.is_ascii_digit()).unwrap_or(units.len());
        total += value
            * match &units[..end] {
                "h" => 3600.0,
                "m" => 60.0,
                "s" => 1.0,
                "ms" => 0.001,
                _ => return None,
            };
        rest = &units[end..];
    }
    (!text.is_empty()).then_some(total as i64)
}

/// The set of images that containers were made from.
pub(super) fn used(engine: &Engine) -> HashSet<String> {
    engine.image_users().into_iter().map(|user| user.image).collect()
}
