use bytes::Bytes;
use docklab_api::{BuildImage, Reference};
use futures::StreamExt;

use super::context::pack;
use crate::{
    console::{Console, FileKind, Stream},
    context::{Context, Invocation},
    error::{CliError, CliResult},
    format, grammar,
};

const DEPRECATED: &str = "DEPRECATED: The legacy builder is deprecated and will be removed in a future release.\n            \
Install the buildx component to build images with BuildKit:\n            https://docs.docker.com/go/buildx/\n\n";
const DISABLED: &str = "DEPRECATED: The legacy builder is deprecated and will be removed in a future release.\n            \
BuildKit is currently disabled; enable it by removing the DOCKER_BUILDKIT=0\n            environment-variable.\n\n";

/// What the client says before it so much as looks at the command line of a build.
pub(crate) async fn notice(console: &dyn Console) -> CliResult<()> {
    let notice = match console.variable("DOCKER_BUILDKIT").as_deref() {
        Some("0" | "false") => DISABLED,
        // The newer builder's output has no notice.
        Some("1" | "true") => return Ok(()),
        _ => DEPRECATED,
    };
    console.write(Stream::Stderr, notice.as_bytes()).await;
    Ok(())
}

/// `docker build` with the classic builder.
pub(crate) async fn build(context: &Context, call: &Invocation) -> CliResult {
    let flags = &call.flags;
    let modern = super::modern::is_wanted(context.console.as_ref(), call);
    let progress = if modern { Some(super::modern::progress(context, call)?) } else { None };
    if !modern {
        notice(context.console.as_ref()).await?;
    }
    for (flag, what) in [
        ("secret", "mounts secrets into RUN instructions"),
        ("ssh", "forwards SSH agents into RUN instructions"),
        ("output", "writes a build's result anywhere but into the engine's images"),
    ] {
        if flags.given(flag) {
            return Err(CliError::new(format!(
                "ERROR: --{flag}: this engine's builder is the classic one; only BuildKit {what}"
            )));
        }
    }
    for tag in flags.list("tag") {
        Reference::parse(&tag).map_err(|error| {
            grammar::misused(call, &format!("invalid argument {tag:?} for \"-t, --tag\" flag: {error}"))
        })?;
    }
    let (archive, dockerfile) = archive(context, call).await?;
    let definition = if modern { definition(&archive, &dockerfile) } else { Vec::new() };
    let quiet = flags.is_set("quiet") || modern;
    let sent = archive.len();
    #[allow(clippy::cast_precision_loss)] // a size to show
    let size = format::size4(archive.len() as f64);
    let sending = format!("Sending build context to Docker daemon  {size:>8}");
    if !quiet {
        context.line(&sending).await;
    }
    let pairs = |name: &str| {
        flags
            .list(name)
            .into_iter()
            .map(|text| match text.split_once('=') {
                Some((key, value)) => (key.to_owned(), Some(value.to_owned())),
                None => (text.clone(), context.console.variable(&text)),
            })
            .collect::<std::collections::BTreeMap<_, _>>()
    };
    let options = BuildImage {
        dockerfile: Some(dockerfile),
        tags: flags.list("tag"),
        extra_hosts: flags.list("add-host"),
        quiet: flags.is_set("quiet") && !modern,
        no_cache: flags.is_set("no-cache"),
        cache_from: flags.list("cache-from"),
        pull: flags.is_set("pull"),
        remove: flags.boolean("rm", true),
        force_remove: flags.is_set("force-rm"),
        build_args: pairs("build-arg"),
        labels: pairs("label").into_iter().map(|(key, value)| (key, value.unwrap_or_default())).collect(),
        target: flags.get("target").map(ToOwned::to_owned),
        network_mode: flags.get("network").map(ToOwned::to_owned),
        platform: flags.get("platform").map(ToOwned::to_owned),
        memory: flags.bytes("memory"),
        shm_size: flags.bytes("shm-size"),
        ..BuildImage::default()
    };
    let body = futures::stream::iter([Ok(Bytes::from(archive))]).boxed();
    let messages = match context.api.build_image(options, body).await {
        Ok(messages) => messages,
        Err(error) => {
            // Quiet holds only while nothing goes wrong.
            if quiet && !modern {
                context.error_line(&sending).await;
            }
            if modern {
                let message = error.message.trim_start_matches("dockerfile parse error ").to_owned();
                let prefix = if message == error.message { "" } else { "dockerfile parse error " };
                return Err(CliError::new(format!("ERROR: failed to build: failed to solve: {prefix}{message}")));
            }
            return Err(error.into());
        }
    };
    let mut image = None;
    if let Some(progress) = progress {
        let text = String::from_utf8_lossy(&definition).into_owned();
        let tags = flags.list("tag");
        image = super::modern::show(context, progress, &text, 2, sent, &tags, messages).await?;
    } else {
        crate::progress::show(context, Stream::Stdout, messages, |value| {
            image = value.get("ID").and_then(serde_json::Value::as_str).map(ToOwned::to_owned);
        })
        .await?;
    }
    if let (Some(path), Some(id)) = (flags.get("iidfile"), image) {
        context.console.write_file(path, id.as_bytes(), 0o666).await?;
    }
    Ok(0)
}

