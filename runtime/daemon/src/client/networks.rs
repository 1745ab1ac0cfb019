use async_trait::async_trait;
use docklab_api::{
    ApiResult, Filters, NetworkApi,
    models::{
        Network, NetworkConnectRequest, NetworkCreateRequest, NetworkCreateResponse, NetworkDisconnectRequest,
        NetworkPruneResponse,
    },
};

use super::{HttpClient, request::Call};

#[async_trait]
impl NetworkApi for HttpClient {
    async fn list_networks(&self, filters: Filters) -> ApiResult<Vec<Network>> {
        self.receive_list(Call::get("/networks").filters(&filters)).await
    }
    async fn inspect_network(&self, id: &str, verbose: bool, scope: Option<&str>) -> ApiResult<Network> {
        self.receive(Call::get(&format!("/networks/{id}")).flag("verbose", verbose).maybe("scope", scope.as_ref()))
            .await
    }
    async fn create_network(&self, body: NetworkCreateRequest) -> ApiResult<NetworkCreateResponse> {
        self.receive(Call::post("/networks/create").json(&body)?).await
    }
    async fn remove_network(&self, id: &str) -> ApiResult<()> {
        self.done(Call::delete(&format!("/networks/{id}"))).await
    }
    async fn connect_network(&self, id: &str, body: NetworkConnectRequest) -> ApiResult<()> {
        self.done(Call::post(&format!("/networks/{id}/connect")).json(&body)?).await
    }
    async fn disconnect_network(&self, id: &str, body: NetworkDisconnectRequest) -> ApiResult<()> {
        self.done(Call::post(&format!("/networks/{id}/disconnect")).json(&body)?).await
    }
    async fn prune_networks(&self, filters: Filters) -> ApiResult<NetworkPruneResponse> {
        self.receive(Call::post("/networks/prune").filters(&filters)).await
    }
}
