//! What `service create` and `service update` flags make of a service's specification: the container's settings,
//! resources, secrets and configs. Policies (update, rollback, restart) are in [`super::tasks`].

use docklab_api::Filters;
use serde_json::{Map, Value, json};

use crate::{
    commands::{
        container::create::{health, labels, mount},
        json::{list, strings, text, value},
    },
    context::{Context, Invocation},
    error::{CliError, CliResult},
};

const CONTAINER: &str = "/TaskTemplate/ContainerSpec";

/// An image as services record it: short name, with `latest` when neither tag nor digest is given.
pub(crate) fn image(given: &str) -> String {
    docklab_api::Reference::parse(given)
        .map_or_else(|_| given.to_owned(), |reference| reference.with_default_tag().familiar())
}

/// Sets what the flags name and leaves all else alone, so the same function serves creation and update.
pub(crate) async fn apply(context: &Context, call: &Invocation, spec: &mut Value) -> CliResult<()> {
    container(call, spec)?;
    resources(call, spec)?;
    lists(call, spec)?;
    mounts(call, spec)?;
    files(context, call, spec).await
}

fn container(call: &Invocation, spec: &mut Value) -> CliResult<()> {
    let flags = &call.flags;
    let container = &mut spec["TaskTemplate"]["ContainerSpec"];
    for (flag, key) in [("hostname", "Hostname"), ("user", "User"), ("workdir", "Dir"), ("stop-signal", "StopSignal")] {
        if let Some(text) = flags.get(flag) {
            container[key] = json!(text);
        }
    }
    for (flag, key) in [("tty", "TTY"), ("read-only", "ReadOnly"), ("init", "Init")] {
        if flags.given(flag) {
            container[key] = json!(flags.is_set(flag));
        }
    }
    if let Some(command) = flags.get("entrypoint") {
        container["Command"] = json!(command.split_whitespace().collect::<Vec<_>>());
    }
    if let Some(health) = health(call) {
        // The API model spells this key its own way; engines read either.
        container["HealthCheck"] = health;
    }
    if flags.given("log-driver") {
        spec["TaskTemplate"]["LogDriver"] =
            json!({"Name": flags.text("log-driver"), "Options": labels(&flags.list("log-opt"))});
    }
    let preferences: Vec<String> =
        flags.list("placement-pref").into_iter().chain(flags.list("placement-pref-add")).collect();
    if !preferences.is_empty() {
        let mut all = list(spec, "/TaskTemplate/Placement/Preferences").to_vec();
        for given in preferences {
            let Some(descriptor) = given.strip_prefix("spread=") else {
                return Err(CliError::new(format!(
                    "unsupported placement preference \"{given}\" (only spread=<label> is supported)"
                )));
            };
            all.push(json!({"Spread": {"SpreadDescriptor": descriptor}}));
        }
        spec["TaskTemplate"]["Placement"]["Preferences"] = json!(all);
    }
    Ok(())
}

/// Limits and reservations: CPUs in billionths, memory in bytes.
fn resources(call: &Invocation, spec: &mut Value) -> CliResult<()> {
    let flags = &call.flags;
    for (prefix, section) in [("limit", "Limits"), ("reserve", "Reservations")] {
        let cpu = format!("{prefix}-cpu");
        if let Some(given) = flags.get(&cpu) {
            let cpus: f64 = given.parse().map_err(|_| {
                CliError::with_status(
                    125,
                    format!("invalid argument \"{given}\" for \"--{cpu}\" flag: Failed to parse {given} as a rational number"),
                )
            })?;
            #[allow(clippy::cast_possible_truncation)] // billionths of a CPU
            let billionths = (cpus * 1e9) as i64;
            spec["TaskTemplate"]["Resources"][section]["NanoCPUs"] = json!(billionths);
        }
        if let Some(bytes) = flags.bytes(&format!("{prefix}-memory")) {
            spec["TaskTemplate"]["Resources"][section]["MemoryBytes"] = json!(bytes);
        }
    }
    if let Some(pids) = flags.integer("limit-pids") {
        spec["TaskTemplate"]["Resources"]["Limits"]["Pids"] = json!(pids);
    }
    Ok(())
}

