use docklab_api::{
    ApiError, ApiResult,
    models::{ContainerConfig, HealthConfig, HostConfig, RestartPolicy, RestartPolicyNameEnum},
};

use super::options;
use crate::{ports, signals};

const MINIMUM_MEMORY: i64 = 6 * 1024 * 1024;
const MILLISECOND: i64 = 1_000_000;

/// Everything about a create request that can be wrong without looking at images, networks or volumes. Returns warnings.
pub(crate) fn validate(config: &ContainerConfig, host_config: &HostConfig, cpus: u32) -> ApiResult<Vec<String>> {
    if let Some(directory) = config.working_dir.as_deref()
        && !directory.is_empty()
        && !directory.starts_with('/')
    {
        return Err(ApiError::invalid(format!(
            "the working directory '{directory}' is invalid, it needs to be an absolute path"
        )));
    }
    for entry in config.env.iter().flatten() {
        if entry.is_empty() || entry.starts_with('=') {
            return Err(ApiError::invalid(format!("invalid environment variable: {entry}")));
        }
    }
    if let Some(signal) = config.stop_signal.as_deref().filter(|signal| !signal.is_empty()) {
        signals::parse(signal)?;
    }
    if let Some(health) = &config.healthcheck {
        validate_health(health)?;
    }
    ports::parse_bindings(&host_config.port_bindings.clone().unwrap_or_default())?;
    if let Some(policy) = &host_config.restart_policy {
        validate_restart(policy)?;
    }
    let restarts = host_config
        .restart_policy
        .as_ref()
        .and_then(|policy| policy.name)
        .is_some_and(|name| !matches!(name, RestartPolicyNameEnum::NO | RestartPolicyNameEnum::EMPTY));
    if host_config.auto_remove == Some(true) && restarts {
        return Err(ApiError::invalid("can't create 'AutoRemove' container with restart policy"));
    }
    let mut warnings = options::validate(host_config)?;
    validate_network_mode(config, host_config)?;
    warnings.extend(validate_resources(host_config, cpus)?);
    if config.mac_address.as_deref().is_some_and(|mac| !mac.is_empty()) {
        warnings.push(
            "The container-wide MacAddress field is now deprecated. It should be specified in EndpointsConfig instead."
                .to_owned(),
        );
    }
    Ok(warnings)
}

fn validate_network_mode(config: &ContainerConfig, host_config: &HostConfig) -> ApiResult<()> {
    let mode = host_config.network_mode.as_deref().unwrap_or("");
    let has_hostname = config.hostname.as_deref().is_some_and(|name| !name.is_empty());
    if !mode.starts_with("container:") {
        return Ok(());
    }
    let conflict = |what: &str| Err(ApiError::invalid(format!("conflicting options: {what}")));
    if mode.len() <= "container:".len() {
        return Err(ApiError::invalid("invalid network mode: invalid container format container:<name|id>"));
    }
    if has_hostname {
        return conflict("hostname and the network mode");
    }
    if host_config.port_bindings.as_ref().is_some_and(|ports| !ports.is_empty())
        || host_config.publish_all_ports == Some(true)
    {
        return conflict("port publishing and the container type network mode");
    }
    if config.exposed_ports.as_ref().is_some_and(|ports| !ports.is_empty()) {
        return conflict("port exposing and the container type network mode");
    }
    Ok(())
}

fn validate_health(health: &HealthConfig) -> ApiResult<()> {
    for (name, value) in [
        ("Interval", health.interval),
        ("Timeout", health.timeout),
        ("StartPeriod", health.start_period),
        ("StartInterval", health.start_interval),
    ] {
        let value = value.unwrap_or(0);
        if value != 0 && value < MILLISECOND {
            return Err(ApiError::invalid(format!("{name} in Healthcheck cannot be less than 1ms")));
        }
    }
    if health.retries.unwrap_or(0) < 0 {
        return Err(ApiError::invalid("Retries in Healthcheck cannot be negative"));
    }
    Ok(())
}

pub(crate) fn validate_restart(policy: &RestartPolicy) -> ApiResult<()> {
    let maximum = policy.maximum_retry_count.unwrap_or(0);
    if maximum == 0 {
        return Ok(());
    }
    if policy.name != Some(RestartPolicyNameEnum::ON_FAILURE) {
        return Err(ApiError::invalid(
            "invalid restart policy: maximum retry count can only be used with 'on-failure'",
        ));
    }
    if maximum < 0 {
        return Err(ApiError::invalid("invalid restart policy: maximum retry count cannot be negative"));
    }
    Ok(())
}

