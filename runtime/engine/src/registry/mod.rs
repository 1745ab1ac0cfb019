//! The registry client: pull, push, login and a look at what a registry has (distribution specification).

mod auth;
mod client;
mod download;
mod manifest;
mod platform;
mod pull;
mod push;
mod refusal;

use docklab_api::{
    ApiError, ApiResult, Reference,
    models::{self, DistributionInspect, OciDescriptor, OciPlatform},
};

use crate::Engine;
pub(crate) use client::joined;
use client::{Call, Client, MANIFEST_TYPES, header};
pub(crate) use platform::Platform;
use refusal::Trouble;
pub(crate) use refusal::reason;

/// Docker Hub's name in `config.json` and in login requests.
const HUB_INDEX: &str = "index.docker.io";

/// Go's `%q`.
fn quoted(text: &str) -> String {
    crate::build::quoted(text)
}

/// Checks credentials against their registry (`POST /auth`).
pub(crate) async fn login(engine: &Engine, auth: models::AuthConfig) -> ApiResult<models::SystemAuthResponse> {
    let address = auth.serveraddress.clone().unwrap_or_default();
    let domain = address.trim_start_matches("https://").trim_start_matches("http://");
    let domain = domain.split('/').next().filter(|domain| !domain.is_empty() && *domain != HUB_INDEX);
    let reference =
        Reference { domain: domain.unwrap_or("docker.io").to_owned(), path: String::new(), tag: None, digest: None };
    let client = Client::connect(&engine.host, &reference, "", Some(&auth), &engine.options.mirrors).await?;
    // A token server that does not know the user refuses by itself, with its own words.
    let refused = |trouble: Trouble| match trouble.is("UNAUTHORIZED") {
        true => ApiError::unauthorized(trouble.error.message),
        false => trouble.error,
    };
    let answer = client.send(&Call::new("GET", "/v2/")).await.map_err(refused)?;
    if answer.status != 200 {
        let (url, status) = (client.url("/v2/"), answer.status);
        return Err(ApiError::system(format!(
            "login attempt to {url} failed with status: {status} {}",
            reason(status)
        )));
    }
    let identity = client.identity().unwrap_or_default();
    Ok(models::SystemAuthResponse { status: "Login Succeeded".to_owned(), identity_token: Some(identity) })
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
        let (manifest, digest) = manifest::fetch_manifest(&client, &reference, &wanted).await?;
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
            let (_, file) = manifest::fetch_config(&client, &reference, config).await?;
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
