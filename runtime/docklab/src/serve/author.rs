//! What an author's panel shows beside the page, while the lab's file is being written.

use std::sync::Arc;

use axum::{
    Json,
    extract::{Query, State},
    http::StatusCode,
};
use docklab_scenario::{Diagnostics, RouteReport};
use serde::{Deserialize, Serialize};
use tokio::sync::watch;

use super::{Failure, Server};

/// The lab as it was saved last, and what is known about it so far.
#[derive(Debug, Clone, Default, Serialize)]
pub(crate) struct Edition {
    /// Grows with everything that is new in it.
    pub(crate) revision: u64,
    /// The file's name, as the page lists it.
    pub(crate) file: String,
    /// With what it includes.
    pub(crate) text: String,
    pub(crate) faults: Diagnostics,
    /// Routes of the steps that were edited, played in the simulator; `None` while they are being played.
    pub(crate) routes: Option<Vec<RouteReport>>,
    /// Why they could not be played.
    pub(crate) trouble: Option<String>,
}

#[derive(Deserialize)]
pub(super) struct After {
    #[serde(default)]
    after: u64,
}

/// How long a question for news is kept open; then the page asks again.
const PATIENCE: std::time::Duration = std::time::Duration::from_secs(25);

/// The edition behind the one that the page has, as soon as there is one. 204 when there was none for a while.
pub(super) async fn edition(
    State(server): State<Arc<Server>>,
    Query(After { after }): Query<After>,
) -> Result<Json<Edition>, Failure> {
    let Some(author) = &server.author else {
        return Err(Failure(
            StatusCode::NOT_FOUND,
            "no lab is being written here; `docklab preview` does that".to_owned(),
        ));
    };
    let mut author: watch::Receiver<Edition> = author.clone();
    let waited = tokio::time::timeout(PATIENCE, author.wait_for(|edition| edition.revision > after)).await;
    match waited {
        Ok(Ok(edition)) => Ok(Json(edition.clone())),
        Ok(Err(_)) => Err(Failure(StatusCode::GONE, "the preview has ended".to_owned())),
        Err(_) => Err(Failure(StatusCode::NO_CONTENT, "nothing new".to_owned())),
    }
}
