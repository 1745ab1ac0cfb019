//! The classic builder: one step after the other, each an image on top of the one before.

use std::sync::Arc;

use docklab_api::{ApiError, ApiResult, BuildImage, ByteStream, MessageStream, News, ProgressMessage, Reference};
use docklab_host::{Host, UnpackedLayer};

use super::{
    arguments::Arguments,
    cache::Cache,
    ignore::Ignore,
    instruction::{Dockerfile, Instruction, Kind, Stage},
    miss::Files,
    output::Output,
    report::Report,
    source::Source,
};
use crate::{
    Engine, HostResultExt,
    activity::Job,
    image::{ChildImage, Hold, Image, RunConfig, drain, new_tag},
    progress::{self, JobError},
    short_id,
};

const DEFAULT_PATH: &str = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// A build in progress.
pub(super) struct Build {
    pub(super) engine: Engine,
    pub(super) options: BuildImage,
    pub(super) out: Output,
    pub(super) escape: char,
    pub(super) arguments: Arguments,
    pub(super) cache: Cache,
    pub(super) context: Arc<Source>,
    /// Names and images of the finished stages.
    pub(super) stages: Vec<(Option<String>, String)>,
    pub(super) state: State,
    pub(super) report: Report,
    /// Containers of the current step.
    pub(super) containers: Vec<String>,
}

/// The stage that is being built.
#[derive(Default)]
pub(super) struct State {
    /// Empty for `FROM scratch` before its first step.
    pub(super) image: String,
    pub(super) config: RunConfig,
    pub(super) command_set: bool,
    pub(super) author: String,
}

impl Engine {
    /// `POST /build`.
    pub(crate) async fn build(&self, mut options: BuildImage, context: ByteStream) -> ApiResult<MessageStream> {
        let tags = match references(&options.tags) {
            Ok(tags) => tags,
            Err(error) => {
                drain(context).await;
                return Err(error);
            }
        };
        let remote = options.remote.take().filter(|remote| !remote.is_empty());
        let context = match remote {
            Some(remote) => super::remote::context(self, &remote, &mut options).await?,
            None => Source::context(self, context).await?,
        };
        let engine = self.clone();
        progress::run(&self.host, move |progress| async move {
            let out = Output::new(progress, options.quiet);
            let job = engine.activity.begin();
            let result = engine.run_build(options, &tags, context, out.clone(), &job).await;
            job.end(result.as_ref().map(|id| Some(id.clone())).map_err(|failure| failure.error.message.clone()));
            if result.is_err() {
                out.reveal();
            }
            result.map(|_| ())
        })
        .await
    }

    async fn run_build(
        &self,
        options: BuildImage,
        tags: &[Reference],
        mut context: Source,
        out: Output,
        job: &Arc<Job>,
    ) -> Result<String, JobError> {
        let mut file = dockerfile(&*self.host, &options, &mut context).await?;
        if let Some(target) = options.target.as_deref().filter(|target| !target.is_empty()) {
            let index = file
                .stage(target)
                .ok_or_else(|| ApiError::invalid(format!("target stage \"{target}\" could not be found")))?;
            file.stages.truncate(index + 1);
        }
        if let Some(last) = file.stages.last_mut() {
            last.commands.extend(options.labels.iter().map(|(key, value)| Instruction {
                code: format!("LABEL {key}={value}"),
                // Quoted, so that expansion leaves it as it is.
                kind: Kind::Label(vec![(key.clone(), format!("'{}'", value.replace('\'', "'\"'\"'")))]),
                foreign_option: None,
            }));
        }
        let sources = options.cache_from.iter().filter_map(|name| self.images.find(name).ok()).map(|(image, _)| image);
        let mut build = Build {
            cache: Cache::new(options.no_cache, sources.collect()),
            arguments: Arguments::new(options.build_args.clone()),
            engine: self.clone(),
            options,
            out,
            escape: file.escape,
            context: Arc::new(context),
            stages: Vec::new(),
            state: State::default(),
            report: Report::new(Arc::clone(job)),
            containers: Vec::new(),
        };
        job.tell(News::BuildBegan {
            tags: tags.iter().map(Reference::familiar).collect(),
            steps: u32::try_from(file.steps()).unwrap_or(u32::MAX),
        });
        let result = build.all(&file).await;
        let id = result?;
        build.out.text(format!("Successfully built {}\n", short_id(&id)));
        for tag in tags {
            self.tag_reference(&id, tag).await?;
            build.out.text(format!("Successfully tagged {}\n", tag.familiar()));
        }
        build.out.result(&id);
        Ok(id)
    }
}

