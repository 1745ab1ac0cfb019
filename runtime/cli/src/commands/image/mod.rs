//! `docker image …`.

pub(crate) mod archive;
pub(crate) mod build;
pub(crate) mod context;
pub(crate) mod ignore;
pub(crate) mod list;
pub(crate) mod modern;
pub(crate) mod search;
pub(crate) mod tree;

use docklab_api::{
    ApiError, CommitContainer, CreateImage, MessageStream, PushImage, RawRequest, Reference, RemoveImage,
    models::AuthConfig,
};
use futures::StreamExt;
use serde_json::Value;

use crate::{
    commands::{
        joined,
        json::{float, list as items, text, value},
    },
    console::Stream,
    context::{Context, Invocation},
    error::{CliError, CliResult, daemon_message},
    format,
};

/// Credentials of a registry from the client's configuration file, or from the helper it names.
pub(crate) async fn credentials(context: &Context, domain: &str) -> Option<AuthConfig> {
    let key = if domain == "docker.io" { "https://index.docker.io/v1/" } else { domain };
    super::credentials::get(context, key).await
}

/// Reads a progress stream for its error alone.
pub(crate) async fn drain(mut messages: MessageStream) -> CliResult<()> {
    while let Some(message) = messages.next().await {
        if let Some(error) = message?.error {
            return Err(CliError::new(error));
        }
    }
    Ok(())
}

pub(crate) async fn pull(context: &Context, call: &Invocation) -> CliResult {
    let given = Reference::parse(call.argument(0))?;
    let quiet = call.flags.is_set("quiet");
    let all = call.flags.is_set("all-tags");
    if all && (given.tag.is_some() || given.digest.is_some()) {
        return Err(CliError::new("tag can't be used with --all-tags/-a"));
    }
    let reference = if all { given.clone() } else { given.clone().with_default_tag() };
    if !all && !quiet && given.tag.is_none() && given.digest.is_none() {
        context.line("Using default tag: latest").await;
    }
    let options = CreateImage {
        from_image: Some(reference.name()),
        tag: reference.digest.clone().or_else(|| reference.tag.clone()),
        platform: call.flags.get("platform").map(ToOwned::to_owned),
        auth: credentials(context, &reference.domain).await,
        ..CreateImage::default()
    };
    let messages = context.api.create_image(options, None).await?;
    if quiet {
        drain(messages).await?;
    } else {
        crate::progress::show(context, Stream::Stdout, messages, |_| {}).await?;
    }
    context.line(reference.to_string()).await;
    Ok(0)
}

pub(crate) async fn push(context: &Context, call: &Invocation) -> CliResult {
    let given = Reference::parse(call.argument(0))?;
    let quiet = call.flags.is_set("quiet");
    let all = call.flags.is_set("all-tags");
    let platform = call.flags.get("platform").filter(|platform| !platform.is_empty());
    let platform = platform.map(super::platform_json).transpose()?;
    if platform.is_some() {
        context.line(PLATFORM_NOTE).await;
    }
    if all && given.tag.is_some() {
        return Err(CliError::new("tag can't be used with --all-tags/-a"));
    }
    let reference = if all { given.clone() } else { given.clone().with_default_tag() };
    if !all && given.tag.is_none() && !quiet {
        context.line("Using default tag: latest").await;
    }
    let auth = credentials(context, &reference.domain).await;
    let options = PushImage { tag: reference.tag.clone(), platform, auth };
    let messages = context.api.push_image(&reference.name(), options).await?;
    if quiet {
        drain(messages).await?;
        context.line(reference.to_string()).await;
    } else {
        crate::progress::show(context, Stream::Stdout, messages, |_| {}).await?;
    }
    Ok(0)
}

const PLATFORM_NOTE: &str = "\n Info -> Using --platform pushes only the specified platform manifest of a \
                             multi-platform image index.\n         Other components, like attestations, will not be \
                             included.\n         To push the complete multi-platform image, remove the --platform \
                             flag.\n         ";

pub(crate) async fn tag(context: &Context, call: &Invocation) -> CliResult {
    let target = Reference::parse(call.argument(1))
        .map_err(|error| {
            CliError::new(format!(
                "Error parsing reference: {:?} is not a valid repository/tag: {error}",
                call.argument(1)
            ))
        })?
        .with_default_tag();
    context.api.tag_image(call.argument(0), &target.name(), target.tag.as_deref().unwrap_or("latest")).await?;
    Ok(0)
}

