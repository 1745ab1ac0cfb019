//! Untagging, removing and pruning, with Docker's conflicts (moby `daemon/images/image_delete.go`).

use docklab_api::{ApiError, ApiResult, Filters, Reference, RemoveImage, models};

use super::{query, store::Image};
use crate::{Engine, ObjectKind, short_id};

#[derive(Clone, Copy, PartialEq)]
enum Soft {
    /// References and stopped containers stand in the way.
    All,
    /// Only stopped containers do: the references are removed as well.
    Stopped,
    /// Forced.
    None,
}

struct Conflict {
    hard: bool,
    used: bool,
    message: String,
}

type Deleted = Vec<models::ImageDeleteResponseItem>;

fn untagged(reference: &Reference) -> models::ImageDeleteResponseItem {
    models::ImageDeleteResponseItem { untagged: Some(reference.familiar()), deleted: None }
}

fn deleted(id: &str) -> models::ImageDeleteResponseItem {
    models::ImageDeleteResponseItem { untagged: None, deleted: Some(id.to_owned()) }
}

impl Engine {
    pub(super) async fn remove_local_image(&self, name: &str, options: RemoveImage) -> ApiResult<Deleted> {
        let _changing = self.images.changing.lock().await;
        self.remove_locked(name, options).await
    }

    async fn remove_locked(&self, name: &str, options: RemoveImage) -> ApiResult<Deleted> {
        let (image, reference) = self.images.find(name)?;
        let references = self.images.references(&image.id);
        let mut records = Vec::new();
        let mut removed_reference = false;
        if let Some(mut reference) = reference {
            if reference.digest.is_some() {
                reference.tag = None;
            }
            if !options.force
                && is_single(&references)
                && let Some(user) = self.image_users().into_iter().find(|user| user.image == image.id)
            {
                return Err(ApiError::conflict(format!(
                    "conflict: unable to remove repository reference \"{name}\" (must force) - container {} is using \
                     its referenced image {}",
                    short_id(&user.container),
                    short_id(&image.id)
                )));
            }
            self.untag_image(&image, &reference, &mut records).await?;
            let mut left = self.images.references(&image.id);
            let same = |other: &Reference| other.name() == reference.name();
            if reference.digest.is_none() && !left.iter().any(|other| other.digest.is_none() && same(other)) {
                for other in left.iter().filter(|other| same(other)) {
                    self.images.remove_reference(&*self.host, other).await?;
                    records.push(untagged(other));
                }
                left.retain(|other| !same(other));
            }
            if !left.is_empty() {
                return Ok(records);
            }
            removed_reference = true;
        } else if is_single(&references) {
            let soft = if options.force { Soft::None } else { Soft::Stopped };
            if let Some(conflict) = self.removal_conflict(&image, soft) {
                return Err(conflict_error(&image, &conflict));
            }
            for reference in &references {
                self.untag_image(&image, reference, &mut records).await?;
            }
        }
        self.delete_image(&image.id, options, removed_reference, &mut records).await?;
        Ok(records)
    }

    async fn untag_image(&self, image: &Image, reference: &Reference, records: &mut Deleted) -> ApiResult<()> {
        self.images.remove_reference(&*self.host, reference).await?;
        self.image_event("untag", &image.id, &image.id);
        records.push(untagged(reference));
        Ok(())
    }

    /// Deletes an image, its unused layers, and every parent that nothing needs any more.
    async fn delete_image(&self, id: &str, options: RemoveImage, quiet: bool, records: &mut Deleted) -> ApiResult<()> {
        let (mut force, mut quiet) = (options.force, quiet);
        let mut next = Some(id.to_owned());
        while let Some(image) = next.take().and_then(|id| self.images.get(&id)) {
            let soft = if force { Soft::None } else { Soft::All };
            if let Some(conflict) = self.removal_conflict(&image, soft) {
                let dangling =
                    self.images.references(&image.id).is_empty() && self.images.children(&image.id).is_empty();
                if quiet && (!dangling || conflict.used) {
                    return Ok(());
                }
                return Err(conflict_error(&image, &conflict));
            }
            for reference in self.images.references(&image.id) {
                self.images.remove_reference(&*self.host, &reference).await?;
                records.push(untagged(&reference));
            }
            let attributes = self.image_attributes(&image.id, &image.id);
            let in_use = self.image_users().iter().any(|user| user.image == image.id);
            self.images.remove(&*self.host, &image.id).await?;
            self.events.emit(ObjectKind::IMAGE, "delete", image.id.clone(), attributes);
            records.push(deleted(&image.id));
            if in_use {
                self.orphan_layers(&image).await?;
            } else {
                for chain in self.remove_unused_layers(&image.chains).await? {
                    records.push(deleted(&chain));
                }
            }
            if options.noprune {
                return Ok(());
            }
            next = image.parent.clone();
            (force, quiet) = (false, true);
        }
        Ok(())
    }