/// The tags to give, each once.
fn references(tags: &[String]) -> ApiResult<Vec<Reference>> {
    let mut references: Vec<Reference> = Vec::new();
    for tag in tags.iter().filter(|tag| !tag.is_empty()) {
        let parsed = Reference::parse(tag).map_err(|error| ApiError::invalid(error.to_string()))?;
        if parsed.digest.is_some() {
            return Err(ApiError::invalid("build tag cannot contain a digest"));
        }
        let reference = new_tag(&parsed.name(), parsed.tag.as_deref().unwrap_or_default())?;
        if !references.contains(&reference) {
            references.push(reference);
        }
    }
    Ok(references)
}

/// Reads the Dockerfile of a context. When `.dockerignore` excludes it, COPY shall not see it.
async fn dockerfile(host: &dyn Host, options: &BuildImage, context: &mut Source) -> ApiResult<Dockerfile> {
    let named = options.dockerfile.as_deref().filter(|name| !name.is_empty());
    let shown = named.unwrap_or("Dockerfile");
    let mut name = crate::image::cleaned(shown);
    if context.find(&name).is_none() && name == "Dockerfile" {
        name = "dockerfile".to_owned();
    }
    let Some((path, entry)) = context.find(&name) else {
        return Err(ApiError::system(format!("Cannot locate specified Dockerfile: {shown}")));
    };
    if entry.kind == docklab_host::FileKind::Directory || entry.size == 0 {
        return Err(ApiError::invalid(format!("the Dockerfile ({shown}) cannot be empty")));
    }
    let source = context.read(host, entry).await?;
    let file = Dockerfile::parse(shown, &String::from_utf8_lossy(&source))?;
    if let Some((ignore_path, entry)) = context.find(".dockerignore") {
        let text = context.read(host, entry).await?;
        let ignore = Ignore::parse(&String::from_utf8_lossy(&text));
        for path in [path, ignore_path] {
            if ignore.excludes(&path) {
                context.entries.remove(&path);
            }
        }
    }
    Ok(file)
}

impl Build {
    async fn all(&mut self, file: &Dockerfile) -> Result<String, JobError> {
        let total = file.steps();
        for warning in &file.warnings {
            self.out.text(format!("\u{1b}[91m{warning}\u{1b}[0m"));
        }
        for argument in &file.arguments {
            self.step(&argument.code, total);
            if let Kind::Arg(pairs) = self.expand(&argument.kind)? {
                for (key, value) in pairs {
                    self.arguments.declare_global(&key, value);
                }
            }
            self.report.done(None, None);
        }
        for (index, stage) in file.stages.iter().enumerate() {
            if let Some(name) = &stage.name
                && file.stages[..index].iter().any(|other| other.name.as_ref() == Some(name))
            {
                return Err(ApiError::system(format!("{name} stage name already used")).into());
            }
            self.step(&stage.from.code, total);
            let begun = self.begin_stage(stage).await;
            self.reported(begun, None)?;
            self.out.text(format!(" ---> {}\n", short_id(&self.state.image)));
            for command in &stage.commands {
                self.step(&command.code, total);
                let before = self.engine.images.get(&self.state.image);
                let dispatched = self.dispatch(command).await;
                self.reported(dispatched, before)?;
                self.engine.remember_line(&self.state.image, &command.code);
                self.out.text(format!(" ---> {}\n", short_id(&self.state.image)));
            }
            if !self.state.image.is_empty() {
                self.out.send(ProgressMessage::aux(serde_json::json!({ "ID": self.state.image })));
            }
            self.stages.push((stage.name.clone(), self.state.image.clone()));
        }
        let unused = self.arguments.unused();
        if !unused.is_empty() {
            self.out.text(format!("[Warning] One or more build-args [{}] were not consumed\n", unused.join(" ")));
        }
        if self.state.image.is_empty() {
            return Err(ApiError::system("No image was generated. Is your Dockerfile empty?").into());
        }
        Ok(self.state.image.clone())
    }

    fn step(&mut self, code: &str, total: usize) {
        self.report.began(code);
        self.out.text(format!("Step {}/{total} : {code}", self.report.number));
        self.out.text("\n");
    }

    /// Tells watchers how a step ended. A base image counts as there already: FROM makes no layer.
    fn reported(&mut self, outcome: Result<(), JobError>, before: Option<Arc<Image>>) -> Result<(), JobError> {
        let image = self.engine.images.get(&self.state.image);
        match &outcome {
            Ok(()) => self.report.done(before.as_deref().or(image.as_deref()), image.as_deref()),
            Err(failure) => self.report.failed(&failure.error.message),
        }
        outcome
    }

