//! The engine on a machine in memory, on a virtual clock.

mod activity;
mod build;
mod containers;
mod fake;
mod images;
mod managers;
mod networks;
mod registry;
mod swarm;

use std::sync::Arc;

use docklab_api::{
    ContainerApi, CreateContainer, Events, SystemApi,
    models::{ContainerCreateBody, HostConfig, ImageConfig},
};
use fake::FakeHost;
use futures::StreamExt;

use crate::{Engine, EngineOptions, image::ResolvedImage};

fn image() -> ResolvedImage {
    ResolvedImage {
        id: format!("sha256:{}", "1".repeat(64)),
        chain_id: None,
        config: ImageConfig { cmd: Some(vec!["sleep".to_owned()]), ..ImageConfig::default() },
        os: "linux".to_owned(),
        familiar: "test:latest".to_owned(),
    }
}

async fn open(host: &Arc<FakeHost>) -> Engine {
    let host: Arc<FakeHost> = Arc::clone(host);
    Engine::open(host, EngineOptions::default()).await.expect("the engine opens")
}

fn body(command: &[&str]) -> ContainerCreateBody {
    ContainerCreateBody {
        image: Some("test".to_owned()),
        cmd: Some(command.iter().map(|word| (*word).to_owned()).collect()),
        host_config: Some(HostConfig::default()),
        ..ContainerCreateBody::default()
    }
}

async fn create(engine: &Engine, name: &str, body: ContainerCreateBody) -> Result<String, String> {
    let options = CreateContainer { name: Some(name.to_owned()), platform: None };
    let created = engine.create_from(options, body, |_| Ok(image())).await;
    created.map(|created| created.id).map_err(|error| format!("{} {}", error.status, error.message))
}

async fn run(engine: &Engine, name: &str, body: ContainerCreateBody) -> String {
    let id = create(engine, name, body).await.expect("created");
    engine.start_container(&id).await.expect("started");
    id
}

/// All events so far: type, action, and the attributes named.
async fn events(engine: &Engine) -> Vec<String> {
    let now = engine.host.now().as_second() + 1;
    let options =
        Events { since: Some("1".to_owned()), until: Some(now.to_string()), filters: docklab_api::Filters::default() };
    let stream = engine.events(options).await.expect("events");
    stream
        .map(|event| {
            let event = event.expect("an event");
            let attributes = event.actor.and_then(|actor| actor.attributes).unwrap_or_default();
            let mut text = format!("{} {}", event.typ.expect("a type"), event.action.expect("an action"));
            for key in ["exitCode", "execDuration", "signal"] {
                if let Some(value) = attributes.get(key) {
                    text.push_str(&format!(" {key}={value}"));
                }
            }
            text
        })
        .collect()
        .await
}
