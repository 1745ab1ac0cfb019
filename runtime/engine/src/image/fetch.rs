//! Files from the web: ADD of a URL, remote build contexts, `docker import`.

use docklab_api::{ApiError, ApiResult, ByteStream};
use docklab_host::{HttpRequest, HttpResponse};
use futures::TryStreamExt;

use crate::{
    Engine, HostResultExt,
    registry::{joined, reason},
};

/// Redirects that are followed, as by Go's HTTP client.
const REDIRECTS: usize = 10;
/// Bytes of a refusal that are shown.
const SHOWN: usize = 1 << 16;

impl Engine {
    /// Gets a URL. Another answer than a success is an error, with Docker's text.
    pub(crate) async fn fetch(&self, url: &str) -> ApiResult<HttpResponse> {
        let mut target = url.to_owned();
        for _ in 0..=REDIRECTS {
            let request =
                HttpRequest { method: "GET", url: target.clone(), headers: Vec::new(), body: None, insecure: false };
            let response = self.host.http(request).await.api()?;
            let location = response.headers.iter().find(|(key, _)| key == "location").map(|(_, value)| value);
            match (response.status, location) {
                (200..300, _) => return Ok(response),
                (300..400, Some(location)) => target = joined(&target, location),
                _ => return Err(unexpected_status(url, response).await),
            }
        }
        Err(ApiError::system(format!("Get \"{url}\": stopped after {REDIRECTS} redirects")))
    }
}

async fn unexpected_status(url: &str, response: HttpResponse) -> ApiError {
    let status = response.status;
    let mut body = response.body;
    let mut shown = Vec::new();
    while let Ok(Some(bytes)) = body.try_next().await {
        shown.extend_from_slice(&bytes);
        if shown.len() > SHOWN {
            break;
        }
    }
    let text = String::from_utf8_lossy(&shown);
    let text = format!("failed to GET {url} with status {status} {}: {}", reason(status), text.trim());
    ApiError::new(if matches!(status, 400 | 401 | 403 | 404) { status } else { 500 }, text)
}

/// Reads a request's body to its end: a client that is still sending would not see the answer.
pub(crate) async fn drain(mut body: ByteStream) {
    while let Ok(Some(_)) = body.try_next().await {}
}
