use docklab_api::{ApiError, ApiResult, models::ExecStartConfig};
use hyper::{Method, Response};

use super::{body::Body, containers::size, hijack, page_not_found, request::Context, respond};

pub(super) async fn route(mut context: Context, segments: &[&str]) -> ApiResult<Response<Body>> {
    let api = context.api.clone();
    match (context.method.clone(), segments) {
        (Method::GET, [id, "json"]) => {
            let mut exec = serde_json::to_value(api.inspect_exec(id).await?)
                .map_err(|error| ApiError::system(format!("encoding the answer: {error}")))?;
            // Until the command has ended the code is there and null.
            if let Some(fields) = exec.as_object_mut() {
                fields.entry("ExitCode").or_insert(serde_json::Value::Null);
            }
            respond::json(&exec)
        }
        (Method::POST, [id, "resize"]) => {
            let (rows, columns) = size(&context)?;
            api.resize_exec(id, rows, columns).await.map(|()| respond::ok())
        }
        (Method::POST, [id, "start"]) => {
            // The JSON must be read before the connection switches, or it would leak into the process's input.
            let config = context.json_or_default::<ExecStartConfig>().await?;
            match api.start_exec(id, config).await? {
                Some(attached) => Ok(hijack::answer(context.request, context.version, attached)),
                None => Ok(respond::ok()),
            }
        }
        _ => Err(page_not_found()),
    }
}
