use async_trait::async_trait;
use docklab_api::{
    ApiResult, Attached, ExecApi,
    models::{ExecConfig, ExecInspectResponse, ExecStartConfig, IdResponse},
};

use super::{HttpClient, request::Call};

#[async_trait]
impl ExecApi for HttpClient {
    async fn create_exec(&self, container: &str, config: ExecConfig) -> ApiResult<String> {
        Ok(self.receive::<IdResponse>(Call::post(&format!("/containers/{container}/exec")).json(&config)?).await?.id)
    }
    async fn start_exec(&self, id: &str, config: ExecStartConfig) -> ApiResult<Option<Attached>> {
        let call = Call::post(&format!("/exec/{id}/start")).json(&config)?;
        if config.detach == Some(true) {
            return self.done(call).await.map(|()| None);
        }
        self.hijack(call, config.tty == Some(true)).await.map(Some)
    }
    async fn inspect_exec(&self, id: &str) -> ApiResult<ExecInspectResponse> {
        self.receive(Call::get(&format!("/exec/{id}/json"))).await
    }
    async fn resize_exec(&self, id: &str, rows: u16, columns: u16) -> ApiResult<()> {
        let call = Call::post(&format!("/exec/{id}/resize"));
        self.done(call.query("h", rows.to_string()).query("w", columns.to_string())).await
    }
}
