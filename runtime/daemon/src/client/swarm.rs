use async_trait::async_trait;
use docklab_api::{
    ApiResult, Filters, ListServices, Logs, OutputStream, RaftStatus, SwarmApi, UpdateService, UpdateSwarm,
    models::{
        AuthConfig, Config, ConfigSpec, IdResponse, Node, NodeSpec, Secret, SecretSpec, Service, ServiceCreateResponse,
        ServiceSpec, ServiceUpdateResponse, Swarm, SwarmInitRequest, SwarmJoinRequest, SwarmSpec, SwarmUnlockRequest,
        Task, UnlockKeyResponse,
    },
};
use futures::{StreamExt as _, stream::BoxStream};

use super::{
    HttpClient,
    containers::log_query,
    hijack,
    request::{Call, objects},
};

#[async_trait]
impl SwarmApi for HttpClient {
    async fn inspect_swarm(&self) -> ApiResult<Swarm> {
        self.receive(Call::get("/swarm")).await
    }
    async fn init_swarm(&self, body: SwarmInitRequest) -> ApiResult<String> {
        self.receive(Call::post("/swarm/init").json(&body)?).await
    }
    async fn join_swarm(&self, body: SwarmJoinRequest) -> ApiResult<()> {
        self.done(Call::post("/swarm/join").json(&body)?).await
    }
    async fn leave_swarm(&self, force: bool) -> ApiResult<()> {
        self.done(Call::post("/swarm/leave").flag("force", force)).await
    }
    async fn update_swarm(&self, options: UpdateSwarm, spec: SwarmSpec) -> ApiResult<()> {
        let call = Call::post("/swarm/update")
            .query("version", options.version.to_string())
            .flag("rotateWorkerToken", options.rotate_worker_token)
            .flag("rotateManagerToken", options.rotate_manager_token)
            .flag("rotateManagerUnlockKey", options.rotate_manager_unlock_key);
        self.done(call.json(&spec)?).await
    }
    async fn swarm_unlock_key(&self) -> ApiResult<UnlockKeyResponse> {
        self.receive(Call::get("/swarm/unlockkey")).await
    }
    async fn unlock_swarm(&self, key: String) -> ApiResult<()> {
        self.done(Call::post("/swarm/unlock").json(&SwarmUnlockRequest { unlock_key: Some(key) })?).await
    }
    async fn list_nodes(&self, filters: Filters) -> ApiResult<Vec<Node>> {
        self.receive_list(Call::get("/nodes").filters(&filters)).await
    }
    async fn inspect_node(&self, id: &str) -> ApiResult<Node> {
        self.receive(Call::get(&format!("/nodes/{id}"))).await
    }
    async fn update_node(&self, id: &str, version: u64, spec: NodeSpec) -> ApiResult<()> {
        let call = Call::post(&format!("/nodes/{id}/update")).query("version", version.to_string());
        self.done(call.json(&spec)?).await
    }
    async fn remove_node(&self, id: &str, force: bool) -> ApiResult<()> {
        self.done(Call::delete(&format!("/nodes/{id}")).flag("force", force)).await
    }
    async fn list_services(&self, options: ListServices) -> ApiResult<Vec<Service>> {
        self.receive_list(Call::get("/services").filters(&options.filters).flag("status", options.status)).await
    }
    async fn inspect_service(&self, id: &str, insert_defaults: bool) -> ApiResult<Service> {
        let call = Call::get(&format!("/services/{id}"));
        self.receive(call.query("insertDefaults", insert_defaults.to_string())).await
    }
    async fn create_service(&self, spec: ServiceSpec, auth: Option<AuthConfig>) -> ApiResult<ServiceCreateResponse> {
        self.receive(Call::post("/services/create").auth(auth.as_ref())?.json(&spec)?).await
    }
    async fn update_service(
        &self,
        id: &str,
        options: UpdateService,
        spec: ServiceSpec,
    ) -> ApiResult<ServiceUpdateResponse> {
        let call = Call::post(&format!("/services/{id}/update"))
            .query("version", options.version.to_string())
            .maybe("registryAuthFrom", options.registry_auth_from.as_ref())
            .maybe("rollback", options.rollback.as_ref())
            .auth(options.auth.as_ref())?;
        self.receive(call.json(&spec)?).await
    }
    async fn remove_service(&self, id: &str) -> ApiResult<()> {
        self.done(Call::delete(&format!("/services/{id}"))).await
    }
    async fn service_logs(&self, id: &str, options: Logs) -> ApiResult<OutputStream> {
        let response = self.send(log_query(Call::get(&format!("/services/{id}/logs")), &options)).await?;
        Ok(hijack::logs(response, false))
    }
    async fn list_tasks(&self, filters: Filters) -> ApiResult<Vec<Task>> {
        self.receive_list(Call::get("/tasks").filters(&filters)).await
    }
    async fn inspect_task(&self, id: &str) -> ApiResult<Task> {
        self.receive(Call::get(&format!("/tasks/{id}"))).await
    }
    async fn task_logs(&self, id: &str, options: Logs) -> ApiResult<OutputStream> {
        let response = self.send(log_query(Call::get(&format!("/tasks/{id}/logs")), &options)).await?;
        Ok(hijack::logs(response, false))
    }
    async fn list_secrets(&self, filters: Filters) -> ApiResult<Vec<Secret>> {
        self.receive_list(Call::get("/secrets").filters(&filters)).await
    }
    async fn create_secret(&self, spec: SecretSpec) -> ApiResult<String> {
        Ok(self.receive::<IdResponse>(Call::post("/secrets/create").json(&spec)?).await?.id)
    }
    async fn inspect_secret(&self, id: &str) -> ApiResult<Secret> {
        self.receive(Call::get(&format!("/secrets/{id}"))).await
    }
    async fn update_secret(&self, id: &str, version: u64, spec: SecretSpec) -> ApiResult<()> {
        let call = Call::post(&format!("/secrets/{id}/update")).query("version", version.to_string());
        self.done(call.json(&spec)?).await
    }
    async fn remove_secret(&self, id: &str) -> ApiResult<()> {
        self.done(Call::delete(&format!("/secrets/{id}"))).await
    }
    async fn list_configs(&self, filters: Filters) -> ApiResult<Vec<Config>> {
        self.receive_list(Call::get("/configs").filters(&filters)).await
    }
    async fn create_config(&self, spec: ConfigSpec) -> ApiResult<String> {
        Ok(self.receive::<IdResponse>(Call::post("/configs/create").json(&spec)?).await?.id)
    }
    async fn inspect_config(&self, id: &str) -> ApiResult<Config> {
        self.receive(Call::get(&format!("/configs/{id}"))).await
    }
    async fn update_config(&self, id: &str, version: u64, spec: ConfigSpec) -> ApiResult<()> {
        let call = Call::post(&format!("/configs/{id}/update")).query("version", version.to_string());
        self.done(call.json(&spec)?).await
    }
    async fn remove_config(&self, id: &str) -> ApiResult<()> {
        self.done(Call::delete(&format!("/configs/{id}"))).await
    }
    async fn raft_status(&self) -> ApiResult<RaftStatus> {
        self.raft().await
    }
    async fn swarm_changes(&self) -> ApiResult<BoxStream<'static, ApiResult<u64>>> {
        Ok(objects(self.send(Call::get("/docklab/swarm/changes")).await?).boxed())
    }
}
