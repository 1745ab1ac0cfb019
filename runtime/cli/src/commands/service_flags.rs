//! What `service create` and `service update` flags make of a service's specification: the container's settings,
//! resources, secrets and configs. Policies (update, rollback, restart) are in [`super::tasks`].

use serde_json::{Map, Value, json};

use crate::{
    commands::{
        container::{
            create::{health, labels},
            limits,
        },
        json::{list, strings, text, value},
        mount, service_files,
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
    mounts(context, call, spec)?;
    service_files::apply(context, call, spec).await
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
        container["Command"] = json!(words(command)?);
    }
    if let Some(health) = health(call)? {
        merge_health(container, health);
    }
    if let Some(score) = flags.integer("oom-score-adj") {
        container["OomScoreAdj"] = json!(score);
    }
    if let Some(isolation) = flags.get("isolation") {
        container["Isolation"] = json!(isolation);
    }
    if flags.given("log-driver") {
        spec["TaskTemplate"]["LogDriver"] =
            json!({"Name": flags.text("log-driver"), "Options": labels(&flags.list("log-opt"))});
    }
    preferences(call, spec);
    Ok(())
}

/// The label that tasks are spread over, without `spread=`.
fn spread(given: &str) -> &str {
    given.strip_prefix("spread=").unwrap_or(given)
}

fn preferences(call: &Invocation, spec: &mut Value) {
    let flags = &call.flags;
    let added: Vec<String> = flags.list("placement-pref").into_iter().chain(flags.list("placement-pref-add")).collect();
    let removed = flags.list("placement-pref-rm");
    if added.is_empty() && removed.is_empty() {
        return;
    }
    let mut all = list(spec, "/TaskTemplate/Placement/Preferences").to_vec();
    all.retain(|known| !removed.iter().any(|gone| text(known, "/Spread/SpreadDescriptor") == spread(gone)));
    all.extend(added.iter().map(|given| json!({"Spread": {"SpreadDescriptor": spread(given)}})));
    spec["TaskTemplate"]["Placement"]["Preferences"] = json!(all);
}

/// New settings of a health check go over the present ones; a new command or none at all starts afresh.
fn merge_health(container: &mut Value, health: Value) {
    let known = container.get("Healthcheck").cloned().unwrap_or(Value::Null);
    let mut merged = if known.is_object() && health["Test"] != json!(["NONE"]) { known } else { json!({}) };
    if let Some(health) = health.as_object() {
        for (key, value) in health {
            merged[key] = value.clone();
        }
    }
    container["Healthcheck"] = merged;
}

/// Limits and reservations: CPUs in billionths, memory in bytes.
fn resources(call: &Invocation, spec: &mut Value) -> CliResult<()> {
    let flags = &call.flags;
    for (prefix, section) in [("limit", "Limits"), ("reserve", "Reservations")] {
        let cpu = format!("{prefix}-cpu");
        if let Some(cpus) = flags.get(&cpu).and_then(|given| crate::grammar::parse_cpus(given).ok()) {
            spec["TaskTemplate"]["Resources"][section]["NanoCPUs"] = json!(cpus);
        }
        if let Some(bytes) = flags.bytes(&format!("{prefix}-memory")) {
            spec["TaskTemplate"]["Resources"][section]["MemoryBytes"] = json!(bytes);
        }
    }
    if let Some(pids) = flags.integer("limit-pids") {
        spec["TaskTemplate"]["Resources"]["Limits"]["Pids"] = json!(pids);
    }
    generic_resources(call, spec)
}

/// `--generic-resource gpu=2`: counted kinds only.
fn generic_resources(call: &Invocation, spec: &mut Value) -> CliResult<()> {
    let flags = &call.flags;
    let added: Vec<String> =
        flags.list("generic-resource").into_iter().chain(flags.list("generic-resource-add")).collect();
    let removed = flags.list("generic-resource-rm");
    if added.is_empty() && removed.is_empty() {
        return Ok(());
    }
    let kind = |resource: &Value| text(resource, "/DiscreteResourceSpec/Kind");
    let mut all = list(spec, "/TaskTemplate/Resources/Reservations/GenericResources").to_vec();
    all.retain(|known| !removed.contains(&kind(known)));
    for given in added {
        let (name, count) = given.split_once('=').unwrap_or((&given, ""));
        let count: i64 = count.parse().map_err(|_| {
            CliError::new(format!(
                "invalid generic-resource request `{given}`, Named Generic Resources is not supported for service create or update"
            ))
        })?;
        all.retain(|known| kind(known) != name);
        all.push(json!({"DiscreteResourceSpec": {"Kind": name, "Value": count}}));
    }
    spec["TaskTemplate"]["Resources"]["Reservations"]["GenericResources"] = json!(all);
    Ok(())
}

