use base64::Engine as _;
use bytes::Bytes;
use docklab_api::{
    ApiError, ApiResult, AttachContainer, CommitContainer, CreateContainer, ListContainers, Logs, PathStat,
    RemoveContainer, StopContainer, WaitCondition,
    models::{ContainerConfig, ContainerCreateBody, ContainerUpdateBody},
    wire,
};
use futures::{FutureExt as _, StreamExt as _, stream};
use hyper::{Method, Response, StatusCode, header::HeaderValue};

use super::{
    body::{self, Body},
    hijack, page_not_found,
    request::Context,
    respond, websocket,
};

pub(super) async fn route(mut context: Context, segments: &[&str]) -> ApiResult<Response<Body>> {
    let api = context.api.clone();
    let query = &context.query;
    match (context.method.clone(), segments) {
        (Method::GET, ["json"]) => {
            let options = ListContainers {
                all: query.flag("all"),
                limit: query.number("limit")?,
                size: query.flag("size"),
                filters: query.filters()?,
            };
            let list = api.list_containers(options).await?;
            respond::json(&list.iter().map(wire::container_summary_json).collect::<Vec<_>>())
        }
        (Method::POST, ["create"]) => {
            let options = CreateContainer { name: query.get("name"), platform: query.get("platform") };
            let body = context.json::<ContainerCreateBody>().await?;
            respond::created(&api.create_container(options, body).await?)
        }
        (Method::POST, ["prune"]) => respond::json(&api.prune_containers(query.filters()?).await?),
        (Method::GET, [id, "json"]) => {
            let container = api.inspect_container(id, query.flag("size")).await?;
            respond::json(&wire::container_inspect_json(&container))
        }
        (Method::POST, [id, "start"]) => Ok(respond::state_change(api.start_container(id).await?)),
        (Method::POST, [id, "stop"]) => Ok(respond::state_change(api.stop_container(id, stop(&context)?).await?)),
        (Method::POST, [id, "restart"]) => {
            api.restart_container(id, stop(&context)?).await?;
            Ok(respond::no_content())
        }
        (Method::POST, [id, "kill"]) => {
            api.kill_container(id, query.get("signal")).await?;
            Ok(respond::no_content())
        }
        (Method::POST, [id, "pause"]) => api.pause_container(id).await.map(|()| respond::no_content()),
        (Method::POST, [id, "unpause"]) => api.unpause_container(id).await.map(|()| respond::no_content()),
        (Method::POST, [id, "rename"]) => {
            let name = query.get("name").unwrap_or_default();
            api.rename_container(id, &name).await.map(|()| respond::no_content())
        }
        (Method::POST, [id, "update"]) => {
            let body = context.json_or_default::<ContainerUpdateBody>().await?;
            let warnings = api.update_container(id, body).await?.warnings.filter(|warnings| !warnings.is_empty());
            respond::json(&serde_json::json!({ "Warnings": warnings }))
        }
        (Method::POST, [id, "wait"]) => wait(&context, id).await,
        (Method::POST, [id, "attach"]) => match api.attach_container(id, attach(&context)).await {
            Ok(attached) => Ok(hijack::answer(context.request, context.version, attached)),
            Err(error) => Ok(respond::stream_error(&error)),
        },
        (Method::GET, [id, "attach", "ws"]) => {
            let options = attach(&context);
            // Errors come before the handshake, as those of any request.
            let attached = api.attach_container(id, AttachContainer { stream: true, ..options }).await?;
            websocket::answer(context.request, attached)
        }
        (_, [id, "checkpoints", ..]) if !id.is_empty() => Err(ApiError::not_implemented(
            "This experimental feature is disabled by default. Start the Docker daemon in experimental mode in order to \
             enable it.",
        )),
        (Method::POST, [id, "resize"]) => {
            let (rows, columns) = size(&context)?;
            api.resize_container(id, rows, columns).await.map(|()| respond::ok())
        }
        (Method::POST, [id, "exec"]) => {
            let config = context.json_or_default().await?;
            let id = api.create_exec(id, config).await?;
            respond::created(&serde_json::json!({ "Id": id }))
        }
        (Method::GET, [id, "logs"]) => logs(&context, id).await,
        (Method::GET, [id, "changes"]) => {
            let changes = api.container_changes(id).await?;
            if changes.is_empty() { respond::json(&serde_json::Value::Null) } else { respond::json(&changes) }
        }
        (Method::GET, [id, "top"]) => {
            respond::json(&api.top_container(id, &query.get("ps_args").unwrap_or_default()).await?)
        }
        (Method::GET, [id, "stats"]) => {
            let stream = query.flag_or("stream", true);
            let one_shot = query.flag("one-shot");
            if stream && one_shot {
                return Err(ApiError::invalid("cannot have stream=true and one-shot=true"));
            }
            Ok(respond::json_lines(api.container_stats(id, stream, one_shot).await?, "\n"))
        }
        (Method::GET, [id, "export"]) => {
            let tar = api.export_container(id).await?;
            Ok(respond::with_type(StatusCode::OK, "application/octet-stream", body::stream(tar)))
        }
        (Method::HEAD, [id, "archive"]) => {
            let stat = api.container_path_stat(id, &path(&context)?).await?;
            path_stat(respond::ok(), &stat)
        }
        (Method::GET, [id, "archive"]) => {
            let (stat, tar) = api.download_from_container(id, &path(&context)?).await?;
            path_stat(respond::with_type(StatusCode::OK, "application/x-tar", body::stream(tar)), &stat)
        }
        (Method::PUT, [id, "archive"]) => {
            let path = path(&context)?;
            let keep_kind = query.flag("noOverwriteDirNonDir");
            let (api, tar) = context.into_stream();
            api.upload_to_container(id, &path, keep_kind, tar).await.map(|()| respond::ok())
        }
        // A link's name has two parts.
        (Method::GET, [parent, alias, "json"]) => {
            let container = api.inspect_container(&format!("{parent}/{alias}"), query.flag("size")).await?;
            respond::json(&wire::container_inspect_json(&container))
        }
        (Method::DELETE, name @ ([_] | [_, _])) => {
            let options =
                RemoveContainer { force: query.flag("force"), volumes: query.flag("v"), link: query.flag("link") };
            api.remove_container(&name.join("/"), options).await.map(|()| respond::no_content())
        }
        _ => Err(page_not_found()),
    }
}

