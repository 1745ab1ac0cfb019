use docklab_api::models::HostConfig;
use docklab_host::Limits;

fn positive(value: Option<i64>) -> Option<u64> {
    value.and_then(|value| u64::try_from(value).ok()).filter(|value| *value > 0)
}

/// The limits of a container as the host takes them; 0 is no limit in the API.
pub(crate) fn limits(host_config: &HostConfig) -> Limits {
    Limits {
        memory: positive(host_config.memory),
        memory_swap: match host_config.memory_swap {
            Some(-1) => Some(u64::MAX),
            swap => positive(swap),
        },
        memory_reservation: positive(host_config.memory_reservation),
        nano_cpus: positive(host_config.nano_cpus),
        cpu_quota: host_config.cpu_quota.filter(|quota| *quota != 0),
        cpu_period: positive(host_config.cpu_period),
        cpu_shares: positive(host_config.cpu_shares),
        cpuset_cpus: host_config.cpuset_cpus.clone().filter(|cpus| !cpus.is_empty()),
        pids: host_config.pids_limit.filter(|pids| *pids > 0),
        ulimits: host_config
            .ulimits
            .iter()
            .flatten()
            .map(|limit| (limit.name.clone().unwrap_or_default(), limit.soft.unwrap_or(0), limit.hard.unwrap_or(0)))
            .collect(),
        oom_score_adj: host_config
            .oom_score_adj
            .and_then(|score| i32::try_from(score).ok())
            .filter(|score| *score != 0),
    }
}