pub(crate) async fn remove(context: &Context, call: &Invocation) -> CliResult {
    let platforms: Vec<String> =
        call.flags.list("platform").iter().map(|text| super::platform_json(text)).collect::<CliResult<_>>()?;
    let options = RemoveImage { force: call.flags.is_set("force"), noprune: call.flags.is_set("no-prune") };
    let mut failures = Vec::new();
    let mut fatal = false;
    for name in &call.arguments {
        match delete(context, name, options, &platforms).await {
            Ok(deleted) => {
                for item in items(&deleted, "") {
                    let untagged = text(item, "/Untagged");
                    if untagged.is_empty() {
                        context.line(format!("Deleted: {}", text(item, "/Deleted"))).await;
                    } else {
                        context.line(format!("Untagged: {untagged}")).await;
                    }
                }
            }
            Err(error) => {
                fatal |= !error.is_not_found();
                failures.push(daemon_message(&error));
            }
        }
    }
    if options.force && !fatal && !failures.is_empty() {
        context.error_line(failures.join("\n")).await;
        return Ok(0);
    }
    joined(failures)
}

async fn delete(
    context: &Context,
    name: &str,
    options: RemoveImage,
    platforms: &[String],
) -> docklab_api::ApiResult<Value> {
    if platforms.is_empty() {
        return Ok(context.api.remove_image(name, options).await?.iter().map(value).collect());
    }
    let mut request = RawRequest { method: "DELETE", path: format!("/images/{name}"), ..RawRequest::default() };
    for (key, set) in [("force", options.force), ("noprune", options.noprune)] {
        if set {
            request = request.query(key, "1");
        }
    }
    for platform in platforms {
        request = request.query("platforms", platform);
    }
    match context.raw(request).await {
        Some(answer) => answer,
        None => Err(ApiError::invalid("this engine keeps an image for one platform; remove it without --platform")),
    }
}

pub(crate) async fn prune(context: &Context, call: &Invocation) -> CliResult {
    let all = call.flags.is_set("all");
    let warning = if all {
        "WARNING! This will remove all images without at least one container associated to them."
    } else {
        "WARNING! This will remove all dangling images."
    };
    if !call.flags.is_set("force")
        && !context.confirm(&format!("{warning}\nAre you sure you want to continue? [y/N] ")).await
    {
        return Ok(0);
    }
    let answer =
        value(&context.api.prune_images(context.prune_filters(call).with("dangling", (!all).to_string())).await?);
    let (listing, reclaimed) = pruned(&answer);
    context.stdout(listing).await;
    context.line(format!("Total reclaimed space: {}", format::size4(reclaimed))).await;
    Ok(0)
}

/// The section of deleted images, and the bytes they took.
pub(crate) fn pruned(answer: &Value) -> (String, f64) {
    let mut section = String::new();
    for item in items(answer, "/ImagesDeleted") {
        let untagged = text(item, "/Untagged");
        section.push_str(&if untagged.is_empty() {
            format!("deleted: {}\n", text(item, "/Deleted"))
        } else {
            format!("untagged: {untagged}\n")
        });
    }
    if !section.is_empty() {
        section = format!("Deleted Images:\n{section}\n");
    }
    (section, float(answer, "/SpaceReclaimed"))
}

pub(crate) async fn commit(context: &Context, call: &Invocation) -> CliResult {
    let flags = &call.flags;
    let reference = match call.arguments.get(1) {
        Some(name) => Some(Reference::parse(name)?.with_default_tag()),
        None => None,
    };
    let options = CommitContainer {
        container: call.argument(0).to_owned(),
        repo: reference.as_ref().map(Reference::name),
        tag: reference.and_then(|reference| reference.tag),
        comment: flags.get("message").map(ToOwned::to_owned),
        author: flags.get("author").map(ToOwned::to_owned),
        pause: flags.boolean("pause", true),
        changes: flags.list("change"),
    };
    context.line(context.api.commit_container(options, None).await?).await;
    Ok(0)
}