    async fn begin_stage(&mut self, stage: &Stage) -> Result<(), JobError> {
        self.cache.begin_stage();
        let arguments = &self.arguments;
        let name = super::words::expand(&stage.image, self.escape, &|key| arguments.global_value(key))?;
        if name.is_empty() {
            return Err(ApiError::invalid(format!("base name ({}) should not be blank", stage.image)).into());
        }
        self.arguments.begin_stage();
        self.state = State::default();
        if name != "scratch" {
            let id = self.base(&name, stage.platform.as_deref()).await?;
            if let Some(image) = self.engine.images.get(&id) {
                self.state.config = image.file.config.clone().unwrap_or_default();
                self.state.author.clone_from(&image.file.author);
            }
            self.state.image = id;
        }
        let config = &mut self.state.config;
        let environment = config.env.get_or_insert_default();
        if !environment.iter().any(|entry| entry.starts_with("PATH=")) {
            environment.push(DEFAULT_PATH.to_owned());
        }
        config.open_stdin = false;
        config.stdin_once = false;
        config.image.clone_from(&self.state.image);
        let triggers = config.on_build.take().unwrap_or_default();
        if !triggers.is_empty() {
            let plural = if triggers.len() > 1 { "s" } else { "" };
            self.out.text(format!("# Executing {} build trigger{plural}", triggers.len()));
            self.out.text("\n");
            for trigger in triggers {
                let lines = super::lines::split(&trigger)?;
                let [line] = lines.lines.as_slice() else {
                    return Err(ApiError::system("onbuild trigger should be a single expression").into());
                };
                let instruction = super::instruction::parse(line, self.escape)
                    .map_err(super::instruction::ParseError::without_line)?;
                self.dispatch(&instruction).await?;
            }
        }
        Ok(())
    }

    /// The image of a stage, a local image, or one that is pulled.
    pub(super) async fn base(&self, name: &str, platform: Option<&str>) -> Result<String, JobError> {
        if let Some((_, image)) =
            self.stages.iter().find(|(stage, _)| stage.as_deref() == Some(&name.to_ascii_lowercase()))
        {
            return Ok(image.clone());
        }
        if !self.options.pull
            && let Ok((image, _)) = self.engine.images.find(name)
        {
            return Ok(image.id.clone());
        }
        self.pull(name, platform.or(self.options.platform.as_deref())).await?;
        Ok(self.engine.images.find(name)?.0.id.clone())
    }

    async fn pull(&self, name: &str, platform: Option<&str>) -> Result<(), JobError> {
        use docklab_api::ImageApi;
        use futures::TryStreamExt;
        let reference = Reference::parse(name).map_err(|error| ApiError::invalid(error.to_string()))?;
        let reference = reference.with_default_tag();
        let registry = if reference.domain == "docker.io" { "https://index.docker.io/v1/" } else { &reference.domain };
        let options = docklab_api::CreateImage {
            from_image: Some(reference.name()),
            tag: reference.digest.clone().or_else(|| reference.tag.clone()),
            platform: platform.filter(|platform| !platform.is_empty()).map(ToOwned::to_owned),
            auth: self.options.auth.get(registry).cloned(),
            ..docklab_api::CreateImage::default()
        };
        let mut messages = self.engine.create_image(options, None).await?;
        while let Some(message) = messages.try_next().await? {
            if let Some(error) = message.error {
                let code = message.error_detail.map_or(0, |detail| detail.code);
                return Err(JobError { error: ApiError::system(error), code });
            }
            self.out.send(message);
        }
        Ok(())
    }

    /// One instruction; afterwards its containers go, or stay when it failed.
    async fn dispatch(&mut self, instruction: &Instruction) -> Result<(), JobError> {
        let result = match &instruction.foreign_option {
            None => self.execute(&instruction.kind).await,
            Some(name) => Err(ApiError::system(format!(
                "the --{name} option requires BuildKit. Refer to https://docs.docker.com/go/buildkit/ to learn how to build \
                 images with BuildKit enabled"
            ))
            .into()),
        };
        if self.options.force_remove || (self.options.remove && result.is_ok()) {
            self.remove_containers().await?;
        } else {
            self.containers.clear();
        }
        self.state.config.image.clone_from(&self.state.image);
        result
    }