/// Lists of texts, and labels: `NAME` at creation, `NAME-add` and `NAME-rm` at update.
fn lists(call: &Invocation, spec: &mut Value) -> CliResult<()> {
    let flags = &call.flags;
    for (flag, key) in [
        ("cap", "CapabilityAdd"),
        ("group", "Groups"),
        ("dns", "DNSConfig/Nameservers"),
        ("dns-search", "DNSConfig/Search"),
        ("dns-option", "DNSConfig/Options"),
    ] {
        let added: Vec<String> = flags.list(flag).into_iter().chain(flags.list(&format!("{flag}-add"))).collect();
        let removed = flags.list(&format!("{flag}-rm"));
        if added.is_empty() && removed.is_empty() {
            continue;
        }
        let mut all = strings(spec, &format!("{CONTAINER}/{key}"));
        all.retain(|known| !removed.contains(known));
        all.extend(added);
        let container = &mut spec["TaskTemplate"]["ContainerSpec"];
        match key.split_once('/') {
            Some((section, key)) => container[section][key] = json!(all),
            None => container[key] = json!(all),
        }
    }
    if flags.given("cap-drop") {
        spec["TaskTemplate"]["ContainerSpec"]["CapabilityDrop"] = json!(flags.list("cap-drop"));
    }
    let hosts: Vec<String> = flags.list("host").into_iter().chain(flags.list("host-add")).collect();
    if !hosts.is_empty() {
        // A service keeps them as lines of /etc/hosts: the address first.
        let mut all = strings(spec, &format!("{CONTAINER}/Hosts"));
        for given in hosts {
            let (name, address) =
                given.split_once(':').ok_or_else(|| CliError::new(format!("bad format for add-host: \"{given}\"")))?;
            all.push(format!("{address} {name}"));
        }
        spec["TaskTemplate"]["ContainerSpec"]["Hosts"] = json!(all);
    }
    change_labels(call, "label", &mut spec["Labels"]);
    change_labels(call, "container-label", &mut spec["TaskTemplate"]["ContainerSpec"]["Labels"]);
    let removed = flags.list("publish-rm");
    if !removed.is_empty() {
        let mut ports = list(spec, "/EndpointSpec/Ports").to_vec();
        let target = |text: &String| text.split('/').next().and_then(|text| text.parse::<i64>().ok());
        ports.retain(|port| !removed.iter().any(|text| target(text) == port["TargetPort"].as_i64()));
        spec["EndpointSpec"]["Ports"] = json!(ports);
    }
    Ok(())
}

fn change_labels(call: &Invocation, flag: &str, known: &mut Value) {
    let added = call.flags.list(&format!("{flag}-add"));
    let removed = call.flags.list(&format!("{flag}-rm"));
    if added.is_empty() && removed.is_empty() {
        return;
    }
    let mut all: Map<String, Value> = known.as_object().cloned().unwrap_or_default();
    all.retain(|key, _| !removed.contains(key));
    all.extend(labels(&added));
    *known = json!(all);
}

fn mounts(call: &Invocation, spec: &mut Value) -> CliResult<()> {
    let (added, removed) = (call.flags.list("mount-add"), call.flags.list("mount-rm"));
    if added.is_empty() && removed.is_empty() {
        return Ok(());
    }
    let mut all = list(spec, &format!("{CONTAINER}/Mounts")).to_vec();
    all.retain(|known| !removed.contains(&text(known, "/Target")));
    for given in added {
        let new = mount(&given)?;
        all.retain(|known| known["Target"] != new["Target"]);
        all.push(new);
    }
    spec["TaskTemplate"]["ContainerSpec"]["Mounts"] = json!(all);
    Ok(())
}

