use async_trait::async_trait;
use docklab_api::{
    ApiResult, Filters, NetworkApi, VolumeApi,
    models::{
        Network, NetworkConnectRequest, NetworkCreateRequest, NetworkCreateResponse, NetworkDisconnectRequest,
        NetworkPruneResponse, Volume, VolumeCreateOptions, VolumeListResponse, VolumePruneResponse,
    },
};

use super::{EngineClient, Query, escape};

#[async_trait]
impl NetworkApi for EngineClient {
    async fn list_networks(&self, filters: Filters) -> ApiResult<Vec<Network>> {
        self.get("/networks", Query::new().filters(&filters)).await
    }
    async fn inspect_network(&self, id: &str, verbose: bool, scope: Option<&str>) -> ApiResult<Network> {
        let query = Query::new().flag("verbose", verbose).maybe("scope", scope);
        self.get(&format!("/networks/{}", escape(id)), query).await
    }
    async fn create_network(&self, body: NetworkCreateRequest) -> ApiResult<NetworkCreateResponse> {
        self.post("/networks/create", Query::new(), &body).await
    }
    async fn remove_network(&self, id: &str) -> ApiResult<()> {
        self.delete(&format!("/networks/{}", escape(id)), Query::new()).await
    }
    async fn connect_network(&self, id: &str, body: NetworkConnectRequest) -> ApiResult<()> {
        self.act_with(&format!("/networks/{}/connect", escape(id)), Query::new(), &body).await
    }
    async fn disconnect_network(&self, id: &str, body: NetworkDisconnectRequest) -> ApiResult<()> {
        self.act_with(&format!("/networks/{}/disconnect", escape(id)), Query::new(), &body).await
    }
    async fn prune_networks(&self, filters: Filters) -> ApiResult<NetworkPruneResponse> {
        self.prune("/networks/prune", &filters).await
    }
}

#[async_trait]
impl VolumeApi for EngineClient {
    async fn list_volumes(&self, filters: Filters) -> ApiResult<VolumeListResponse> {
        self.get("/volumes", Query::new().filters(&filters)).await
    }
    async fn create_volume(&self, body: VolumeCreateOptions) -> ApiResult<Volume> {
        self.post("/volumes/create", Query::new(), &body).await
    }
    async fn inspect_volume(&self, name: &str) -> ApiResult<Volume> {
        self.get(&format!("/volumes/{}", escape(name)), Query::new()).await
    }
    async fn remove_volume(&self, name: &str, force: bool) -> ApiResult<()> {
        self.delete(&format!("/volumes/{}", escape(name)), Query::new().flag("force", force)).await
    }
    async fn prune_volumes(&self, filters: Filters) -> ApiResult<VolumePruneResponse> {
        self.prune("/volumes/prune", &filters).await
    }
}
