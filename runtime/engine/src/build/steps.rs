//! The steps that need a container or files: RUN, COPY and ADD.

use std::sync::Arc;

use docklab_api::{
    ApiError, ApiResult, AttachContainer, ContainerApi, CreateContainer, StdStream, WaitCondition,
    models::{ContainerCreateBody, HealthConfig, HostConfig, ImageConfig},
};
use docklab_host::{FileKind, Root};
use futures::TryStreamExt;

use super::{
    copy::{self, Picked, is_pattern},
    instruction::{CommandLine, CopyArguments},
    job::Build,
    output::Decoder,
    source::Source,
};
use crate::{
    Engine, HostResultExt,
    image::{ResolvedImage, RunConfig, cleaned},
    progress::JobError,
    short_id,
};

/// Kills a step's container when the build is given up.
struct KillOnDrop {
    engine: Engine,
    id: Option<String>,
}

impl Drop for KillOnDrop {
    fn drop(&mut self) {
        let Some(id) = self.id.take() else { return };
        let engine = self.engine.clone();
        self.engine.host.spawn(Box::pin(async move {
            if let Ok(container) = engine.container(&id)
                && let Err(error) = engine.remove(&container, true, true).await
            {
                tracing::warn!(container = id, %error, "a cancelled build's container stays");
            }
        }));
    }
}

impl Build {
    /// Creates a step's container and says so.
    pub(super) async fn create(&mut self, config: &RunConfig) -> ApiResult<String> {
        let mut body: ContainerCreateBody = config.to_model()?;
        body.image = Some(self.state.image.clone());
        body.host_config = Some(HostConfig {
            network_mode: self.options.network_mode.clone(),
            extra_hosts: Some(self.options.extra_hosts.clone()).filter(|hosts| !hosts.is_empty()),
            memory: self.options.memory,
            shm_size: self.options.shm_size,
            ..HostConfig::default()
        });
        let images = &self.engine.images;
        let options = CreateContainer::default();
        let created = self
            .engine
            .create_from(options, body, |name| match name {
                "" => Ok(ResolvedImage {
                    id: String::new(),
                    chain_id: None,
                    config: ImageConfig::default(),
                    os: "linux".to_owned(),
                    familiar: String::new(),
                }),
                name => images.resolve(name),
            })
            .await?;
        for warning in &created.warnings {
            self.out.text(format!(" ---> [Warning] {warning}\n"));
        }
        self.containers.push(created.id.clone());
        self.out.text(format!(" ---> Running in {}\n", short_id(&created.id)));
        Ok(created.id)
    }

    pub(super) async fn remove_containers(&mut self) -> ApiResult<()> {
        for id in std::mem::take(&mut self.containers) {
            let container = self.engine.container(&id)?;
            self.engine.remove(&container, true, true).await?;
            self.out.text(format!(" ---> Removed intermediate container {}\n", short_id(&id)));
        }
        Ok(())
    }

    pub(super) async fn run(&mut self, line: &CommandLine) -> Result<(), JobError> {
        let command = super::configure::command_words(&self.state.config, line);
        let environment = self.state.config.env.clone().unwrap_or_default();
        let allowed = self.arguments.allowed(&environment);
        let keyed: Vec<String> = allowed.iter().filter(|entry| self.arguments.in_cache_key(entry)).cloned().collect();
        let mut words = command.clone();
        if !keyed.is_empty() {
            words = [vec![format!("|{}", keyed.len())], keyed, words].concat();
        }
        let step = RunConfig { cmd: Some(words), entrypoint: None, ..self.state.config.clone() };
        if self.cached(&step).await? {
            return Ok(());
        }
        let process = RunConfig {
            cmd: Some(command.clone()),
            env: Some([environment, allowed].concat()),
            entrypoint: Some(vec![String::new()]),
            healthcheck: Some(HealthConfig { test: Some(vec!["NONE".to_owned()]), ..HealthConfig::default() }),
            ..self.state.config.clone()
        };
        let id = self.create(&process).await?;
        let code = self.follow(&id).await?;
        if code != 0 {
            let message = format!("The command '{}' returned a non-zero code: {code}", command.join(" "));
            return Err(JobError { error: ApiError::system(message), code });
        }
        let layer = self.engine.host.commit(&id).await.api()?;
        self.add(step, layer, id).await
    }

