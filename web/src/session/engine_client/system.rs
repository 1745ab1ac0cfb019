use async_trait::async_trait;
use docklab_api::{
    Activity, ApiResult, Events, Ping, SystemApi,
    models::{AuthConfig, EventMessage, SystemAuthResponse, SystemDataUsageResponse, SystemInfo, SystemVersion},
};
use futures::stream::BoxStream;

use super::{EngineClient, Query, objects};

#[async_trait]
impl SystemApi for EngineClient {
    async fn ping(&self) -> ApiResult<Ping> {
        let response = self.send("GET", "/_ping", Query::new(), None).await?;
        let header = |name| response.header(name).unwrap_or_default().to_owned();
        Ok(Ping {
            api_version: header("api-version"),
            os_type: header("ostype"),
            builder_version: header("builder-version"),
            swarm: header("swarm"),
        })
    }
    async fn version(&self) -> ApiResult<SystemVersion> {
        self.get("/version", Query::new()).await
    }
    async fn info(&self) -> ApiResult<SystemInfo> {
        self.get("/info", Query::new()).await
    }
    async fn events(&self, options: Events) -> ApiResult<BoxStream<'static, ApiResult<EventMessage>>> {
        let query = Query::new()
            .maybe("since", options.since.as_deref())
            .maybe("until", options.until.as_deref())
            .filters(&options.filters);
        Ok(objects(self.stream("/events", query).await?))
    }
    async fn activity(&self) -> ApiResult<BoxStream<'static, ApiResult<Activity>>> {
        Ok(objects(self.stream("/docklab/activity", Query::new()).await?))
    }
    async fn disk_usage(&self) -> ApiResult<SystemDataUsageResponse> {
        self.get("/system/df", Query::new()).await
    }
    async fn login(&self, auth: AuthConfig) -> ApiResult<SystemAuthResponse> {
        self.post("/auth", Query::new(), &auth).await
    }
}