/// Docker's limits on limits.
pub(crate) fn validate_resources(host_config: &HostConfig, cpus: u32) -> ApiResult<Vec<String>> {
    let memory = host_config.memory.unwrap_or(0);
    let swap = host_config.memory_swap.unwrap_or(0);
    if memory != 0 && memory < MINIMUM_MEMORY {
        return Err(ApiError::invalid("Minimum memory limit allowed is 6MB"));
    }
    if memory > 0 && swap > 0 && swap < memory {
        return Err(ApiError::invalid("Minimum memoryswap limit should be larger than memory limit, see usage"));
    }
    if memory == 0 && swap > 0 {
        return Err(ApiError::invalid("You should always set the Memory limit when using Memoryswap limit, see usage"));
    }
    let reservation = host_config.memory_reservation.unwrap_or(0);
    if reservation > 0 && reservation < MINIMUM_MEMORY {
        return Err(ApiError::invalid("Minimum memory reservation allowed is 6MB"));
    }
    if memory > 0 && reservation > memory {
        return Err(ApiError::invalid("Minimum memory limit can not be less than memory reservation limit, see usage"));
    }
    let nano_cpus = host_config.nano_cpus.unwrap_or(0);
    if nano_cpus != 0 {
        if host_config.cpu_period.unwrap_or(0) > 0 {
            return Err(ApiError::invalid("Conflicting options: Nano CPUs and CPU Period cannot both be set"));
        }
        if host_config.cpu_quota.unwrap_or(0) > 0 {
            return Err(ApiError::invalid("Conflicting options: Nano CPUs and CPU Quota cannot both be set"));
        }
        if nano_cpus < 0 || nano_cpus > i64::from(cpus) * 1_000_000_000 {
            return Err(ApiError::invalid(format!(
                "range of CPUs is from 0.01 to {cpus}.00, as there are only {cpus} CPUs available"
            )));
        }
    }
    let period = host_config.cpu_period.unwrap_or(0);
    if period != 0 && !(1000..=1_000_000).contains(&period) {
        return Err(ApiError::invalid(
            "CPU cfs period can not be less than 1ms (i.e. 1000) or larger than 1s (i.e. 1000000)",
        ));
    }
    let quota = host_config.cpu_quota.unwrap_or(0);
    if quota > 0 && quota < 1000 {
        return Err(ApiError::invalid("CPU cfs quota can not be less than 1ms (i.e. 1000)"));
    }
    let shares = host_config.cpu_shares.unwrap_or(0);
    if shares < 0 {
        return Err(ApiError::invalid(format!("invalid CPU shares ({shares}): value must be a positive integer")));
    }
    if let Some(swappiness) = host_config.memory_swappiness.filter(|value| !(-1..=100).contains(value)) {
        return Err(ApiError::invalid(format!("Invalid value: {swappiness}, valid memory swappiness range is 0-100")));
    }
    if let Some(score) = host_config.oom_score_adj.filter(|score| !(-1000..=1000).contains(score)) {
        return Err(ApiError::invalid(format!("Invalid value {score}, range for oom score adj is [-1000, 1000]")));
    }
    if host_config.shm_size.is_some_and(|size| size < 0) {
        return Err(ApiError::invalid("SHM size can not be less than 0"));
    }
    validate_cpuset(host_config.cpuset_cpus.as_deref().unwrap_or(""), cpus)?;
    Ok(Vec::new())
}

/// `0-2,4`: numbers of processors that this machine has.
fn validate_cpuset(text: &str, cpus: u32) -> ApiResult<()> {
    for part in text.split(',').filter(|part| !part.is_empty()) {
        let (first, last) = part.split_once('-').unwrap_or((part, part));
        let (Ok(first), Ok(last)) = (first.parse::<u32>(), last.parse::<u32>()) else {
            return Err(ApiError::invalid(format!("Invalid value {text} for cpuset cpus: invalid format: {part}")));
        };
        if first > last {
            return Err(ApiError::invalid(format!("Invalid value {text} for cpuset cpus: invalid format: {part}")));
        }
        if last >= cpus {
            let available = if cpus > 1 { format!("0-{}", cpus - 1) } else { "0".to_owned() };
            return Err(ApiError::invalid(format!(
                "Requested CPUs are not available - requested {text}, available: {available}"
            )));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cpuset_names_processors_that_are_there() {
        assert_eq!(validate_cpuset("0-1,1", 2), Ok(()));
        let refusal = |text| validate_cpuset(text, 2).map_err(|error| error.message);
        assert_eq!(refusal("99"), Err("Requested CPUs are not available - requested 99, available: 0-1".to_owned()));
        assert_eq!(refusal("x"), Err("Invalid value x for cpuset cpus: invalid format: x".to_owned()));
    }
}
