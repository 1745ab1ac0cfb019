use docklab_api::{ApiError, ApiResult, ListServices, UpdateService, UpdateSwarm, models::SwarmUnlockRequest, wire};
use hyper::{Method, Response};

use super::{
    body::Body,
    containers::{log_options, output_body},
    page_not_found,
    request::Context,
    respond,
};

pub(super) async fn route(mut context: Context, segments: &[&str]) -> ApiResult<Response<Body>> {
    let api = context.api.clone();
    let query = &context.query;
    match (context.method.clone(), segments) {
        (Method::GET, ["swarm"]) => respond::json(&api.inspect_swarm().await?),
        (Method::POST, ["swarm", "init"]) => {
            let body = context.json().await?;
            respond::json(&api.init_swarm(body).await?)
        }
        (Method::POST, ["swarm", "join"]) => {
            let body = context.json().await?;
            api.join_swarm(body).await.map(|()| respond::ok())
        }
        (Method::POST, ["swarm", "leave"]) => api.leave_swarm(query.flag("force")).await.map(|()| respond::ok()),
        (Method::POST, ["swarm", "update"]) => {
            let options = UpdateSwarm {
                version: version(&context)?,
                rotate_worker_token: query.flag("rotateWorkerToken"),
                rotate_manager_token: query.flag("rotateManagerToken"),
                rotate_manager_unlock_key: query.flag("rotateManagerUnlockKey"),
            };
            let body = context.json().await?;
            api.update_swarm(options, body).await.map(|()| respond::ok())
        }
        (Method::GET, ["swarm", "unlockkey"]) => respond::json(&api.swarm_unlock_key().await?),
        (Method::POST, ["swarm", "unlock"]) => {
            let key = context.json::<SwarmUnlockRequest>().await?.unlock_key.unwrap_or_default();
            api.unlock_swarm(key).await.map(|()| respond::ok())
        }

        (Method::GET, ["nodes"]) => {
            let nodes = api.list_nodes(query.filters()?).await?;
            respond::json(&nodes.iter().map(wire::node_json).collect::<Vec<_>>())
        }
        (Method::GET, ["nodes", id]) => respond::json(&wire::node_json(&api.inspect_node(id).await?)),
        (Method::POST, ["nodes", id, "update"]) => {
            let version = version(&context)?;
            let body = context.json().await?;
            api.update_node(id, version, body).await.map(|()| respond::ok())
        }
        (Method::DELETE, ["nodes", id]) => api.remove_node(id, query.flag("force")).await.map(|()| respond::ok()),

        (Method::GET, ["services"]) => {
            let options = ListServices { filters: query.filters()?, status: query.flag("status") };
            let services = api.list_services(options).await?;
            respond::json(&services.iter().map(wire::service_json).collect::<Vec<_>>())
        }
        (Method::POST, ["services", "create"]) => {
            let auth = context.registry_auth()?;
            let body = context.json().await?;
            respond::created(&api.create_service(body, auth).await?)
        }
        (Method::GET, ["services", id]) => {
            let service = api.inspect_service(id, query.flag("insertDefaults")).await?;
            respond::json(&wire::service_json(&service))
        }
        (Method::POST, ["services", id, "update"]) => {
            let options = UpdateService {
                version: version(&context)?,
                registry_auth_from: query.get("registryAuthFrom"),
                rollback: query.get("rollback"),
                auth: context.registry_auth()?,
            };
            let body = context.json().await?;
            respond::json(&api.update_service(id, options, body).await?)
        }
        (Method::DELETE, ["services", id]) => api.remove_service(id).await.map(|()| respond::ok()),
        (Method::GET, ["services", id, "logs"]) => {
            let output = api.service_logs(id, log_options(&context)?).await?;
            Ok(output_body(output, false, &context))
        }

        (Method::GET, ["tasks"]) => {
            let tasks = api.list_tasks(query.filters()?).await?;
            respond::json(&tasks.iter().map(wire::task_json).collect::<Vec<_>>())
        }
        (Method::GET, ["tasks", id]) => respond::json(&wire::task_json(&api.inspect_task(id).await?)),
        (Method::GET, ["tasks", id, "logs"]) => {
            let output = api.task_logs(id, log_options(&context)?).await?;
            Ok(output_body(output, false, &context))
        }
        (_, ["secrets", rest @ ..]) => secrets(context, rest).await,
        (_, ["configs", rest @ ..]) => configs(context, rest).await,
        _ => Err(page_not_found()),
    }
}

async fn secrets(mut context: Context, segments: &[&str]) -> ApiResult<Response<Body>> {
    let api = context.api.clone();
    match (context.method.clone(), segments) {
        (Method::GET, []) => respond::json(&api.list_secrets(context.query.filters()?).await?),
        (Method::POST, ["create"]) => {
            let body = context.json().await?;
            respond::created(&serde_json::json!({ "ID": api.create_secret(body).await? }))
        }
        (Method::GET, [id]) => respond::json(&api.inspect_secret(id).await?),
        (Method::POST, [id, "update"]) => {
            let version = version(&context)?;
            let body = context.json().await?;
            api.update_secret(id, version, body).await.map(|()| respond::ok())
        }
        (Method::DELETE, [id]) => api.remove_secret(id).await.map(|()| respond::no_content()),
        _ => Err(page_not_found()),
    }
}

async fn configs(mut context: Context, segments: &[&str]) -> ApiResult<Response<Body>> {
    let api = context.api.clone();
    match (context.method.clone(), segments) {
        (Method::GET, []) => respond::json(&api.list_configs(context.query.filters()?).await?),
        (Method::POST, ["create"]) => {
            let body = context.json().await?;
            respond::created(&serde_json::json!({ "ID": api.create_config(body).await? }))
        }
        (Method::GET, [id]) => respond::json(&api.inspect_config(id).await?),
        (Method::POST, [id, "update"]) => {
            let version = version(&context)?;
            let body = context.json().await?;
            api.update_config(id, version, body).await.map(|()| respond::ok())
        }
        (Method::DELETE, [id]) => api.remove_config(id).await.map(|()| respond::no_content()),
        _ => Err(page_not_found()),
    }
}

/// Swarm updates are optimistic: the version that the client has seen is part of the request.
fn version(context: &Context) -> ApiResult<u64> {
    let text = context.query.get("version").unwrap_or_default();
    text.parse().map_err(|_| {
        ApiError::invalid(format!(
            "invalid swarm object version '{text}': strconv.ParseUint: parsing \"{text}\": invalid syntax"
        ))
    })
}
