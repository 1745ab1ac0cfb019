//! Links of containers on the default bridge (`--link`): another container under an alias, in /etc/hosts and in variables.

use std::sync::Arc;

use docklab_api::{ApiError, ApiResult};
use docklab_host::Protocol;
use serde::{Deserialize, Serialize};

use super::{
    Container,
    record::{Link, Record},
};
use crate::{
    Engine,
    ports::{ContainerPort, protocol_name},
};

/// What a link gives to the container that has it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct LinkedEnvironment {
    pub(crate) variables: Vec<String>,
    /// Lines of /etc/hosts.
    pub(crate) hosts: Vec<(String, String)>,
}

/// `name:alias`; the alias is the name where there is none.
pub(crate) fn split(link: &str) -> (&str, &str) {
    // Inspect shows `/child:/parent/alias`, and what it shows can be given again.
    let (name, alias) = link.split_once(':').unwrap_or((link, link));
    (name.trim_start_matches('/'), alias.rsplit('/').next().unwrap_or(alias))
}

impl Engine {
    /// The links that a create request asks for, each to a container that is there.
    pub(crate) fn links_to(&self, links: &[String]) -> ApiResult<Vec<Link>> {
        links
            .iter()
            .map(|link| {
                let (name, alias) = split(link);
                let child = self.container(name).map_err(|error| {
                    ApiError::invalid(format!("could not get container for {name}: {}", error.message))
                })?;
                Ok(Link { child: child.id.clone(), alias: alias.to_owned() })
            })
            .collect()
    }

    /// Names that others' links give to a container: `/parent/alias`.
    pub(crate) fn link_names(&self, id: &str) -> Vec<String> {
        let mut names = Vec::new();
        for parent in self.containers.all() {
            parent.read(|record| {
                let links = record.links.iter().filter(|link| link.child == id);
                names.extend(links.map(|link| format!("/{}/{}", record.name, link.alias)));
            });
        }
        names
    }

    /// `/child:/parent/alias` for every link, as inspect shows them.
    pub(crate) fn link_texts(&self, record: &Record) -> Vec<String> {
        let name = |link: &Link| self.container(&link.child).map(|child| child.name()).ok();
        record
            .links
            .iter()
            .filter_map(|link| Some(format!("/{}:/{}/{}", name(link)?, record.name, link.alias)))
            .collect()
    }

    /// `docker rm --link parent/alias`.
    pub(crate) async fn remove_link(&self, name: &str) -> ApiResult<()> {
        let name = name.trim_start_matches('/');
        let Some((parent, alias)) = name.split_once('/') else {
            self.container(name)?;
            return Err(ApiError::system("Conflict, cannot remove the default link name of the container"));
        };
        let parent: Arc<Container> = self.container(parent)?;
        let removed = parent.write(|record| {
            let before = record.links.len();
            record.links.retain(|link| link.alias != alias);
            before != record.links.len()
        });
        if !removed {
            return Err(ApiError::not_found(format!("No such container: {name}")));
        }
        self.save(&parent).await
    }

    /// Variables and hosts of a container that is about to start; what it is linked to must run.
    pub(crate) fn linked_environment(&self, record: &Record) -> ApiResult<LinkedEnvironment> {
        let mut linked = LinkedEnvironment::default();
        for link in &record.links {
            let Ok(child) = self.container(&link.child) else { continue };
            child.read(|child| {
                if !child.state.running {
                    return Err(ApiError::system(format!(
                        "Cannot link to a non running container: /{} AS /{}/{}",
                        child.name, record.name, link.alias
                    )));
                }
                let address = child.endpoints.get("bridge").and_then(|endpoint| endpoint.address);
                let Some(address) = address.map(|address| address.to_string()) else { return Ok(()) };
                linked.variables.extend(variables(&record.name, &link.alias, &address, child));
                let hostname = child.config.hostname.clone().unwrap_or_default();
                linked.hosts.push((format!("{} {hostname} {}", link.alias, child.name), address));
                Ok(())
            })?;
        }
        Ok(linked)
    }
}

/// The variables of one link (moby `daemon/links`): first port, every port, name, and the child's own variables.
fn variables(parent: &str, alias: &str, address: &str, child: &Record) -> Vec<String> {
    let prefix = alias.replace('-', "_").to_ascii_uppercase();
    let mut ports: Vec<ContainerPort> = child
        .config
        .exposed_ports
        .iter()
        .flat_map(|ports| ports.keys())
        .filter_map(|port| ContainerPort::parse(port).ok())
        .collect();
    ports.extend(child.ports.iter().map(|port| ContainerPort { number: port.container_port, protocol: port.protocol }));
    ports.sort_by_key(|port| (port.number, port.protocol == Protocol::Udp));
    ports.dedup();
    let mut variables = Vec::new();
    if let Some(first) = ports.first() {
        let protocol = protocol_name(first.protocol);
        variables.push(format!("{prefix}_PORT={protocol}://{address}:{}", first.number));
    }
    for port in &ports {
        let (number, protocol) = (port.number, protocol_name(port.protocol));
        let name = format!("{prefix}_PORT_{number}_{}", protocol.to_ascii_uppercase());
        variables.push(format!("{name}={protocol}://{address}:{number}"));
        variables.push(format!("{name}_ADDR={address}"));
        variables.push(format!("{name}_PORT={number}"));
        variables.push(format!("{name}_PROTO={protocol}"));
    }
    variables.push(format!("{prefix}_NAME=/{parent}/{alias}"));
    for entry in child.config.env.iter().flatten() {
        if let Some((key, value)) = entry.split_once('=')
            && !matches!(key, "HOME" | "PATH")
        {
            variables.push(format!("{prefix}_ENV_{key}={value}"));
        }
    }
    variables
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_link_has_a_name_and_an_alias() {
        assert_eq!(split("db"), ("db", "db"));
        assert_eq!(split("db:database"), ("db", "database"));
        assert_eq!(split("/db:/web/database"), ("db", "database"));
    }
}