/// Secrets and configs: the engine wants both the ID and the name, so each name is looked up.
async fn files(context: &Context, call: &Invocation, spec: &mut Value) -> CliResult<()> {
    for (kind, section, id_key, name_key) in
        [("secret", "Secrets", "SecretID", "SecretName"), ("config", "Configs", "ConfigID", "ConfigName")]
    {
        let added: Vec<String> =
            call.flags.list(kind).into_iter().chain(call.flags.list(&format!("{kind}-add"))).collect();
        let removed = call.flags.list(&format!("{kind}-rm"));
        if added.is_empty() && removed.is_empty() {
            continue;
        }
        let mut all = list(spec, &format!("{CONTAINER}/{section}")).to_vec();
        all.retain(|known| !removed.contains(&text(known, &format!("/{name_key}"))));
        for given in added {
            let (name, file) = file(kind, &given)?;
            let id = identify(context, kind, &name).await?;
            all.retain(|known| known["File"]["Name"] != file["Name"]);
            all.push(json!({"File": file, id_key: id, name_key: name}));
        }
        spec["TaskTemplate"]["ContainerSpec"][section] = json!(all);
    }
    Ok(())
}

async fn identify(context: &Context, kind: &str, name: &str) -> CliResult<String> {
    let filters = Filters::new().with("name", name);
    let found: Vec<Value> = if kind == "secret" {
        context.api.list_secrets(filters).await?.iter().map(value).collect()
    } else {
        context.api.list_configs(filters).await?.iter().map(value).collect()
    };
    // The filter matches beginnings of names.
    found
        .iter()
        .find(|object| text(object, "/Spec/Name") == name)
        .map(|object| text(object, "/ID"))
        .ok_or_else(|| CliError::new(format!("{kind} not found: {name}")))
}

/// `NAME` or `source=NAME,target=FILE,uid=0,gid=0,mode=0444`; the mode is octal.
fn file(kind: &str, given: &str) -> CliResult<(String, Value)> {
    let invalid = |reason: String| {
        CliError::with_status(125, format!("invalid argument \"{given}\" for \"--{kind}\" flag: {reason}"))
    };
    let (mut source, mut target) = (String::new(), String::new());
    let (mut user, mut group, mut mode) = ("0".to_owned(), "0".to_owned(), 0o444);
    if given.contains('=') {
        for field in given.split(',') {
            let (key, value) = field
                .split_once('=')
                .ok_or_else(|| invalid(format!("invalid field '{field}' must be a key=value pair")))?;
            match key.to_lowercase().as_str() {
                "source" | "src" => value.clone_into(&mut source),
                "target" => value.clone_into(&mut target),
                "uid" => value.clone_into(&mut user),
                "gid" => value.clone_into(&mut group),
                "mode" => {
                    mode = u32::from_str_radix(value, 8)
                        .map_err(|_| invalid(format!("invalid mode specified: {value} is not an octal number")))?;
                }
                _ => return Err(invalid(format!("invalid field key '{key}'"))),
            }
        }
    } else {
        given.clone_into(&mut source);
    }
    if source.is_empty() {
        return Err(invalid("source is required".to_owned()));
    }
    if target.is_empty() {
        target.clone_from(&source);
    }
    Ok((source, json!({"Name": target, "UID": user, "GID": group, "Mode": mode})))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_image_without_tag_is_recorded_with_latest() {
        assert_eq!(image("busybox"), "busybox:latest");
        assert_eq!(image("docker.io/library/nginx:1.27"), "nginx:1.27");
        assert_eq!(image("localhost:5000/web"), "localhost:5000/web:latest");
    }

    #[test]
    fn a_secret_has_a_short_and_a_long_form() {
        let (name, short) = file("secret", "key").unwrap();
        assert_eq!((name.as_str(), short), ("key", json!({"Name": "key", "UID": "0", "GID": "0", "Mode": 0o444})));
        let (name, long) = file("secret", "source=key,target=other,uid=7,mode=0400").unwrap();
        assert_eq!((name.as_str(), long), ("key", json!({"Name": "other", "UID": "7", "GID": "0", "Mode": 0o400})));
        assert!(file("secret", "source=key,mode=9").is_err());
        assert!(file("secret", "target=x").is_err());
    }
}
