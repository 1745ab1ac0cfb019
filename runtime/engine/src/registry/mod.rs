//! The registry client.

mod client;
mod pull;
mod push;

use docklab_api::{
    ApiError, ApiResult, Reference,
    models::{self, DistributionInspect, OciDescriptor, OciPlatform},
};

use crate::Engine;
use client::{Call, Client, MANIFEST_TYPES, header, text};

/// Docker Hub's name in `config.json` and in login requests.
const HUB_INDEX: &str = "index.docker.io";

/// Checks credentials against their registry (`POST /auth`).
pub(crate) async fn login(engine: &Engine, auth: models::AuthConfig) -> ApiResult<models::SystemAuthResponse> {
    let address = auth.serveraddress.clone().unwrap_or_default();
    let domain = address.trim_start_matches("https://").trim_start_matches("http://");
    let domain = domain.split('/').next().filter(|domain| !domain.is_empty() && *domain != HUB_INDEX);
    let reference =
        Reference { domain: domain.unwrap_or("docker.io").to_owned(), path: String::new(), tag: None, digest: None };
    let client = Client::connect(&engine.host, &reference, "", Some(&auth), &engine.options.mirrors)
        .await
        .map_err(|error| if error.status == 401 { wrong_password(&reference.domain, &error) } else { error })?;
    let answer = client.send(&Call::new("GET", "/v2/")).await?;
    match answer.status {
        200 => {
            Ok(models::SystemAuthResponse { status: "Login Succeeded".to_owned(), identity_token: Some(String::new()) })
        }
        401 | 403 => {
            let error = ApiError::unauthorized("unauthorized: incorrect username or password");
            Err(wrong_password(client.url("/v2/").as_str(), &error))
        }
        status => {
            Err(ApiError::system(format!("login attempt to {} failed with status: {status}", client.url("/v2/"))))
        }
    }
}

fn wrong_password(place: &str, error: &ApiError) -> ApiError {
    let url = if place.starts_with("http") { place.to_owned() } else { format!("https://{place}/v2/") };
    ApiError::unauthorized(format!("Get \"{url}\": {}", error.message))
}

impl Engine {
    /// `GET /distribution/{name}/json`.
    pub(crate) async fn distribution(
        &self,
        name: &str,
        auth: Option<models::AuthConfig>,
    ) -> ApiResult<DistributionInspect> {
        let reference =
            Reference::parse(name).map_err(|error| ApiError::invalid(error.to_string()))?.with_default_tag();
        let client = Client::connect(&self.host, &reference, "pull", auth.as_ref(), &self.options.mirrors).await?;
        let wanted = reference.digest.clone().or_else(|| reference.tag.clone()).unwrap_or_default();
        let (manifest, digest) = pull::fetch_manifest(&client, &reference, &wanted).await?;
        let call = Call::new("HEAD", format!("manifests/{wanted}")).header("Accept", MANIFEST_TYPES);
        let head = client.send(&call).await?;
        let media_type = header(&head, "content-type").map(ToOwned::to_owned);
        let size = header(&head, "content-length").and_then(|size| size.parse().ok());
        let mut platforms: Vec<OciPlatform> = Vec::new();
        for platform in manifest.manifests.iter().filter_map(|descriptor| descriptor.platform.as_ref()) {
            platforms.push(OciPlatform {
                architecture: Some(platform.architecture.clone()),
                os: Some(platform.os.clone()),
                variant: Some(platform.variant.clone()).filter(|variant| !variant.is_empty()),
                ..OciPlatform::default()
            });
        }
        if let Some(config) = &manifest.config {
            let bytes = text(client.send(&Call::new("GET", format!("blobs/{}", config.digest))).await?).await?;
            let file = crate::image::ImageFile::parse(&bytes)?;
            platforms.push(OciPlatform {
                architecture: Some(file.architecture),
                os: Some(file.os),
                ..OciPlatform::default()
            });
        }
        let descriptor = OciDescriptor { media_type, digest: Some(digest), size, ..OciDescriptor::default() };
        Ok(DistributionInspect { descriptor, platforms })
    }
}