pub(super) async fn commit(mut context: Context) -> ApiResult<Response<Body>> {
    if context.method != Method::POST {
        return Err(page_not_found());
    }
    let query = &context.query;
    let options = CommitContainer {
        container: query.get("container").unwrap_or_default(),
        repo: query.get("repo"),
        tag: query.get("tag"),
        comment: query.get("comment"),
        author: query.get("author"),
        pause: query.flag_or("pause", true),
        changes: query.all("changes").iter().flat_map(|changes| changes.lines()).map(ToOwned::to_owned).collect(),
    };
    let config = context.json_or_default::<Option<ContainerConfig>>().await?;
    let id = context.api.commit_container(options, config).await?;
    respond::created(&serde_json::json!({ "Id": id }))
}

fn stop(context: &Context) -> ApiResult<StopContainer> {
    Ok(StopContainer { signal: context.query.get("signal"), timeout: context.query.number("t")? })
}

fn path(context: &Context) -> ApiResult<String> {
    context.query.get("path").ok_or_else(|| ApiError::invalid("bad parameter: pathcannot be empty"))
}

pub(super) fn size(context: &Context) -> ApiResult<(u16, u16)> {
    let side = |key: &str, name: &str| {
        let text = context.query.get(key).unwrap_or_default();
        text.parse::<u32>()
            .map(|side| u16::try_from(side).unwrap_or(u16::MAX))
            .map_err(|_| ApiError::invalid(format!("invalid resize {name} \"{text}\": invalid syntax")))
    };
    Ok((side("h", "height")?, side("w", "width")?))
}

fn attach(context: &Context) -> AttachContainer {
    let query = &context.query;
    AttachContainer {
        stream: query.flag("stream"),
        logs: query.flag("logs"),
        stdin: query.flag("stdin"),
        stdout: query.flag("stdout"),
        stderr: query.flag("stderr"),
        detach_keys: query.get("detachKeys"),
    }
}

fn path_stat(mut response: Response<Body>, stat: &PathStat) -> ApiResult<Response<Body>> {
    let json = serde_json::to_vec(stat).map_err(|error| ApiError::system(format!("encoding the answer: {error}")))?;
    let text = base64::engine::general_purpose::STANDARD.encode(json);
    if let Ok(value) = HeaderValue::from_str(&text) {
        response.headers_mut().insert("X-Docker-Container-Path-Stat", value);
    }
    Ok(response)
}

/// The headers go out at once: clients start the container only after they have them.
async fn wait(context: &Context, id: &str) -> ApiResult<Response<Body>> {
    let condition = match context.query.get("condition").as_deref() {
        None | Some("not-running") => WaitCondition::NotRunning,
        Some("next-exit") => WaitCondition::NextExit,
        Some("removed") => WaitCondition::Removed,
        Some(other) => return Err(ApiError::invalid(format!("invalid condition: \"{other}\""))),
    };
    let exit = context.api.wait_container(id, condition).await?;
    let body = exit.map(|exit| {
        let text = match exit {
            Ok(exit) => serde_json::to_string(&exit),
            Err(error) => serde_json::to_string(&serde_json::json!({
                "StatusCode": 125, "Error": { "Message": error.message }
            })),
        };
        text.map(|text| Bytes::from(text + "\n")).map_err(|error| ApiError::system(error.to_string()))
    });
    Ok(respond::with_type(StatusCode::OK, "application/json", body::stream(stream::once(body))))
}

pub(super) fn log_options(context: &Context) -> ApiResult<Logs> {
    let query = &context.query;
    let options = Logs {
        stdout: query.flag("stdout"),
        stderr: query.flag("stderr"),
        follow: query.flag("follow"),
        timestamps: query.flag("timestamps"),
        details: query.flag("details"),
        since: query.get("since"),
        until: query.get("until"),
        tail: query.get("tail"),
    };
    if !options.stdout && !options.stderr {
        return Err(ApiError::invalid("Bad parameters: you must choose at least one stream"));
    }
    Ok(options)
}

async fn logs(context: &Context, id: &str) -> ApiResult<Response<Body>> {
    let options = log_options(context)?;
    let tty = context.api.inspect_container(id, false).await?.config.and_then(|config| config.tty).unwrap_or(false);
    let output = context.api.container_logs(id, options).await?;
    Ok(output_body(output, tty, context))
}

pub(super) fn output_body(output: docklab_api::OutputStream, tty: bool, context: &Context) -> Response<Body> {
    let bytes = output.map(move |chunk| chunk.map(|chunk| if tty { chunk.bytes } else { wire::encode_frame(&chunk) }));
    respond::with_type(StatusCode::OK, hijack::content_type(tty, context.version), body::stream(bytes))
}
