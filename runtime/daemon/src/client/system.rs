use async_trait::async_trait;
use docklab_api::{
    Activity, ApiResult, Events, Ping, RaftStatus, SystemApi,
    models::{AuthConfig, EventMessage, SystemAuthResponse, SystemDataUsageResponse, SystemInfo, SystemVersion},
};
use futures::{StreamExt as _, stream::BoxStream};

use super::{
    HttpClient,
    request::{Call, objects},
};

impl HttpClient {
    /// Asks without a version prefix, which every engine answers.
    pub(super) async fn ping_headers(&self) -> ApiResult<Ping> {
        let response = self.send_to("", Call::get("/_ping")).await?;
        let header = |name: &str| {
            response.headers().get(name).and_then(|value| value.to_str().ok()).unwrap_or_default().to_owned()
        };
        Ok(Ping {
            api_version: header("Api-Version"),
            os_type: header("Ostype"),
            builder_version: header("Builder-Version"),
            swarm: header("Swarm"),
        })
    }

    /// The raft group as our engines tell them; a stock Docker Engine answers 404.
    pub(super) async fn raft(&self) -> ApiResult<RaftStatus> {
        self.receive(Call::get("/docklab/raft")).await
    }
}

#[async_trait]
impl SystemApi for HttpClient {
    async fn ping(&self) -> ApiResult<Ping> {
        self.ping_headers().await
    }
    async fn version(&self) -> ApiResult<SystemVersion> {
        self.receive(Call::get("/version")).await
    }
    async fn info(&self) -> ApiResult<SystemInfo> {
        self.receive(Call::get("/info")).await
    }
    async fn events(&self, options: Events) -> ApiResult<BoxStream<'static, ApiResult<EventMessage>>> {
        let call = Call::get("/events")
            .maybe("since", options.since.as_ref())
            .maybe("until", options.until.as_ref())
            .filters(&options.filters);
        Ok(objects(self.send(call).await?).boxed())
    }
    async fn activity(&self) -> ApiResult<BoxStream<'static, ApiResult<Activity>>> {
        Ok(objects(self.send(Call::get("/docklab/activity")).await?).boxed())
    }
    async fn disk_usage(&self) -> ApiResult<SystemDataUsageResponse> {
        self.receive(Call::get("/system/df")).await
    }
    async fn login(&self, auth: AuthConfig) -> ApiResult<SystemAuthResponse> {
        self.receive(Call::post("/auth").json(&auth)?).await
    }
}
