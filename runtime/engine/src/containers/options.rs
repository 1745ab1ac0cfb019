//! What a host configuration may say of namespaces, capabilities, security, logs and names, checked at create.

use docklab_api::{ApiError, ApiResult, models::HostConfig};

/// Linux's capabilities, without `CAP_`.
const CAPABILITIES: [&str; 41] = [
    "AUDIT_CONTROL",
    "AUDIT_READ",
    "AUDIT_WRITE",
    "BLOCK_SUSPEND",
    "BPF",
    "CHECKPOINT_RESTORE",
    "CHOWN",
    "DAC_OVERRIDE",
    "DAC_READ_SEARCH",
    "FOWNER",
    "FSETID",
    "IPC_LOCK",
    "IPC_OWNER",
    "KILL",
    "LEASE",
    "LINUX_IMMUTABLE",
    "MAC_ADMIN",
    "MAC_OVERRIDE",
    "MKNOD",
    "NET_ADMIN",
    "NET_BIND_SERVICE",
    "NET_BROADCAST",
    "NET_RAW",
    "PERFMON",
    "SETFCAP",
    "SETGID",
    "SETPCAP",
    "SETUID",
    "SYSLOG",
    "SYS_ADMIN",
    "SYS_BOOT",
    "SYS_CHROOT",
    "SYS_MODULE",
    "SYS_NICE",
    "SYS_PACCT",
    "SYS_PTRACE",
    "SYS_RAWIO",
    "SYS_RESOURCE",
    "SYS_TIME",
    "SYS_TTY_CONFIG",
    "WAKE_ALARM",
];
const RUNTIMES: [&str; 3] = ["", "runc", "io.containerd.runc.v2"];
const JSON_FILE_OPTIONS: [&str; 10] = [
    "max-size",
    "max-file",
    "compress",
    "labels",
    "labels-regex",
    "env",
    "env-regex",
    "tag",
    "mode",
    "max-buffer-size",
];
const LOCAL_OPTIONS: [&str; 5] = ["max-size", "max-file", "compress", "mode", "max-buffer-size"];
/// Drivers of Docker's that send logs elsewhere.
const REMOTE_LOG_DRIVERS: [&str; 7] = ["syslog", "journald", "gelf", "fluentd", "awslogs", "splunk", "gcplogs"];

/// All of them; warnings are returned.
pub(super) fn validate(host_config: &HostConfig) -> ApiResult<Vec<String>> {
    for (name, list) in [("CapAdd", &host_config.cap_add), ("CapDrop", &host_config.cap_drop)] {
        for capability in list.iter().flatten() {
            capability_is_known(name, capability)?;
        }
    }
    for option in host_config.security_opt.iter().flatten() {
        security(option)?;
    }
    namespaces(host_config)?;
    let runtime = host_config.runtime.as_deref().unwrap_or("");
    if !RUNTIMES.contains(&runtime) {
        return Err(ApiError::invalid(format!("unknown or invalid runtime name: {runtime}")));
    }
    log_driver(host_config)?;
    for host in host_config.extra_hosts.iter().flatten() {
        extra_host(host)?;
    }
    if host_config.annotations.iter().flatten().any(|(key, _)| key.is_empty()) {
        return Err(ApiError::invalid("invalid Annotations: the empty string is not permitted as an annotation key"));
    }
    if let Some((option, _)) = host_config.storage_opt.iter().flatten().next() {
        return Err(ApiError::system(if option == "size" {
            "--storage-opt is supported only for overlay over xfs with 'pquota' mount option".to_owned()
        } else {
            format!("Unknown option {option}")
        }));
    }
    let mut warnings = Vec::new();
    if host_config.oom_kill_disable == Some(true) && host_config.memory.unwrap_or(0) == 0 {
        warnings.push(
            "OOM killer is disabled for the container, but no memory limit is set, this can result in the system running \
             out of resources."
                .to_owned(),
        );
    }
    Ok(warnings)
}

fn capability_is_known(list: &str, name: &str) -> ApiResult<()> {
    let upper = name.to_ascii_uppercase();
    let bare = upper.strip_prefix("CAP_").unwrap_or(&upper);
    if bare == "ALL" || CAPABILITIES.contains(&bare) {
        return Ok(());
    }
    Err(ApiError::invalid(format!("invalid {list}: unknown capability: \"CAP_{bare}\"")))
}

/// `key=value` or, as in old clients, `key:value`; two words stand alone.
fn security(option: &str) -> ApiResult<()> {
    if matches!(option, "no-new-privileges" | "writable-cgroups" | "disable") {
        return Ok(());
    }
    let Some((key, _)) = option.split_once('=').or_else(|| option.split_once(':')) else {
        return Err(ApiError::system(format!("invalid --security-opt 1: {option:?}")));
    };
    if matches!(key, "label" | "apparmor" | "seccomp" | "no-new-privileges" | "writable-cgroups") {
        return Ok(());
    }
    Err(ApiError::system(format!("invalid --security-opt 2: {option:?}")))
}

