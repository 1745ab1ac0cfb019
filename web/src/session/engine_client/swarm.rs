use async_trait::async_trait;
use docklab_api::{
    ApiResult, Filters, ListServices, Logs, OutputStream, RaftStatus, SwarmApi, UpdateService, UpdateSwarm,
    models::{
        AuthConfig, Config, Node, NodeSpec, Secret, Service, ServiceCreateResponse, ServiceSpec, ServiceUpdateResponse,
        Swarm, SwarmInitRequest, SwarmJoinRequest, SwarmSpec, Task, UnlockKeyResponse,
    },
};
use futures::stream::BoxStream;
use serde_json::json;

use super::{EngineClient, Query, containers::logs_query, escape, objects, output};

/// What the page shows and does. Secrets and configs stay with the trait's own answer: the page never handles them.
#[async_trait]
impl SwarmApi for EngineClient {
    async fn inspect_swarm(&self) -> ApiResult<Swarm> {
        self.get("/swarm", Query::new()).await
    }
    async fn init_swarm(&self, body: SwarmInitRequest) -> ApiResult<String> {
        self.post("/swarm/init", Query::new(), &body).await
    }
    async fn join_swarm(&self, body: SwarmJoinRequest) -> ApiResult<()> {
        self.act_with("/swarm/join", Query::new(), &body).await
    }
    async fn leave_swarm(&self, force: bool) -> ApiResult<()> {
        self.act("/swarm/leave", Query::new().flag("force", force)).await.map(drop)
    }
    async fn update_swarm(&self, options: UpdateSwarm, spec: SwarmSpec) -> ApiResult<()> {
        let query = Query::new()
            .text("version", &options.version.to_string())
            .flag("rotateWorkerToken", options.rotate_worker_token)
            .flag("rotateManagerToken", options.rotate_manager_token)
            .flag("rotateManagerUnlockKey", options.rotate_manager_unlock_key);
        self.act_with("/swarm/update", query, &spec).await
    }
    async fn swarm_unlock_key(&self) -> ApiResult<UnlockKeyResponse> {
        self.get("/swarm/unlockkey", Query::new()).await
    }
    async fn unlock_swarm(&self, key: String) -> ApiResult<()> {
        self.act_with("/swarm/unlock", Query::new(), &json!({ "UnlockKey": key })).await
    }
    async fn list_nodes(&self, filters: Filters) -> ApiResult<Vec<Node>> {
        self.get("/nodes", Query::new().filters(&filters)).await
    }
    async fn inspect_node(&self, id: &str) -> ApiResult<Node> {
        self.get(&format!("/nodes/{}", escape(id)), Query::new()).await
    }
    async fn update_node(&self, id: &str, version: u64, spec: NodeSpec) -> ApiResult<()> {
        let query = Query::new().text("version", &version.to_string());
        self.act_with(&format!("/nodes/{}/update", escape(id)), query, &spec).await
    }
    async fn remove_node(&self, id: &str, force: bool) -> ApiResult<()> {
        self.delete(&format!("/nodes/{}", escape(id)), Query::new().flag("force", force)).await
    }
    async fn list_services(&self, options: ListServices) -> ApiResult<Vec<Service>> {
        self.get("/services", Query::new().flag("status", options.status).filters(&options.filters)).await
    }
    async fn inspect_service(&self, id: &str, insert_defaults: bool) -> ApiResult<Service> {
        let query = Query::new().flag("insertDefaults", insert_defaults);
        self.get(&format!("/services/{}", escape(id)), query).await
    }
    async fn create_service(&self, spec: ServiceSpec, _auth: Option<AuthConfig>) -> ApiResult<ServiceCreateResponse> {
        self.post("/services/create", Query::new(), &spec).await
    }
    async fn update_service(
        &self,
        id: &str,
        options: UpdateService,
        spec: ServiceSpec,
    ) -> ApiResult<ServiceUpdateResponse> {
        let query = Query::new()
            .text("version", &options.version.to_string())
            .maybe("registryAuthFrom", options.registry_auth_from.as_deref())
            .maybe("rollback", options.rollback.as_deref());
        self.post(&format!("/services/{}/update", escape(id)), query, &spec).await
    }
    async fn remove_service(&self, id: &str) -> ApiResult<()> {
        self.delete(&format!("/services/{}", escape(id)), Query::new()).await
    }
    async fn service_logs(&self, id: &str, options: Logs) -> ApiResult<OutputStream> {
        Ok(output(self.send("GET", &format!("/services/{}/logs", escape(id)), logs_query(&options), None).await?))
    }
    async fn list_tasks(&self, filters: Filters) -> ApiResult<Vec<Task>> {
        self.get("/tasks", Query::new().filters(&filters)).await
    }
    async fn inspect_task(&self, id: &str) -> ApiResult<Task> {
        self.get(&format!("/tasks/{}", escape(id)), Query::new()).await
    }
    async fn task_logs(&self, id: &str, options: Logs) -> ApiResult<OutputStream> {
        Ok(output(self.send("GET", &format!("/tasks/{}/logs", escape(id)), logs_query(&options), None).await?))
    }
    async fn list_secrets(&self, filters: Filters) -> ApiResult<Vec<Secret>> {
        self.get("/secrets", Query::new().filters(&filters)).await
    }
    async fn raft_status(&self) -> ApiResult<RaftStatus> {
        self.get("/docklab/raft", Query::new()).await
    }
    async fn swarm_changes(&self) -> ApiResult<BoxStream<'static, ApiResult<u64>>> {
        Ok(objects(self.stream("/docklab/swarm/changes", Query::new()).await?))
    }
    async fn list_configs(&self, filters: Filters) -> ApiResult<Vec<Config>> {
        self.get("/configs", Query::new().filters(&filters)).await
    }
}
