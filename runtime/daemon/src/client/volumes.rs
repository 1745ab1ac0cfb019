use async_trait::async_trait;
use docklab_api::{
    ApiResult, Filters, VolumeApi,
    models::{Volume, VolumeCreateOptions, VolumeListResponse, VolumePruneResponse},
};

use super::{HttpClient, request::Call};

#[async_trait]
impl VolumeApi for HttpClient {
    async fn list_volumes(&self, filters: Filters) -> ApiResult<VolumeListResponse> {
        self.receive(Call::get("/volumes").filters(&filters)).await
    }
    async fn create_volume(&self, body: VolumeCreateOptions) -> ApiResult<Volume> {
        self.receive(Call::post("/volumes/create").json(&body)?).await
    }
    async fn inspect_volume(&self, name: &str) -> ApiResult<Volume> {
        self.receive(Call::get(&format!("/volumes/{name}"))).await
    }
    async fn remove_volume(&self, name: &str, force: bool) -> ApiResult<()> {
        self.done(Call::delete(&format!("/volumes/{name}")).flag("force", force)).await
    }
    async fn prune_volumes(&self, filters: Filters) -> ApiResult<VolumePruneResponse> {
        self.receive(Call::post("/volumes/prune").filters(&filters)).await
    }
}