fn namespaces(host_config: &HostConfig) -> ApiResult<()> {
    let is_container = |mode: &str| mode.strip_prefix("container:").is_some_and(|name| !name.is_empty());
    let ipc = host_config.ipc_mode.as_deref().unwrap_or("");
    if !matches!(ipc, "" | "none" | "private" | "shareable" | "host") && !is_container(ipc) {
        return Err(ApiError::invalid(format!("invalid IPC mode: {ipc}")));
    }
    let pid = host_config.pid_mode.as_deref().unwrap_or("");
    if !matches!(pid, "" | "host") && !is_container(pid) {
        return Err(ApiError::invalid(format!("invalid PID mode: {pid}")));
    }
    let uts = host_config.uts_mode.as_deref().unwrap_or("");
    if !matches!(uts, "" | "host") {
        return Err(ApiError::invalid(format!("invalid UTS mode: {uts}")));
    }
    Ok(())
}

fn log_driver(host_config: &HostConfig) -> ApiResult<()> {
    let log = host_config.log_config.clone().unwrap_or_default();
    let driver = log.typ.unwrap_or_default();
    let known: &[&str] = match driver.as_str() {
        "" | "json-file" => &JSON_FILE_OPTIONS,
        "local" => &LOCAL_OPTIONS,
        "none" => return Ok(()),
        driver if REMOTE_LOG_DRIVERS.contains(&driver) => {
            return Err(ApiError::not_implemented(format!(
                "docklab has no logging driver {driver:?}; it has json-file, local and none"
            )));
        }
        driver => {
            return Err(ApiError::invalid(format!(
                "error looking up logging plugin {driver}: plugin {driver:?} not found"
            )));
        }
    };
    let name = if driver.is_empty() { "json-file" } else { &driver };
    match log.config.iter().flatten().map(|(option, _)| option).find(|option| !known.contains(&option.as_str())) {
        Some(option) => Err(ApiError::invalid(format!("unknown log opt '{option}' for {name} log driver"))),
        None => Ok(()),
    }
}

fn extra_host(host: &str) -> ApiResult<()> {
    let Some((name, address)) = host.split_once(['=', ':']).filter(|(name, _)| !name.is_empty()) else {
        return Err(ApiError::invalid(format!("bad format for add-host: {host:?}")));
    };
    let _ = name;
    let bare = address.trim_start_matches('[').trim_end_matches(']');
    if address == "host-gateway" || bare.parse::<std::net::IpAddr>().is_ok() {
        return Ok(());
    }
    Err(ApiError::invalid(format!("invalid IP address in add-host: {address:?}")))
}

#[cfg(test)]
mod tests {
    use docklab_api::models::HostConfigLogConfig;

    use super::*;

    fn refusal(host_config: HostConfig) -> String {
        validate(&host_config).map_or_else(|error| format!("{} {}", error.status, error.message), |_| String::new())
    }

    #[test]
    fn what_docker_does_not_know_is_refused_in_its_words() {
        let one = |text: &str| Some(vec![text.to_owned()]);
        let text = |text: &str| Some(text.to_owned());
        let seen = [
            refusal(HostConfig { cap_add: one("foo"), ..Default::default() }),
            refusal(HostConfig { cap_drop: one("cap_net_raw"), ..Default::default() }),
            refusal(HostConfig { security_opt: one("foo"), ..Default::default() }),
            refusal(HostConfig { security_opt: one("a=b"), ..Default::default() }),
            refusal(HostConfig { security_opt: one("seccomp:unconfined"), ..Default::default() }),
            refusal(HostConfig { ipc_mode: text("foo"), ..Default::default() }),
            refusal(HostConfig { pid_mode: text("container:x"), ..Default::default() }),
            refusal(HostConfig { uts_mode: text("foo"), ..Default::default() }),
            refusal(HostConfig { runtime: text("foo"), ..Default::default() }),
            refusal(HostConfig { extra_hosts: one("a:xx"), ..Default::default() }),
            refusal(HostConfig { extra_hosts: one("a=[::1]"), ..Default::default() }),
        ];
        insta::assert_snapshot!(seen.join("\n"), @r#"
        400 invalid CapAdd: unknown capability: "CAP_FOO"

        500 invalid --security-opt 1: "foo"
        500 invalid --security-opt 2: "a=b"

        400 invalid IPC mode: foo

        400 invalid UTS mode: foo
        400 unknown or invalid runtime name: foo
        400 invalid IP address in add-host: "xx"
        "#);
    }

    #[test]
    fn logs_go_to_a_driver_that_is_there_with_options_that_it_knows() {
        let log = |driver: &str, option: &str| {
            refusal(HostConfig {
                log_config: Some(HostConfigLogConfig {
                    typ: Some(driver.to_owned()),
                    config: Some([(option.to_owned(), "1".to_owned())].into()),
                }),
                ..Default::default()
            })
        };
        assert_eq!(log("json-file", "max-size"), "");
        assert_eq!(log("local", "compress"), "");
        assert_eq!(log("", "foo"), "400 unknown log opt 'foo' for json-file log driver");
        assert_eq!(log("x", "a"), "400 error looking up logging plugin x: plugin \"x\" not found");
        assert!(log("syslog", "a").starts_with("501 "));
    }
}