    fn removal_conflict(&self, image: &Image, soft: Soft) -> Option<Conflict> {
        if !self.images.children(&image.id).is_empty() {
            let message = "image has dependent child images".to_owned();
            return Some(Conflict { hard: true, used: false, message });
        }
        let users = self.image_users();
        let user = |running| users.iter().find(|user| user.image == image.id && user.running == running);
        if let Some(user) = user(true) {
            let message = format!("image is being used by running container {}", short_id(&user.container));
            return Some(Conflict { hard: true, used: true, message });
        }
        if soft == Soft::All && !self.images.references(&image.id).is_empty() {
            let message = "image is referenced in multiple repositories".to_owned();
            return Some(Conflict { hard: false, used: false, message });
        }
        let stopped = user(false).filter(|_| soft != Soft::None)?;
        let message = format!("image is being used by stopped container {}", short_id(&stopped.container));
        Some(Conflict { hard: false, used: true, message })
    }

    pub(super) async fn prune_local_images(&self, filters: &Filters) -> ApiResult<models::ImagePruneResponse> {
        filters.accept(&["dangling", "label", "label!", "until"])?;
        let dangling_only = match filters.get("dangling") {
            [] => true,
            values => query::boolean("dangling", &values[0])?,
        };
        let until = self.until_filter(filters)?;
        let Ok(_pruning) = self.images.pruning.try_lock() else {
            return Err(ApiError::conflict("a prune operation is already running"));
        };
        let _changing = self.images.changing.lock().await;
        let mut images_deleted = Vec::new();
        let mut reclaimed = 0;
        for image in self.images.all() {
            let references = self.images.references(&image.id);
            let tagged = references.iter().any(|reference| reference.digest.is_none());
            if !self.images.children(&image.id).is_empty() && (references.is_empty() || dangling_only)
                || dangling_only && tagged
                || until.is_some_and(|limit| super::seconds(image.file.created.as_deref()) > limit)
                || !query::labels_match(&image, filters)
                || self.images.get(&image.id).is_none()
                || query::used(self).contains(&image.id)
            {
                continue;
            }
            let line = self.images.ancestors(&image.id);
            let layers: Vec<(String, u64)> = line
                .iter()
                .filter_map(|id| self.images.get(id))
                .flat_map(|image| image.chains.iter().cloned().zip(image.sizes.clone()).collect::<Vec<_>>())
                .collect();
            let names: Vec<String> = if references.is_empty() {
                vec![image.id.clone()]
            } else {
                references.iter().map(ToString::to_string).collect()
            };
            for name in names {
                // An image that cannot go is no failure of the others; Docker leaves it out as well.
                let Ok(gone) = self.remove_locked(&name, RemoveImage::default()).await else { continue };
                for item in &gone {
                    let size = layers.iter().find(|(chain, _)| Some(chain) == item.deleted.as_ref());
                    reclaimed += size.map_or(0, |(_, size)| *size);
                }
                images_deleted.extend(gone);
            }
        }
        self.events.emit(ObjectKind::IMAGE, "prune", "", [("reclaimed", reclaimed.to_string())]);
        Ok(models::ImagePruneResponse {
            images_deleted: Some(images_deleted).filter(|list| !list.is_empty()),
            space_reclaimed: Some(query::number(reclaimed)),
        })
    }
}

fn conflict_error(image: &Image, conflict: &Conflict) -> ApiError {
    let how = if conflict.hard { "cannot be forced" } else { "must be forced" };
    ApiError::conflict(format!("conflict: unable to delete {} ({how}) - {}", short_id(&image.id), conflict.message))
}

/// True when all references are of one repository and at most one is a tag.
fn is_single(references: &[Reference]) -> bool {
    let tags: Vec<_> = references.iter().filter(|reference| reference.digest.is_none()).collect();
    match (references, tags.as_slice()) {
        ([], _) => false,
        ([_], _) => true,
        (_, [] | [_]) => references.iter().all(|reference| reference.name() == references[0].name()),
        _ => false,
    }
}