    /// Runs a container to its end with its output in the build's stream; the result is its exit code.
    async fn follow(&self, id: &str) -> ApiResult<i64> {
        let mut guard = KillOnDrop { engine: self.engine.clone(), id: Some(id.to_owned()) };
        let options = AttachContainer { stream: true, stdout: true, stderr: true, ..AttachContainer::default() };
        let mut attached = self.engine.attach_container(id, options).await?;
        let ended = self.engine.wait_container(id, WaitCondition::NextExit).await?;
        if let Err(error) = self.engine.start_container(id).await {
            guard.id = None;
            return Err(error);
        }
        let (mut stdout, mut stderr) = (Decoder::default(), Decoder::default());
        while let Some(chunk) = attached.output.try_next().await? {
            if chunk.stream == StdStream::Stderr {
                self.out.text(format!("\u{1b}[91m{}\u{1b}[0m", stderr.decode(&chunk.bytes)));
            } else {
                self.out.text(stdout.decode(&chunk.bytes));
            }
        }
        let ended = ended.await?;
        guard.id = None;
        Ok(ended.status_code)
    }

    pub(super) async fn copy(&mut self, name: &str, arguments: &CopyArguments) -> Result<(), JobError> {
        let failed = |error: ApiError| ApiError::new(error.status, format!("{name} failed: {}", error.message));
        let picked = self.pick_all(name, arguments).await?;
        let count = picked.len() + arguments.heredocs.len();
        if count == 0 {
            return Err(failed(ApiError::system("no source files were specified")).into());
        }
        if count > 1 && !arguments.destination.ends_with('/') {
            let text = format!(
                "When using {name} with more than one source file, the destination must be a directory and end with a /"
            );
            return Err(ApiError::system(text).into());
        }
        let mut hash = copy::hash(&picked);
        if !arguments.heredocs.is_empty() {
            let texts = arguments.heredocs.iter().map(|heredoc| format!("{}\n{}", heredoc.name, heredoc.content));
            hash = super::source::hash_of(
                "multi",
                &picked.iter().map(|one| one.hash.clone()).chain(texts).collect::<Vec<_>>(),
            );
        }
        let option =
            |key: &str, value: &str| if value.is_empty() { String::new() } else { format!("--{key}={value} ") };
        let comment = format!(
            "#(nop) {name} {}{}{hash} in {} ",
            option("chown", &arguments.chown),
            option("chmod", &arguments.chmod),
            arguments.destination
        );
        let step = self.step_config(vec![comment]);
        let files = copy::files(&picked);
        self.engine.remember_files(&hash, &files);
        if self.cached_files(&step, &files).await? {
            return Ok(());
        }
        let mut plan = self.plan();
        if !arguments.chown.is_empty() {
            plan.owner = Some(copy::owner(&*self.engine.host, self.chain().as_deref(), &arguments.chown).await?);
        } else if arguments.from.is_none() {
            plan.owner = Some((0, 0));
        }
        if !arguments.chmod.is_empty() {
            let mode = u32::from_str_radix(&arguments.chmod, 8).ok().filter(|mode| *mode <= 0o7777);
            plan.mode = Some(mode.ok_or_else(|| {
                ApiError::invalid(format!(
                    "invalid chmod parameter: '{}'. it should be octal string and between 0 and 07777",
                    arguments.chmod
                ))
            })?);
        }
        let destination = absolute(&self.state.config.working_dir, &arguments.destination);
        let copying = |error: ApiError| ApiError::new(error.status, format!("failed to copy files: {}", error.message));
        for one in &picked {
            plan.copy(one, &destination).await.map_err(copying)?;
        }
        for heredoc in &arguments.heredocs {
            let content = heredoc.content.clone().into_bytes();
            plan.write(&destination, &heredoc.name, 0o644, content).await.map_err(copying)?;
        }
        let layer = self.layer(plan.files()).await?;
        self.add(step, layer, String::new()).await
    }

    async fn pick_all(&mut self, name: &str, arguments: &CopyArguments) -> Result<Vec<Picked>, JobError> {
        let failed = |error: ApiError| ApiError::new(error.status, format!("{name} failed: {}", error.message));
        let mut picked = Vec::new();
        let from = match &arguments.from {
            None => None,
            Some(from) => Some(self.source_image(from).await?),
        };
        for written in &arguments.sources {
            if name == "ADD" && (written.starts_with("http://") || written.starts_with("https://")) {
                picked.push(
                    self.download(written, &arguments.destination, arguments.checksum.as_deref())
                        .await
                        .map_err(failed)?,
                );
            } else if let Some(chain) = &from {
                let source = self.image_files(chain.as_deref(), written).await.map_err(failed)?;
                picked.extend(copy::pick(&source, written, false, false).map_err(failed)?);
            } else {
                picked.extend(copy::pick(&self.context, written, name == "ADD", true).map_err(failed)?);
            }
        }
        Ok(picked)
    }

