use docklab_api::{ApiError, ApiResult, BuildImage, CreateImage, ListImages, PushImage, RemoveImage, wire};
use hyper::{Method, Response, StatusCode};

use super::{
    body::{self, Body},
    page_not_found,
    request::Context,
    respond,
};

pub(super) async fn route(context: Context, segments: &[&str]) -> ApiResult<Response<Body>> {
    let api = context.api.clone();
    let query = &context.query;
    match (context.method.clone(), segments) {
        (Method::GET, ["images", "json"]) => {
            let options = ListImages {
                all: query.flag("all"),
                digests: query.flag("digests"),
                shared_size: query.flag("shared-size"),
                filters: query.filters()?,
            };
            respond::json(&api.list_images(options).await?)
        }
        (Method::POST, ["images", "create"]) => create(context).await,
        (Method::POST, ["images", "load"]) => {
            let quiet = query.flag("quiet");
            let (api, tar) = context.into_stream();
            Ok(respond::progress(api.load_images(quiet, tar).await?))
        }
        (Method::GET, ["images", "get"]) => save(&context, query.all("names")).await,
        (Method::GET, ["images", "search"]) => Err(ApiError::not_implemented(
            "searching Docker Hub is not supported by docklab; pull an image by its name instead",
        )),
        (Method::POST, ["images", "prune"]) => respond::json(&api.prune_images(query.filters()?).await?),
        (Method::GET, ["images", name @ .., "json"]) => {
            let image = api.inspect_image(&name.join("/")).await?;
            respond::json(&wire::image_inspect_json(&image))
        }
        (Method::GET, ["images", name @ .., "history"]) => respond::json(&api.image_history(&name.join("/")).await?),
        (Method::GET, ["images", name @ .., "get"]) => save(&context, vec![name.join("/")]).await,
        (Method::POST, ["images", name @ .., "push"]) => {
            let options =
                PushImage { tag: query.get("tag"), platform: query.get("platform"), auth: context.registry_auth()? };
            Ok(respond::progress(api.push_image(&name.join("/"), options).await?))
        }
        (Method::POST, ["images", name @ .., "tag"]) => {
            let (repo, tag) = (query.get("repo").unwrap_or_default(), query.get("tag").unwrap_or_default());
            api.tag_image(&name.join("/"), &repo, &tag).await?;
            Ok(respond::with_status(StatusCode::CREATED))
        }
        (Method::DELETE, ["images", name @ ..]) => {
            let options = RemoveImage { force: query.flag("force"), noprune: query.flag("noprune") };
            respond::json(&api.remove_image(&name.join("/"), options).await?)
        }
        (Method::GET, ["distribution", name @ .., "json"]) => {
            respond::json(&api.inspect_distribution(&name.join("/"), context.registry_auth()?).await?)
        }
        (Method::POST, ["build", "prune"]) => {
            respond::json(&api.prune_build_cache(query.flag("all"), query.filters()?).await?)
        }
        (Method::POST, ["build"]) => build(context).await,
        _ => Err(page_not_found()),
    }
}

async fn save(context: &Context, names: Vec<String>) -> ApiResult<Response<Body>> {
    let tar = context.api.save_images(names).await?;
    Ok(respond::with_type(StatusCode::OK, "application/x-tar", body::stream(tar)))
}

async fn create(context: Context) -> ApiResult<Response<Body>> {
    let query = &context.query;
    let options = CreateImage {
        from_image: query.get("fromImage"),
        from_src: query.get("fromSrc"),
        repo: query.get("repo"),
        tag: query.get("tag"),
        message: query.get("message"),
        changes: query.all("changes"),
        platform: query.get("platform"),
        auth: context.registry_auth()?,
    };
    let imports_the_body = options.from_src.as_deref() == Some("-");
    let (api, body) = context.into_stream();
    Ok(respond::progress(api.create_image(options, imports_the_body.then_some(body)).await?))
}

async fn build(context: Context) -> ApiResult<Response<Body>> {
    let query = &context.query;
    let options = BuildImage {
        dockerfile: query.get("dockerfile"),
        tags: query.all("t"),
        extra_hosts: query.all("extrahosts"),
        remote: query.get("remote"),
        quiet: query.flag("q"),
        no_cache: query.flag("nocache"),
        cache_from: query.json("cachefrom")?,
        pull: query.flag("pull"),
        remove: query.flag_or("rm", true),
        force_remove: query.flag("forcerm"),
        build_args: query.json("buildargs")?,
        labels: query.json("labels")?,
        target: query.get("target"),
        network_mode: query.get("networkmode"),
        platform: query.get("platform"),
        memory: query.number("memory")?,
        shm_size: query.number("shmsize")?,
        auth: context.registry_config()?,
    };
    let squash = query.flag("squash");
    let (api, tar) = context.into_stream();
    if squash {
        return Err(ApiError::invalid("squash is only supported with experimental mode"));
    }
    Ok(respond::progress(api.build_image(options, tar).await?))
}
