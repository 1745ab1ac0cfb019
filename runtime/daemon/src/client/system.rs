use async_trait::async_trait;
use docklab_api::{
    Activity, ApiError, ApiResult, Events, Ping, RaftStatus, RawRequest, SystemApi,
    models::{AuthConfig, EventMessage, SystemAuthResponse, SystemDataUsageResponse, SystemInfo, SystemVersion},
};
use futures::{StreamExt as _, stream::BoxStream};
use http_body_util::BodyExt as _;
use hyper::Method;

use super::{
    HttpClient,
    request::{Call, objects},
    undecodable,
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

    async fn send_raw(&self, request: RawRequest) -> ApiResult<serde_json::Value> {
        let method = if request.method.is_empty() { "GET" } else { request.method };
        let method = Method::from_bytes(method.as_bytes())
            .map_err(|error| ApiError::invalid(format!("building the request: {error}")))?;
        let mut call = Call::new(method, &request.path);
        for (key, value) in &request.query {
            call = call.query(key, value);
        }
        if let Some(auth) = &request.auth {
            call = call.auth(auth.as_ref())?;
        }
        if let Some(body) = &request.body {
            call = call.json(body)?;
        }
        let bytes = self.send(call).await?.into_body().collect().await.map_err(undecodable)?.to_bytes();
        if bytes.iter().all(u8::is_ascii_whitespace) {
            return Ok(serde_json::Value::Null);
        }
        serde_json::from_slice(&bytes).map_err(undecodable)
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
    async fn raw(&self, request: RawRequest) -> Option<ApiResult<serde_json::Value>> {
        Some(self.send_raw(request).await)
    }
}