/// Lists of texts, and labels: `NAME` at creation, `NAME-add` and `NAME-rm` at update.
fn lists(call: &Invocation, spec: &mut Value) -> CliResult<()> {
    let flags = &call.flags;
    for (flag, key) in [
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
    capabilities(call, spec);
    hosts(call, spec);
    sysctls_and_ulimits(call, spec)?;
    change_labels(call, "label", &mut spec["Labels"]);
    change_labels(call, "container-label", &mut spec["TaskTemplate"]["ContainerSpec"]["Labels"]);
    Ok(())
}

/// `--cap-add` and `--cap-drop` take back what the other has set.
fn capabilities(call: &Invocation, spec: &mut Value) {
    let flags = &call.flags;
    let (added, dropped) = (flags.list("cap-add"), flags.list("cap-drop"));
    if added.is_empty() && dropped.is_empty() {
        return;
    }
    let (added, dropped) = (limits::capabilities(&added), limits::capabilities(&dropped));
    for (key, new, taken_back) in [("CapabilityAdd", &added, &dropped), ("CapabilityDrop", &dropped, &added)] {
        let mut all = strings(spec, &format!("{CONTAINER}/{key}"));
        all.retain(|known| !taken_back.contains(known));
        all.extend(new.iter().filter(|name| !(key == "CapabilityAdd" && taken_back.contains(name))).cloned());
        all = limits::capabilities(&all);
        if !all.is_empty() || spec.pointer(&format!("{CONTAINER}/{key}")).is_some() {
            spec["TaskTemplate"]["ContainerSpec"][key] = json!(all);
        }
    }
}

/// A service keeps hosts as lines of /etc/hosts: the address first.
fn hosts(call: &Invocation, spec: &mut Value) {
    let flags = &call.flags;
    let names: Vec<String> = if call.command.path == "service create" { flags.list("host") } else { Vec::new() };
    let added: Vec<String> = names.into_iter().chain(flags.list("host-add")).collect();
    let removed = flags.list("host-rm");
    if added.is_empty() && removed.is_empty() {
        return;
    }
    let mut all = strings(spec, &format!("{CONTAINER}/Hosts"));
    all.retain(|line| {
        !removed.iter().any(|gone| {
            let (name, address) = gone.split_once(':').unwrap_or((gone, ""));
            let mut parts = line.split_whitespace();
            let found = parts.next().unwrap_or_default();
            parts.next() == Some(name) && (address.is_empty() || address == found)
        })
    });
    for given in added {
        if let Some((name, address)) = crate::grammar::split_host(&given) {
            all.push(format!("{address} {name}"));
        }
    }
    spec["TaskTemplate"]["ContainerSpec"]["Hosts"] = json!(all);
}

fn sysctls_and_ulimits(call: &Invocation, spec: &mut Value) -> CliResult<()> {
    let flags = &call.flags;
    let added: Vec<String> = flags.list("sysctl").into_iter().chain(flags.list("sysctl-add")).collect();
    let removed = flags.list("sysctl-rm");
    let container = &mut spec["TaskTemplate"]["ContainerSpec"];
    if !added.is_empty() || !removed.is_empty() {
        let mut all = container["Sysctls"].as_object().cloned().unwrap_or_default();
        all.retain(|key, _| !removed.contains(key));
        all.extend(labels(&added));
        container["Sysctls"] = json!(all);
    }
    let added: Vec<String> = flags.list("ulimit").into_iter().chain(flags.list("ulimit-add")).collect();
    let removed = flags.list("ulimit-rm");
    if !added.is_empty() || !removed.is_empty() {
        let mut all = list(container, "/Ulimits").to_vec();
        all.retain(|known| !removed.contains(&text(known, "/Name")));
        for given in added {
            let limit = limits::ulimit(&given).map_err(CliError::new)?;
            all.retain(|known| known["Name"] != limit["Name"]);
            all.push(limit);
        }
        all.sort_by_key(|limit| text(limit, "/Name"));
        container["Ulimits"] = json!(all);
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

fn mounts(context: &Context, call: &Invocation, spec: &mut Value) -> CliResult<()> {
    let (added, removed) = (call.flags.list("mount-add"), call.flags.list("mount-rm"));
    if added.is_empty() && removed.is_empty() {
        return Ok(());
    }
    let mut all = list(spec, &format!("{CONTAINER}/Mounts")).to_vec();
    all.retain(|known| !removed.contains(&text(known, "/Target")));
    for given in added {
        let mut new = mount::parse(&given).map_err(CliError::new)?;
        mount::absolute(&mut new, &context.console.working_directory());
        all.retain(|known| known["Target"] != new["Target"]);
        all.push(new);
    }
    all.sort_by_key(|mount| (text(mount, "/Source"), text(mount, "/Target")));
    spec["TaskTemplate"]["ContainerSpec"]["Mounts"] = json!(all);
    Ok(())
}

/// Networks by name, with what the long form says of each.
pub(crate) async fn networks(context: &Context, given: &[String]) -> CliResult<Vec<Value>> {
    let mut networks = Vec::new();
    for text_given in given {
        let parsed = crate::commands::container::networks::parse(text_given).map_err(CliError::new)?;
        let network = value(&context.api.inspect_network(&parsed.target, false, Some("swarm")).await?);
        let mut attachment = json!({"Target": text(&network, "/Id")});
        if !parsed.aliases.is_empty() {
            attachment["Aliases"] = json!(parsed.aliases);
        }
        if !parsed.driver_options.is_empty() {
            attachment["DriverOpts"] = json!(parsed.driver_options);
        }
        networks.push(attachment);
    }
    networks.sort_by_key(|network| text(network, "/Target"));
    Ok(networks)
}

/// Of several variables of one name only the last counts.
pub(crate) fn last_of_each(variables: &mut Value) {
    let Some(items) = variables.as_array_mut() else { return };
    let name = |item: &Value| item.as_str().and_then(|text| text.split('=').next()).unwrap_or_default().to_owned();
    let mut names: Vec<String> = items.iter().map(name).collect();
    let mut index = 0;
    items.retain(|_| {
        let later = names[index + 1..].contains(&names[index]);
        index += 1;
        !later
    });
    names.clear();
}

/// Words of a command as a shell would split them, without expanding anything.
pub(crate) fn words(text: &str) -> CliResult<Vec<String>> {
    let mut words = Vec::new();
    let mut word: Option<String> = None;
    let mut letters = text.chars();
    let unclosed = || CliError::new("invalid command line string");
    while let Some(letter) = letters.next() {
        match letter {
            ' ' | '\t' | '\n' => words.extend(word.take()),
            '\\' => word.get_or_insert_default().push(letters.next().ok_or_else(unclosed)?),
            '\'' => {
                let word = word.get_or_insert_default();
                loop {
                    match letters.next().ok_or_else(unclosed)? {
                        '\'' => break,
                        letter => word.push(letter),
                    }
                }
            }
            '"' => {
                let word = word.get_or_insert_default();
                loop {
                    match letters.next().ok_or_else(unclosed)? {
                        '"' => break,
                        '\\' => word.push(letters.next().ok_or_else(unclosed)?),
                        letter => word.push(letter),
                    }
                }
            }
            letter => word.get_or_insert_default().push(letter),
        }
    }
    words.extend(word);
    Ok(words)
}

/// Pins an image's tag to the digest that the registry has now, so that all nodes run the same, and says for which
/// platforms it is; the warning when the registry cannot be asked.
pub(crate) async fn pin_image(context: &Context, spec: &mut Value) -> Option<String> {
    let image = text(spec, "/TaskTemplate/ContainerSpec/Image");
    let Ok(reference) = docklab_api::Reference::parse(&image) else { return None };
    if reference.digest.is_some() {
        return None;
    }
    let name = reference.familiar();
    let found = context.api.inspect_distribution(&image, None).await.ok().map(|found| value(&found));
    let digest = found.as_ref().map(|found| text(found, "/Descriptor/digest")).filter(|digest| !digest.is_empty());
    let Some(digest) = digest else {
        return Some(format!(
            "image {name} could not be accessed on a registry to record\nits digest. Each node will access {name} \
             independently,\npossibly leading to different nodes running different\nversions of the image.\n"
        ));
    };
    spec["TaskTemplate"]["ContainerSpec"]["Image"] = json!(format!("{name}@{digest}"));
    let platforms: Vec<Value> = list(found.as_ref().unwrap_or(&Value::Null), "/Platforms")
        .iter()
        .map(|platform| json!({"Architecture": text(platform, "/architecture"), "OS": text(platform, "/os")}))
        .filter(|platform| platform["Architecture"] != json!("") && platform["OS"] != json!(""))
        .collect();
    if !platforms.is_empty() {
        spec["TaskTemplate"]["Placement"]["Platforms"] = json!(platforms);
    }
    None
}

/// A section that a flag makes is complete: what no flag sets has Docker's default.
fn complete(spec: &mut Value, section: &str, defaults: Value) {
    if spec[section].is_null() {
        spec[section] = defaults;
    }
}

/// Update, restart and placement flags, which `create` and `update` share.
pub(crate) fn apply_policies(call: &Invocation, spec: &mut Value) {
    let flags = &call.flags;
    for (prefix, section) in [("update", "UpdateConfig"), ("rollback", "RollbackConfig")] {
        let names = ["parallelism", "delay", "monitor", "failure-action", "order", "max-failure-ratio"];
        if names.iter().any(|name| flags.given(&format!("{prefix}-{name}"))) {
            let defaults = json!({
                "Parallelism": 1, "FailureAction": "pause", "Monitor": 5_000_000_000_i64, "MaxFailureRatio": 0,
                "Order": "stop-first",
            });
            complete(spec, section, defaults);
        }
        let ratio = flags.get(&format!("{prefix}-max-failure-ratio")).and_then(|ratio| ratio.parse::<f64>().ok());
        if let Some(ratio) = ratio {
            spec[section]["MaxFailureRatio"] = json!(ratio);
        }
    }
    if ["condition", "delay", "max-attempts", "window"].iter().any(|name| flags.given(&format!("restart-{name}"))) {
        let defaults = json!({"Condition": "any", "Delay": 5_000_000_000_i64, "MaxAttempts": 0});
        complete(&mut spec["TaskTemplate"], "RestartPolicy", defaults);
    }
    if let Some(nanoseconds) = flags.duration("restart-window") {
        spec["TaskTemplate"]["RestartPolicy"]["Window"] = json!(nanoseconds);
    }
    for (flag, section, key) in [
        ("update-parallelism", "UpdateConfig", "Parallelism"),
        ("rollback-parallelism", "RollbackConfig", "Parallelism"),
    ] {
        if let Some(number) = flags.integer(flag) {
            spec[section][key] = json!(number);
        }
    }
    for prefix in ["update", "rollback"] {
        let section = if prefix == "update" { "UpdateConfig" } else { "RollbackConfig" };
        for (flag, key) in [("delay", "Delay"), ("monitor", "Monitor")] {
            if let Some(nanoseconds) = flags.duration(&format!("{prefix}-{flag}")) {
                spec[section][key] = json!(nanoseconds);
            }
        }
        for (flag, key) in [("failure-action", "FailureAction"), ("order", "Order")] {
            if let Some(text) = flags.get(&format!("{prefix}-{flag}")) {
                spec[section][key] = json!(text);
            }
        }
    }
    if let Some(condition) = flags.get("restart-condition") {
        spec["TaskTemplate"]["RestartPolicy"]["Condition"] = json!(condition);
    }
    if let Some(nanoseconds) = flags.duration("restart-delay") {
        spec["TaskTemplate"]["RestartPolicy"]["Delay"] = json!(nanoseconds);
    }
    if let Some(attempts) = flags.integer("restart-max-attempts") {
        spec["TaskTemplate"]["RestartPolicy"]["MaxAttempts"] = json!(attempts);
    }
    if flags.given("constraint") {
        spec["TaskTemplate"]["Placement"]["Constraints"] = json!(flags.list("constraint"));
    }
    if let Some(most) = flags.integer("replicas-max-per-node") {
        spec["TaskTemplate"]["Placement"]["MaxReplicas"] = json!(most);
    }
    if let Some(nanoseconds) = flags.duration("stop-grace-period") {
        spec["TaskTemplate"]["ContainerSpec"]["StopGracePeriod"] = json!(nanoseconds);
    }
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
    fn words_are_split_as_a_shell_does() {
        assert_eq!(words("a 'b c' \"d \\\" e\" f\\ g").unwrap(), ["a", "b c", "d \" e", "f g"]);
        assert!(words("'open").is_err());
    }
}
