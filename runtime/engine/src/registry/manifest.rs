//! Manifests, indexes and descriptors (OCI image specification; Docker's schema 2).

use bytes::Bytes;
use docklab_api::{ApiError, Reference};
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use super::{
    client::{Call, Client, MANIFEST_TYPES, header, text},
    platform::Platform,
    refusal::{Attempt, Trouble, refusal},
};
use crate::image::ImageFile;

#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Descriptor {
    #[serde(default)]
    pub(super) media_type: String,
    #[serde(default)]
    pub(super) size: u64,
    pub(super) digest: String,
    #[serde(default, skip_serializing)]
    pub(super) platform: Option<Platform>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Manifest {
    #[serde(default)]
    schema_version: u32,
    #[serde(default)]
    pub(super) config: Option<Descriptor>,
    #[serde(default)]
    pub(super) layers: Vec<Descriptor>,
    #[serde(default)]
    pub(super) manifests: Vec<Descriptor>,
}

pub(super) fn sha256(bytes: &[u8]) -> String {
    format!("sha256:{}", hex::encode(Sha256::digest(bytes)))
}

/// Twelve digits of a digest, as progress lines name layers.
pub(super) fn short(digest: &str) -> &str {
    let digits = digest.split_once(':').map_or(digest, |(_, digits)| digits);
    digits.get(..12).unwrap_or(digits)
}

/// The digest that a tag has in the registry. HEAD comes first: registries do not count it against a rate limit.
pub(super) async fn digest_of(client: &Client, reference: &Reference, tag: &str) -> Attempt<Option<String>> {
    let call = Call::new("HEAD", format!("manifests/{tag}")).header("Accept", MANIFEST_TYPES);
    let response = client.send(&call).await.map_err(|trouble| explained(trouble, reference))?;
    let digest = header(&response, "docker-content-digest").map(ToOwned::to_owned);
    Ok(digest.filter(|_| response.status == 200))
}

/// A manifest, checked, and the digest of its bytes.
pub(super) async fn fetch_manifest(
    client: &Client,
    reference: &Reference,
    wanted: &str,
) -> Attempt<(Manifest, String)> {
    let call = Call::new("GET", format!("manifests/{wanted}")).header("Accept", MANIFEST_TYPES);
    let response = client.send(&call).await?;
    if response.status != 200 {
        return Err(explained(refusal(response).await, reference));
    }
    let announced = header(&response, "docker-content-digest").map(ToOwned::to_owned);
    let bytes = text(response).await?;
    let digest = sha256(&bytes);
    let lies = |claimed: &str| claimed.starts_with("sha256:") && claimed != digest;
    if let Some(claimed) = [Some(wanted), announced.as_deref()].into_iter().flatten().find(|claimed| lies(claimed)) {
        return Err(ApiError::system(format!("manifest verification failed for digest {claimed}")).into());
    }
    let manifest: Manifest = serde_json::from_slice(&bytes)
        .map_err(|error| ApiError::system(format!("the registry's manifest could not be read: {error}")))?;
    if manifest.schema_version == 1 {
        let text = format!(
            "[DEPRECATION NOTICE] Docker Image Format v1 and Docker Image manifest version 2, schema 1 support has been \
             removed. Suggest the author of {} to upgrade the image to the OCI Format or Docker Image manifest v2, schema 2. \
             More information at https://docs.docker.com/go/deprecated-image-specs/",
            reference.familiar()
        );
        return Err(ApiError::invalid(text).into());
    }
    let descriptors = manifest.config.iter().chain(&manifest.layers).chain(&manifest.manifests);
    if let Some(bad) = descriptors.map(|descriptor| &descriptor.digest).find(|digest| !is_sha256(digest)) {
        // It becomes a part of paths and URLs.
        return Err(ApiError::system(format!("the registry's manifest names an invalid digest: {bad:?}")).into());
    }
    Ok((manifest, digest))
}

fn is_sha256(digest: &str) -> bool {
    digest
        .strip_prefix("sha256:")
        .is_some_and(|hex| hex.len() == 64 && hex.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f')))
}

/// A refusal of a pull, with what was pulled.
pub(super) fn explained(mut trouble: Trouble, reference: &Reference) -> Trouble {
    let subject = if trouble.is("UNAUTHORIZED") || trouble.is("DENIED") {
        format!(
            "pull access denied for {}, repository does not exist or may require 'docker login'",
            reference.familiar_name()
        )
    } else if trouble.is("MANIFEST_UNKNOWN") {
        format!("manifest for {} not found", reference.familiar())
    } else if trouble.is("NAME_UNKNOWN") {
        format!("repository {} not found", reference.familiar_name())
    } else {
        return trouble;
    };
    trouble.error = ApiError::not_found(format!("{subject}: {}", trouble.error.message));
    trouble
}

/// The manifest of one platform out of an index, or the manifest itself.
pub(super) async fn choose(
    client: &Client,
    reference: &Reference,
    manifest: Manifest,
    wanted: &Platform,
) -> Attempt<Manifest> {
    if manifest.config.is_some() {
        return Ok(manifest);
    }
    let mut fitting: Vec<&Descriptor> = manifest
        .manifests
        .iter()
        .filter(|descriptor| descriptor.platform.as_ref().is_some_and(|platform| wanted.takes(platform)))
        .collect();
    // The variant that was asked for stands before one that would also do.
    fitting.sort_by_key(|descriptor| descriptor.platform.as_ref().is_none_or(|found| found.variant != wanted.variant));
    let Some(found) = fitting.first() else {
        let text = format!(
            "no matching manifest for {wanted} in the manifest list entries: no match for platform in manifest: not found"
        );
        return Err(ApiError::not_found(text).into());
    };
    let (chosen, _) = fetch_manifest(client, reference, &found.digest).await?;
    if chosen.config.is_none() {
        return Err(ApiError::system("an index of the registry names another index where an image should be").into());
    }
    Ok(chosen)
}

/// An image's configuration, checked.
pub(super) async fn fetch_config(
    client: &Client,
    reference: &Reference,
    descriptor: &Descriptor,
) -> Attempt<(Bytes, ImageFile)> {
    let response = client.send(&Call::new("GET", format!("blobs/{}", descriptor.digest))).await?;
    if response.status != 200 {
        return Err(explained(refusal(response).await, reference));
    }
    let bytes = text(response).await?;
    if sha256(&bytes) != descriptor.digest {
        return Err(
            ApiError::system(format!("image config verification failed for digest {}", descriptor.digest)).into()
        );
    }
    let file = ImageFile::parse(&bytes)?;
    Ok((bytes, file))
}
