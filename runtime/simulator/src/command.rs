use std::sync::Arc;

use async_trait::async_trait;
use docklab_api::{DockerApi, Filters, ListContainers, ListImages, ListServices};
use docklab_cli::{Completion, complete};
use docklab_sim::{Closed, Context, ExternalCommand, World};

use crate::console::SimulatedConsole;

/// `docker` in a node's shell.
pub(crate) struct DockerCommand {
    world: World,
    engine: Arc<dyn DockerApi>,
}

impl DockerCommand {
    pub(crate) fn new(world: World, engine: Arc<dyn DockerApi>) -> Self {
        Self { world, engine }
    }

    /// Names of the objects that a word may stand for.
    async fn names(&self, kind: Completion) -> Vec<String> {
        let engine = &self.engine;
        match kind {
            Completion::Words(words) => words,
            Completion::Containers => {
                let options = ListContainers { all: true, ..ListContainers::default() };
                let list = engine.list_containers(options).await.unwrap_or_default();
                let names = list.into_iter().filter_map(|container| container.names).flatten();
                names.map(|name| name.trim_start_matches('/').to_owned()).collect()
            }
            Completion::Images => {
                let list = engine.list_images(ListImages::default()).await.unwrap_or_default();
                list.into_iter().flat_map(|image| image.repo_tags).collect()
            }
            Completion::Networks => {
                let list = engine.list_networks(Filters::new()).await.unwrap_or_default();
                list.into_iter().filter_map(|network| network.name).collect()
            }
            Completion::Volumes => {
                let list = engine.list_volumes(Filters::new()).await.ok().and_then(|list| list.volumes);
                list.unwrap_or_default().into_iter().map(|volume| volume.name).collect()
            }
            Completion::Nodes => {
                let list = engine.list_nodes(Filters::new()).await.unwrap_or_default();
                list.into_iter().filter_map(|node| node.description?.hostname).collect()
            }
            Completion::Services => {
                let list = engine.list_services(ListServices::default()).await.unwrap_or_default();
                list.into_iter().filter_map(|service| service.spec?.name).collect()
            }
            // The shell completes paths itself.
            Completion::Stacks | Completion::Secrets | Completion::Configs | Completion::Files => Vec::new(),
        }
    }
}

#[async_trait]
impl ExternalCommand for DockerCommand {
    async fn run(&self, context: Context) -> Result<i32, Closed> {
        let argv = context.argv.clone();
        let console = Arc::new(SimulatedConsole::new(self.world.clone(), context));
        let code = docklab_cli::run(argv, Arc::clone(&self.engine), Arc::clone(&console) as _).await;
        console.restore();
        Ok(code)
    }

    async fn complete(&self, words: &[String]) -> Vec<String> {
        let typed = words.last().cloned().unwrap_or_default();
        let kind = complete(words, words.len().saturating_sub(1));
        let mut names = self.names(kind).await;
        names.retain(|name| name.starts_with(&typed));
        names.sort();
        names
    }
}
