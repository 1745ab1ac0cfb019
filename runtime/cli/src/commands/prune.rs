//! `prune` of containers, of the build cache and of everything.

use docklab_api::RawRequest;

use crate::{
    commands::{
        image,
        json::{float, strings, value},
    },
    context::{Context, Invocation},
    error::{CliError, CliResult},
    format,
};

fn section(title: &str, names: &[String]) -> String {
    if names.is_empty() { String::new() } else { format!("{title}:\n{}\n\n", names.join("\n")) }
}

pub(crate) async fn prune_containers(context: &Context, call: &Invocation) -> CliResult {
    let question = "WARNING! This will remove all stopped containers.\nAre you sure you want to continue? [y/N] ";
    if !call.flags.is_set("force") && !context.confirm(question).await {
        return Ok(0);
    }
    let answer = value(&context.api.prune_containers(context.prune_filters(call)).await?);
    context.stdout(section("Deleted Containers", &strings(&answer, "/ContainersDeleted"))).await;
    context.line(format!("Total reclaimed space: {}", format::size4(float(&answer, "/SpaceReclaimed")))).await;
    Ok(0)
}

/// `docker system prune`: containers, networks, volumes if asked for, images, build cache.
pub(crate) async fn prune(context: &Context, call: &Invocation) -> CliResult {
    let (all, volumes) = (call.flags.is_set("all"), call.flags.is_set("volumes"));
    let filters = context.prune_filters(call);
    if volumes && !filters.get("until").is_empty() {
        return Err(CliError::new("ERROR: The \"until\" filter is not supported with \"--volumes\""));
    }
    if !call.flags.is_set("force") && !context.confirm(&warning(all, volumes, &call.flags.list("filter"))).await {
        return Ok(0);
    }
    let containers = value(&context.api.prune_containers(filters.clone()).await?);
    let mut reclaimed = float(&containers, "/SpaceReclaimed");
    context.stdout(section("Deleted Containers", &strings(&containers, "/ContainersDeleted"))).await;
    let networks = value(&context.api.prune_networks(filters.clone()).await?);
    context.stdout(section("Deleted Networks", &strings(&networks, "/NetworksDeleted"))).await;
    if volumes {
        let removed = value(&context.api.prune_volumes(filters.clone()).await?);
        reclaimed += float(&removed, "/SpaceReclaimed");
        context.stdout(section("Deleted Volumes", &strings(&removed, "/VolumesDeleted"))).await;
    }
    let images = value(&context.api.prune_images(filters.clone().with("dangling", (!all).to_string())).await?);
    let (text, bytes) = image::pruned(&images);
    reclaimed += bytes;
    context.stdout(text).await;
    let cache = value(&context.api.prune_build_cache(all, filters).await?);
    reclaimed += float(&cache, "/SpaceReclaimed");
    context.stdout(section("Deleted build cache objects", &strings(&cache, "/CachesDeleted"))).await;
    context.line(format!("Total reclaimed space: {}", format::size4(reclaimed))).await;
    Ok(0)
}

fn warning(all: bool, volumes: bool, filters: &[String]) -> String {
    let mut lines = vec!["all stopped containers", "all networks not used by at least one container"];
    if volumes {
        lines.push("all anonymous volumes not used by at least one container");
    }
    if all {
        lines.extend(["all images without at least one container associated to them", "all build cache"]);
    } else {
        lines.extend(["all dangling images", "unused build cache"]);
    }
    let mut text = "WARNING! This will remove:\n".to_owned();
    for line in lines {
        text.push_str(&format!("  - {line}\n"));
    }
    if !filters.is_empty() {
        text.push_str("\n  Items to be pruned will be filtered with:\n");
        for filter in filters {
            text.push_str(&format!("  - {filter}\n"));
        }
    }
    text.push_str("\nAre you sure you want to continue? [y/N] ");
    text
}

/// `docker builder prune`.
pub(crate) async fn builder(context: &Context, call: &Invocation) -> CliResult {
    image::build::notice(context.console.as_ref()).await?;
    let all = call.flags.is_set("all");
    let question = if all {
        "WARNING! This will remove all build cache. Are you sure you want to continue? [y/N] "
    } else {
        "WARNING! This will remove all dangling build cache. Are you sure you want to continue? [y/N] "
    };
    if !call.flags.is_set("force") && !context.confirm(question).await {
        return Ok(0);
    }
    let filters = context.prune_filters(call);
    let mut request = RawRequest::post("/build/prune");
    if all {
        request = request.query("all", "1");
    }
    if let Some(bytes) = call.flags.bytes("keep-storage") {
        request = request.query("keep-storage", bytes.to_string());
    }
    if !filters.is_empty() {
        request = request.query("filters", filters.to_json());
    }
    let answer = match context.raw(request).await {
        Some(answer) => answer?,
        None => value(&context.api.prune_build_cache(all, filters).await?),
    };
    context.stdout(section("Deleted build cache objects", &strings(&answer, "/CachesDeleted"))).await;
    context.line(format!("Total reclaimed space: {}", format::size4(float(&answer, "/SpaceReclaimed")))).await;
    Ok(0)
}
