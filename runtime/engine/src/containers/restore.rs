use std::sync::Arc;

use docklab_api::ApiResult;
use docklab_host::{Exit, Started};

use super::{Container, KIND, exit::UNKNOWN_EXIT, record::Record};
use crate::{Engine, records, restart};

impl Engine {
    /// Loads the containers and finds their processes again. Those that ended while no engine ran get their exit code,
    /// and restart policies apply.
    pub(crate) async fn open_containers(&self) -> ApiResult<()> {
        let mut loaded = Vec::new();
        for (_, record) in records::load::<Record>(&*self.host, KIND).await? {
            let container = Arc::new(Container::new(record));
            self.containers.insert(Arc::clone(&container));
            loaded.push(container);
        }
        for container in &loaded {
            self.reattach(container).await;
        }
        for container in &loaded {
            self.restart_after_boot(container).await;
        }
        Ok(())
    }

    async fn reattach(&self, container: &Arc<Container>) {
        if container.read(|record| record.state.removing || record.state.dead) {
            // A removal that the former engine did not finish.
            container.write(|record| record.state.removing = false);
            if let Err(error) = self.remove(container, true, false).await {
                tracing::error!(container = container.id, %error, "an unfinished removal");
            }
            return;
        }
        let found = self.host.reattach(&container.id).await.unwrap_or_else(|error| {
            tracing::error!(container = container.id, %error, "reattach");
            None
        });
        match found {
            Some(started) => self.adopt(container, started).await,
            None if container.read(|record| record.state.has_process()) => {
                // The machine was restarted: nobody knows how it ended.
                let exit = Exit { code: UNKNOWN_EXIT, oom_killed: false, at: self.host.now() };
                self.ended(container, exit).await;
            }
            None => {
                container.write(|record| {
                    record.state.running = false;
                    record.state.restarting = false;
                });
            }
        }
    }

    async fn adopt(&self, container: &Arc<Container>, started: Started) {
        let endpoints = container.read(|record| record.endpoints.clone());
        for endpoint in endpoints.values() {
            if let Some(address) = endpoint.address {
                self.adopt_endpoint(&endpoint.network_id, address);
            }
            if let Some(ipv6) = &endpoint.ipv6 {
                self.adopt_endpoint(&endpoint.network_id, ipv6.address.into());
            }
        }
        let now = self.host.now();
        container.write(|record| {
            // A start whose end the former engine did not record shows no start time yet.
            record.state.running = true;
            record.state.restarting = false;
            record.state.pid = started.process.pid();
            record.state.started_at.get_or_insert(now);
            if !started.ports.is_empty() {
                record.ports.clone_from(&started.ports);
            }
        });
        let ports = container.read(|record| record.ports.clone());
        self.ports.lock().unwrap_or_else(std::sync::PoisonError::into_inner).adopt(&container.id, &ports);
        container.process.send_replace(Some(Arc::clone(&started.process)));
        for name in endpoints.keys() {
            if let Ok(network) = self.networks.find(name)
                && let Err(error) = self.publish_names(&network).await
            {
                tracing::error!(network = name, %error, "names could not be published");
            }
        }
        self.start_health(container);
        self.supervise(container, started);
    }

    async fn restart_after_boot(&self, container: &Arc<Container>) {
        let wanted = container.read(|record| {
            !record.state.running
                && record.state.started_at.is_some()
                && restart::wants_restart(
                    record.host_config.restart_policy.as_ref(),
                    record.state.exit_code,
                    record.manually_stopped,
                    record.restart_count,
                )
        });
        if wanted {
            if let Err(error) = self.start(container).await {
                tracing::warn!(container = container.id, %error, "restart after boot");
            }
        } else if container.read(|record| {
            !record.state.running && record.state.started_at.is_some() && record.host_config.auto_remove == Some(true)
        }) && let Err(error) = self.remove(container, true, true).await
        {
            tracing::error!(container = container.id, %error, "auto-remove after boot");
        }
    }
}