    async fn execute(&mut self, kind: &Kind) -> Result<(), JobError> {
        let kind = self.expand(kind)?;
        match &kind {
            Kind::Run(line) => return self.run(line).await,
            Kind::Copy(arguments) => return self.copy("COPY", arguments).await,
            Kind::Add(arguments) => return self.copy("ADD", arguments).await,
            Kind::Arg(pairs) => {
                let mut text = String::from("ARG");
                for (key, value) in pairs {
                    text.push_str(&format!(" {key}"));
                    if let Some(value) = value {
                        text.push_str(&format!("={value}"));
                    }
                    self.arguments.declare(key, value.clone());
                }
                return self.commit(vec!["#(nop) ".to_owned(), text], false).await;
            }
            Kind::Maintainer(name) => self.state.author.clone_from(name),
            _ => {}
        }
        let text = super::configure::apply(&mut self.state.config, &kind, &mut self.state.command_set)?;
        let Some(text) = text else { return Ok(()) };
        if matches!(kind, Kind::Workdir(_)) {
            return self.commit(vec![format!("#(nop) {text}")], true).await;
        }
        self.commit(vec!["#(nop) ".to_owned(), text], false).await
    }

    /// The configuration of a step's container: this stage's, with `words` behind the shell.
    pub(super) fn step_config(&self, words: Vec<String>) -> RunConfig {
        let command = super::configure::shell(&self.state.config).into_iter().chain(words).collect();
        RunConfig { cmd: Some(command), ..self.state.config.clone() }
    }

    /// True when the step was found; the stage then goes on from there.
    pub(super) async fn cached(&mut self, step: &RunConfig) -> ApiResult<bool> {
        self.cached_files(step, &Files::new()).await
    }

    /// As [`Build::cached`], for a step that reads files.
    pub(super) async fn cached_files(&mut self, step: &RunConfig, files: &Files) -> ApiResult<bool> {
        let now = self.report.now();
        match self.cache.probe(&self.engine, &self.state.image, step, now, files).await? {
            Ok(id) => {
                self.out.text(" ---> Using cache\n");
                self.report.hit();
                self.state.image = id;
                Ok(true)
            }
            Err(why) => {
                self.report.missed(why);
                Ok(false)
            }
        }
    }

    /// A step that changes the configuration only, or makes the working directory.
    async fn commit(&mut self, words: Vec<String>, workdir: bool) -> Result<(), JobError> {
        let step = self.step_config(words);
        if self.cached(&step).await? {
            return Ok(());
        }
        let container = self.create(&step).await?;
        let mut layer = None;
        if workdir {
            let mut plan = self.plan();
            plan.directory(&self.state.config.working_dir).await?;
            layer = self.layer(plan.files()).await?;
        }
        self.add(step, layer, container).await
    }

    pub(super) fn chain(&self) -> Option<String> {
        self.engine.images.get(&self.state.image).and_then(|image| image.chain_id().map(ToOwned::to_owned))
    }

    pub(super) fn plan(&self) -> super::copy::Plan {
        super::copy::Plan::new(&self.engine, self.chain().as_deref())
    }

    /// Puts files on top of the stage's image: DiffID and bytes of the layer.
    pub(super) async fn layer(&self, files: Vec<super::layer::LayerFile>) -> ApiResult<Option<UnpackedLayer>> {
        if files.is_empty() {
            return Ok(None);
        }
        let tar = super::layer::stream(&self.engine.host, files);
        let chain = self.chain();
        let layer = self.engine.host.unpack(chain.as_deref(), docklab_host::Compression::None, tar).await.api()?;
        Ok(Some(layer))
    }

    /// The step's image.
    pub(super) async fn add(
        &mut self,
        step: RunConfig,
        layer: Option<UnpackedLayer>,
        container: String,
    ) -> Result<(), JobError> {
        let hold = Hold::new(&self.engine, layer.iter().map(|layer| layer.chain_id.clone()).collect());
        let layer = layer.map(|layer| (layer.diff_id, layer.size));
        let child = ChildImage {
            parent: Some(self.state.image.clone()),
            layer,
            config: self.state.config.clone(),
            container_config: step,
            container,
            author: self.state.author.clone(),
            comment: String::new(),
        };
        match self.engine.add_child(child).await {
            Ok(id) => {
                hold.keep();
                self.state.image = id;
                Ok(())
            }
            Err(error) => {
                hold.give_up().await?;
                Err(error.into())
            }
        }
    }

    /// Puts the environment and the build arguments into an instruction.
    fn expand(&self, kind: &Kind) -> ApiResult<Kind> {
        let environment = self.state.config.env.clone().unwrap_or_default();
        let allowed = self.arguments.allowed(&environment);
        let lookup = |key: &str| -> Option<String> {
            environment.iter().chain(&allowed).find_map(|entry| {
                entry.split_once('=').filter(|(name, _)| *name == key).map(|(_, value)| value.to_owned())
            })
        };
        kind.expand(self.escape, &lookup)
    }
}
