use std::sync::Arc;

use docklab_api::{
    ApiError, ApiResult,
    models::{ContainerUpdateBody, ContainerUpdateResponse, HostConfig, RestartPolicyNameEnum},
};

use super::{Container, limits::limits, validate};
use crate::{Engine, HostResultExt};

/// Takes over what the request sets; 0 leaves a value as it is.
fn merge(host_config: &mut HostConfig, body: &ContainerUpdateBody) {
    for (mine, new) in [
        (&mut host_config.cpu_shares, body.cpu_shares),
        (&mut host_config.memory, body.memory),
        (&mut host_config.memory_swap, body.memory_swap),
        (&mut host_config.memory_reservation, body.memory_reservation),
        (&mut host_config.cpu_period, body.cpu_period),
        (&mut host_config.cpu_quota, body.cpu_quota),
        (&mut host_config.nano_cpus, body.nano_cpus),
        (&mut host_config.pids_limit, body.pids_limit),
    ] {
        if new.is_some_and(|new| new != 0) {
            *mine = new;
        }
    }
    for (mine, new) in
        [(&mut host_config.cpuset_cpus, &body.cpuset_cpus), (&mut host_config.cpuset_mems, &body.cpuset_mems)]
    {
        if new.as_deref().is_some_and(|new| !new.is_empty()) {
            mine.clone_from(new);
        }
    }
    if let Some(policy) = &body.restart_policy
        && !matches!(policy.name, None | Some(RestartPolicyNameEnum::EMPTY))
    {
        host_config.restart_policy = Some(policy.clone());
    }
}

impl Engine {
    /// `docker update`.
    pub(crate) async fn update(
        &self,
        container: &Arc<Container>,
        body: &ContainerUpdateBody,
    ) -> ApiResult<ContainerUpdateResponse> {
        let cannot = |error: ApiError| {
            ApiError::new(error.status, format!("Cannot update container {}: {}", container.id, error.message))
        };
        let mut host_config = container.read(|record| record.host_config.clone());
        merge(&mut host_config, body);
        if let Some(policy) = &body.restart_policy {
            validate::validate_restart(policy)?;
            let restarts =
                !matches!(policy.name, None | Some(RestartPolicyNameEnum::EMPTY | RestartPolicyNameEnum::NO));
            if restarts && host_config.auto_remove == Some(true) {
                return Err(cannot(ApiError::invalid(
                    "Restart policy cannot be updated because AutoRemove is enabled for the container",
                )));
            }
        }
        if body.memory.is_some_and(|memory| memory > 0) {
            let (memory, swap) = (host_config.memory.unwrap_or(0), host_config.memory_swap.unwrap_or(0));
            if swap > 0 && memory > swap {
                return Err(cannot(ApiError::conflict(
                    "Memory limit should be smaller than already set memoryswap limit, update the memoryswap at the same \
                     time",
                )));
            }
        }
        let warnings = validate::validate_resources(&host_config, self.host.info().cpus)?;
        let _lifecycle = container.lifecycle.lock().await;
        let (removing, has_process) =
            container.read(|record| (record.state.removing || record.state.dead, record.state.has_process()));
        if removing {
            return Err(cannot(ApiError::conflict("Container is marked for removal and cannot be \"update\".")));
        }
        if has_process {
            self.host.update_limits(&container.id, &limits(&host_config)).await.api().map_err(cannot)?;
        }
        container.write(|record| record.host_config = host_config);
        self.save(container).await?;
        self.container_event(container, "update", &[]);
        Ok(ContainerUpdateResponse { warnings: Some(warnings) })
    }
}
