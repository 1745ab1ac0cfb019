//! Build contexts that a URL names: a Dockerfile or an archive (`remote` of `POST /build`).

use bytes::{Bytes, BytesMut};
use docklab_api::{ApiError, ApiResult, BuildImage};
use docklab_host::Compression;
use futures::{StreamExt, TryStreamExt, stream};

use super::source::Source;
use crate::{Engine, HostResultExt, image::plain};

/// Where an archive says what it is (POSIX ustar header).
const TAR_MAGIC: std::ops::Range<usize> = 257..262;

/// As moby tells git repositories from files.
fn is_git(url: &str) -> bool {
    let (place, _) = url.split_once('#').unwrap_or((url, ""));
    let is_web = place.starts_with("http://") || place.starts_with("https://");
    (is_web && place.ends_with(".git"))
        || ["git://", "github.com/", "git@", "ssh://"].iter().any(|prefix| place.starts_with(prefix))
}

/// Fetches a context. A file that is no archive is the Dockerfile of an empty one.
pub(super) async fn context(engine: &Engine, url: &str, options: &mut BuildImage) -> ApiResult<Source> {
    if is_git(url) {
        return Err(ApiError::system(format!(
            "failed to init repo: exec: \"git\": executable file not found in $PATH: this engine fetches no repositories; \
             clone {url} and build its directory"
        )));
    }
    if !url.starts_with("http://") && !url.starts_with("https://") {
        return Err(ApiError::system(format!("remoteURL ({url}) could not be recognized as URL")));
    }
    let mut body = engine.fetch(url).await?.body;
    let mut start = BytesMut::new();
    while start.len() < TAR_MAGIC.end {
        match body.try_next().await.api()? {
            Some(bytes) => start.extend_from_slice(&bytes),
            None => break,
        }
    }
    let start = start.freeze();
    let is_archive = Compression::of(&start) != Compression::None || start.get(TAR_MAGIC) == Some(b"ustar");
    let whole = stream::once(futures::future::ok::<Bytes, _>(start)).chain(body).boxed();
    if is_archive {
        return Source::stage(engine, plain(whole).await.api()?, None).await;
    }
    let blob = engine.images.staged.write(&engine.host, whole).await.api()?;
    options.dockerfile = None;
    Ok(Source::of_blob(blob, "Dockerfile", 0))
}

#[cfg(test)]
mod tests {
    use super::is_git;

    #[test]
    fn repositories_are_told_from_files() {
        for url in ["git://a/b", "https://a/b.git", "https://a/b.git#main:dir", "git@a:b", "github.com/a/b"] {
            assert!(is_git(url), "{url}");
        }
        for url in ["https://a/b.tar.gz", "http://a/Dockerfile", "https://github.com/a/b"] {
            assert!(!is_git(url), "{url}");
        }
    }
}
