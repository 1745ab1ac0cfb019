use docklab_api::models::{
    HostConfig, HostConfigCgroupnsModeEnum, HostConfigLogConfig, RestartPolicy, RestartPolicyNameEnum,
};

/// Bytes of /dev/shm when nobody says otherwise.
const SHM_SIZE: i64 = 64 * 1024 * 1024;

const MASKED: [&str; 12] = [
    "/proc/asound",
    "/proc/acpi",
    "/proc/interrupts",
    "/proc/kcore",
    "/proc/keys",
    "/proc/latency_stats",
    "/proc/timer_list",
    "/proc/timer_stats",
    "/proc/sched_debug",
    "/proc/scsi",
    "/sys/firmware",
    "/sys/devices/virtual/powercap",
];
const READ_ONLY: [&str; 5] = ["/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger"];

fn list(paths: &[&str]) -> Vec<String> {
    paths.iter().map(|path| (*path).to_owned()).collect()
}

/// Fills in what Docker fills in.
pub(crate) fn complete(host_config: &mut HostConfig, cgroup_version: u8) {
    match host_config.network_mode.as_deref() {
        None | Some("" | "default") => host_config.network_mode = Some("bridge".to_owned()),
        Some(_) => {}
    }
    if host_config.shm_size.unwrap_or(0) == 0 {
        host_config.shm_size = Some(SHM_SIZE);
    }
    if host_config.ipc_mode.as_deref().unwrap_or("").is_empty() {
        host_config.ipc_mode = Some("private".to_owned());
    }
    if host_config.runtime.as_deref().unwrap_or("").is_empty() {
        host_config.runtime = Some("runc".to_owned());
    }
    if matches!(host_config.cgroupns_mode, None | Some(HostConfigCgroupnsModeEnum::EMPTY)) {
        host_config.cgroupns_mode = Some(if cgroup_version == 2 {
            HostConfigCgroupnsModeEnum::PRIVATE
        } else {
            HostConfigCgroupnsModeEnum::HOST
        });
    }
    let log = host_config.log_config.get_or_insert_with(HostConfigLogConfig::default);
    if log.typ.as_deref().unwrap_or("").is_empty() {
        log.typ = Some("json-file".to_owned());
    }
    log.config.get_or_insert_default();
    let policy = host_config.restart_policy.get_or_insert_with(RestartPolicy::default);
    if matches!(policy.name, None | Some(RestartPolicyNameEnum::EMPTY)) {
        policy.name = Some(RestartPolicyNameEnum::NO);
    }
    policy.maximum_retry_count.get_or_insert(0);
    let memory = host_config.memory.unwrap_or(0);
    if memory > 0 && host_config.memory_swap.unwrap_or(0) == 0 {
        host_config.memory_swap = Some(memory.saturating_mul(2));
    }
    if host_config.memory_swappiness == Some(-1) {
        host_config.memory_swappiness = None;
    }
    if host_config.pids_limit.is_some_and(|limit| limit == 0) {
        host_config.pids_limit = None;
    }
    host_config.port_bindings.get_or_insert_default();
    if host_config.privileged != Some(true) {
        host_config.masked_paths.get_or_insert_with(|| list(&MASKED));
        host_config.readonly_paths.get_or_insert_with(|| list(&READ_ONLY));
    }
}