    /// The layers that `--from` means: a stage by number or name, or an image.
    async fn source_image(&self, from: &str) -> Result<Option<String>, JobError> {
        let wrong = |failure: JobError| JobError {
            error: ApiError::new(
                failure.error.status,
                format!("invalid from flag value {from}: {}", failure.error.message),
            ),
            code: failure.code,
        };
        let named = self.stages.iter().any(|(name, _)| name.as_deref() == Some(&from.to_ascii_lowercase()));
        let id = match from.parse::<usize>() {
            Ok(index) if !named => match self.stages.get(index) {
                Some((_, image)) => image.clone(),
                None => {
                    let current = index == self.stages.len();
                    let reason = if current { "refers to current build stage" } else { "index out of bounds" };
                    return Err(wrong(ApiError::invalid(reason).into()));
                }
            },
            _ => self.base(from, None).await.map_err(wrong)?,
        };
        Ok(self.engine.images.get(&id).and_then(|image| image.chain_id().map(ToOwned::to_owned)))
    }

    /// The part of an image that `written` may name, links followed.
    async fn image_files(&mut self, chain: Option<&str>, written: &str) -> ApiResult<Arc<Source>> {
        let host = &self.engine.host;
        let root = Root::Layers(chain.map(ToOwned::to_owned));
        let mut path = cleaned(written);
        while is_pattern(&path) {
            path = path.rsplit_once('/').map_or_else(String::new, |(parent, _)| parent.to_owned());
        }
        let mut real = path.clone();
        for _ in 0..40 {
            match host.stat(&root, &format!("/{real}")).await.api()? {
                None => {
                    return Err(ApiError::system(format!("stat {}: file does not exist", cleaned(written))));
                }
                Some(stat) if stat.kind == FileKind::Symlink => {
                    let base = stat.path.rsplit_once('/').map_or("", |(base, _)| base);
                    real = if stat.link_target.starts_with('/') {
                        cleaned(&stat.link_target)
                    } else {
                        cleaned(&format!("{base}/{}", stat.link_target))
                    };
                }
                Some(stat) => {
                    real = cleaned(&stat.path);
                    break;
                }
            }
        }
        let parent = real.rsplit_once('/').map_or("", |(parent, _)| parent);
        let tar = host.archive(&root, &format!("/{real}")).await.api()?;
        let mut source = Source::stage(&self.engine, tar, Some(parent)).await?;
        if real != path {
            // The name that was written leads to what was found.
            let found = source.entries.get(&real).cloned();
            if let Some(mut link) = found {
                link.kind = FileKind::Symlink;
                link.link = format!("/{real}");
                source.entries.insert(path, link);
            }
        }
        Ok(Arc::new(source))
    }

    /// A file from the network, as a source of one file.
    async fn download(&mut self, url: &str, destination: &str, checksum: Option<&str>) -> ApiResult<Picked> {
        let path = url.split(['?', '#']).next().unwrap_or(url);
        let path = path.split_once("://").map_or(path, |(_, rest)| rest);
        let name = path.split_once('/').map_or("", |(_, path)| path).rsplit('/').next().unwrap_or_default();
        if name.is_empty() && destination.ends_with('/') {
            return Err(ApiError::invalid(format!("cannot determine filename from url: {url}")));
        }
        let response = self.engine.fetch(url).await?;
        // A file without a date is as old as can be, so that it is the same whenever it is downloaded.
        let changed = response.headers.iter().find(|(key, _)| key == "last-modified").and_then(|(_, date)| {
            let zoned = jiff::fmt::rfc2822::DateTimeParser::new().parse_zoned(date).ok()?;
            u64::try_from(zoned.timestamp().as_second()).ok()
        });
        let blob = self.engine.images.staged.write(&self.engine.host, response.body).await.api()?;
        if let Some(wanted) = checksum.filter(|wanted| *wanted != blob.digest()) {
            return Err(ApiError::system(format!("digest mismatch {}: {wanted}", blob.digest())));
        }
        let name = if name.is_empty() { "file" } else { name };
        let source = Arc::new(Source::of_blob(blob, name, changed.unwrap_or(0)));
        copy::pick(&source, name, false, true)?
            .pop()
            .ok_or_else(|| ApiError::system(format!("nothing was downloaded from {url}")))
    }
}

/// A destination from the root; a slash at its end stays.
fn absolute(working_directory: &str, destination: &str) -> String {
    if destination.starts_with('/') {
        return destination.to_owned();
    }
    let slash = if destination.ends_with('/') { "/" } else { "" };
    format!("/{}{slash}", cleaned(&format!("{working_directory}/{destination}")))
}
