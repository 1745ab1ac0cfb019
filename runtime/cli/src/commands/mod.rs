//! What every command does, one module a group.

mod absent;
mod cluster_data;
pub(crate) mod container;
mod contexts;
mod converge;
mod credentials;
mod disk;
mod disk_verbose;
pub(crate) mod image;
mod info;
pub(crate) mod input;
mod inspect;
pub(crate) mod json;
mod login;
pub(crate) mod mount;
mod network;
mod network_addresses;
mod node;
mod objects;
mod pretty;
mod prune;
mod service;
pub(crate) mod service_files;
mod service_flags;
pub(crate) mod service_ports;
mod service_update;
mod stack;
mod swarm;
mod system;
mod tasks;
mod volume;

use crate::{
    context::{Context, Invocation},
    error::{CliError, CliResult},
};

/// The client's build, as `docker version` shows it.
pub(crate) const CLIENT_COMMIT: &str = "e6534b4";

/// All failures on one error, a line each; success when there are none.
pub(crate) fn joined(failures: Vec<String>) -> CliResult {
    if failures.is_empty() { Ok(0) } else { Err(CliError::new(failures.join("\n"))) }
}

/// Runs the command that was parsed.
pub(crate) async fn dispatch(context: &Context, call: &Invocation) -> CliResult {
    use container::{exec::exec, lifecycle, run, show};
    match call.command.path {
        "container run" => run::run(context, call).await,
        "container create" => run::create_command(context, call).await,
        "container start" => container::start::start(context, call).await,
        "container stop" => lifecycle::stop(context, call).await,
        "container restart" => lifecycle::restart(context, call).await,
        "container kill" => lifecycle::kill(context, call).await,
        "container rm" => lifecycle::remove(context, call).await,
        "container pause" => lifecycle::pause(context, call).await,
        "container unpause" => lifecycle::unpause(context, call).await,
        "container rename" => lifecycle::rename(context, call).await,
        "container wait" => lifecycle::wait(context, call).await,
        "container update" => lifecycle::update(context, call).await,
        "container attach" => container::start::attach(context, call).await,
        "container exec" => exec(context, call).await,
        "container ls" => container::ps::ps(context, call).await,
        "container logs" => show::logs(context, call).await,
        "container top" => show::top(context, call).await,
        "container port" => show::port(context, call).await,
        "container diff" => show::diff(context, call).await,
        "container stats" => container::stats::stats(context, call).await,
        "container prune" => prune::prune_containers(context, call).await,
        "container cp" => container::copy::copy(context, call).await,
        "container commit" => image::commit(context, call).await,
        "image ls" => image::list::ls(context, call).await,
        "image history" => image::list::history(context, call).await,
        "image pull" => image::pull(context, call).await,
        "image push" => image::push(context, call).await,
        "image tag" => image::tag(context, call).await,
        "image rm" => image::remove(context, call).await,
        "image prune" => image::prune(context, call).await,
        "image build" => image::build::build(context, call).await,
        "network ls" => network::ls(context, call).await,
        "network create" => network::create(context, call).await,
        "network rm" => network::remove(context, call).await,
        "network connect" => network::connect(context, call).await,
        "network disconnect" => network::disconnect(context, call).await,
        "network prune" => network::prune(context, call).await,
        "volume ls" => volume::ls(context, call).await,
        "volume create" => volume::create(context, call).await,
        "volume rm" => volume::remove(context, call).await,
        "volume prune" => volume::prune(context, call).await,
        "inspect" | "container inspect" | "image inspect" | "network inspect" | "volume inspect" | "node inspect"
        | "service inspect" | "secret inspect" | "config inspect" => inspect::inspect(context, call).await,
        "image save" => image::archive::save(context, call).await,
        "image load" => image::archive::load(context, call).await,
        "image import" => image::archive::import(context, call).await,
        "container export" => image::archive::export(context, call).await,
        "system info" => info::info(context, call).await,
        "login" => login::login(context, call).await,
        "logout" => login::logout(context, call).await,
        "secret create" | "secret ls" | "secret rm" | "config create" | "config ls" | "config rm" => {
            cluster_data::dispatch(context, call).await
        }
        "system df" => disk::df(context, call).await,
        "builder prune" => prune::builder(context, call).await,
        "volume update" => volume::update(context, call).await,
        "search" => image::search::search(context, call).await,
        "version" => system::version(context, call).await,
        "system events" => system::events(context, call).await,
        "system prune" => prune::prune(context, call).await,
        path if path.starts_with("context ") => contexts::dispatch(context, call).await,
        path if path.starts_with("swarm ") => swarm::dispatch(context, call).await,
        path if path.starts_with("node ") => node::dispatch(context, call).await,
        path if path.starts_with("service ") => service::dispatch(context, call).await,
        path if path.starts_with("stack ") => stack::dispatch(context, call).await,
        _ => absent::dispatch(context, call).await,
    }
}

/// Commands that are about the client alone work without an engine.
pub(crate) fn needs_engine(call: &Invocation) -> bool {
    !call.command.path.starts_with("context ") && call.command.path != "logout"
}

/// `os[/architecture[/variant]]` as the JSON that the API wants.
pub(crate) fn platform_json(text: &str) -> CliResult<String> {
    let wrong =
        || CliError::new(format!("{}: cannot parse platform specifier: invalid argument", crate::format::quote(text)));
    let parts: Vec<&str> = text.split('/').collect();
    let word = |part: &&str| {
        !part.is_empty() && part.chars().all(|letter| letter.is_ascii_alphanumeric() || "_-.".contains(letter))
    };
    if parts.len() > 3 || !parts.iter().all(word) {
        return Err(wrong());
    }
    let keys = ["os", "architecture", "variant"];
    let mut platform = serde_json::Map::new();
    match parts.as_slice() {
        // One word names an operating system, or else an architecture.
        [one] if !matches!(*one, "linux" | "windows" | "darwin" | "freebsd") => {
            platform.insert("architecture".to_owned(), (*one).into());
            platform.insert("os".to_owned(), "linux".into());
        }
        parts => {
            for (key, part) in keys.iter().zip(parts) {
                platform.insert((*key).to_owned(), (*part).into());
            }
            platform.entry("architecture").or_insert_with(|| "amd64".into());
        }
    }
    Ok(serde_json::Value::Object(platform).to_string())
}
