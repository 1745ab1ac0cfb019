//! The Docker Engine API over HTTP, both ways: [`server`] puts any [`docklab_api::DockerApi`] on a unix socket or TCP so
//! that the real `docker` client, docker-py or Portainer can use it; [`client`] is a `DockerApi` over such a socket, ours
//! or a stock Docker Engine's.

pub mod client;
pub mod server;