/// The Dockerfile's own text, out of the packed context; nothing when it cannot be read there.
fn definition(archive: &[u8], name: &str) -> Vec<u8> {
    use std::io::Read as _;
    let mut archive = tar::Archive::new(archive);
    let Ok(entries) = archive.entries() else { return Vec::new() };
    for mut entry in entries.flatten() {
        if entry.path().is_ok_and(|path| path.to_string_lossy().trim_start_matches("./") == name) {
            let mut text = Vec::new();
            return if entry.read_to_end(&mut text).is_ok() { text } else { Vec::new() };
        }
    }
    Vec::new()
}

/// The context's tar and the Dockerfile's name within it.
async fn archive(context: &Context, call: &Invocation) -> CliResult<(Vec<u8>, String)> {
    let console = context.console.as_ref();
    let place = call.argument(0);
    let named = call.flags.text("file");
    if place == "-" {
        let input = crate::commands::input::read_all(console).await;
        if input.get(257..262) == Some(b"ustar") || input.starts_with(&[0x1f, 0x8b]) {
            return Ok((input, if named.is_empty() { "Dockerfile".to_owned() } else { named.to_owned() }));
        }
        // A bare Dockerfile: a context with nothing else in it.
        let mut builder = tar::Builder::new(Vec::new());
        let mut header = tar::Header::new_gnu();
        header.set_mode(0o600);
        header.set_size(input.len() as u64);
        builder
            .append_data(&mut header, "Dockerfile", input.as_slice())
            .and_then(|()| builder.into_inner())
            .map(|bytes| (bytes, "Dockerfile".to_owned()))
            .map_err(|error| CliError::new(format!("packing the Dockerfile: {error}")))
    } else {
        let root = place.trim_end_matches('/');
        let root = if root.is_empty() { "/" } else { root };
        match console.metadata(root).await {
            Ok(metadata) if metadata.kind != FileKind::File => {}
            Ok(_) => {
                return Err(CliError::new(format!("unable to prepare context: context must be a directory: {root}")));
            }
            Err(_) => return Err(CliError::new(format!("unable to prepare context: path {place:?} not found"))),
        }
        let absolute = if root.starts_with('/') {
            root.to_owned()
        } else if root == "." {
            console.working_directory()
        } else {
            format!("{}/{}", console.working_directory(), root.trim_start_matches("./"))
        };
        let dockerfile = if named.is_empty() {
            "Dockerfile".to_owned()
        } else {
            let path = if named.starts_with('/') {
                named.to_owned()
            } else {
                format!("{}/{}", console.working_directory(), named.trim_start_matches("./"))
            };
            path.strip_prefix(&format!("{absolute}/")).unwrap_or(named).to_owned()
        };
        let path = format!("{absolute}/{dockerfile}");
        if console.metadata(&path).await.is_err() {
            return Err(CliError::new(format!(
                "unable to prepare context: unable to evaluate symlinks in Dockerfile path: lstat {path}: no such file or directory"
            )));
        }
        Ok((pack(console, &absolute, &dockerfile).await?, dockerfile))
    }
}
