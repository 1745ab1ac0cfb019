use std::collections::HashSet;

use docklab_api::{ApiError, ApiResult, Filters};
use jiff::Timestamp;

use super::{MountKind, health_word, record::Record};
use crate::{Engine, ports::ContainerPort, short_id};

const KNOWN: [&str; 15] = [
    "ancestor",
    "before",
    "exited",
    "expose",
    "health",
    "id",
    "is-task",
    "isolation",
    "label",
    "name",
    "network",
    "publish",
    "since",
    "status",
    "volume",
];
const STATES: [&str; 7] = ["created", "restarting", "running", "removing", "paused", "exited", "dead"];
const HEALTH: [&str; 4] = ["none", "starting", "healthy", "unhealthy"];

/// `docker ps -f`, prepared once and applied to every container.
pub(crate) struct ContainerFilter {
    filters: Filters,
    exited: Vec<i32>,
    before: Option<Timestamp>,
    since: Option<Timestamp>,
    ancestors: Option<HashSet<String>>,
    is_task: Option<bool>,
    publish: Vec<(u16, u16, String)>,
    expose: Vec<(u16, u16, String)>,
}

/// Docker matches names and IDs as regular expressions; what is none only matches itself.
pub(crate) fn pattern(pattern: &str, text: &str) -> bool {
    pattern == text || regex_lite::Regex::new(pattern).is_ok_and(|pattern| pattern.is_match(text))
}

fn port_ranges(values: &[String], key: &str) -> ApiResult<Vec<(u16, u16, String)>> {
    values
        .iter()
        .map(|value| {
            let (range, protocol) = value.split_once('/').unwrap_or((value, "tcp"));
            let (first, last) = range.split_once('-').unwrap_or((range, range));
            match (first.parse(), last.parse()) {
                (Ok(first), Ok(last)) => Ok((first, last, protocol.to_owned())),
                _ => Err(ApiError::system(format!(
                    "error while looking up for {key} {value}: strconv.ParseUint: parsing \"{range}\": invalid syntax"
                ))),
            }
        })
        .collect()
}

impl Engine {
    pub(crate) fn container_filter(&self, filters: Filters) -> ApiResult<ContainerFilter> {
        filters.accept(&KNOWN)?;
        for status in filters.get("status") {
            if !STATES.contains(&status.as_str()) {
                return Err(ApiError::invalid(format!(
                    "invalid filter 'status={status}': invalid value for state ({status}): must be one of created, running, \
                     paused, restarting, removing, exited, dead"
                )));
            }
        }
        for health in filters.get("health") {
            if !HEALTH.contains(&health.as_str()) {
                return Err(ApiError::invalid(format!(
                    "invalid filter 'health={health}': invalid value for health ({health}): must be one of none, starting, \
                     healthy, unhealthy"
                )));
            }
        }
        let mut exited = Vec::new();
        for code in filters.get("exited") {
            let parsed = code.parse();
            exited.push(parsed.map_err(|_| {
                ApiError::invalid(format!(
                    "invalid filter 'exited={code}': strconv.Atoi: parsing \"{code}\": invalid syntax"
                ))
            })?);
        }
        let created = |key: &str| -> ApiResult<Option<Timestamp>> {
            match filters.get(key).first() {
                Some(reference) => Ok(Some(self.container(reference)?.read(|record| record.created))),
                None => Ok(None),
            }
        };
        let (before, since) = (created("before")?, created("since")?);
        // A container that was built on a named image has it among its ancestors.
        let ancestors = (!filters.get("ancestor").is_empty()).then(|| {
            let names = filters.get("ancestor").iter();
            names.filter_map(|name| self.images.resolve(name).ok()).map(|image| image.id).collect()
        });
        let is_task = filters.boolean("is-task")?;
        let publish = port_ranges(filters.get("publish"), "publish")?;
        let expose = port_ranges(filters.get("expose"), "expose")?;
        Ok(ContainerFilter { filters, exited, before, since, ancestors, is_task, publish, expose })
    }

    fn descends(&self, record: &Record, ancestors: &HashSet<String>) -> bool {
        self.images.ancestors(&record.image_id).iter().any(|image| ancestors.contains(image))
    }

    pub(crate) fn filter_matches(&self, filter: &ContainerFilter, record: &Record) -> bool {
        let filters = &filter.filters;
        let state = &record.state;
        let labels = record.config.labels.as_ref();
        filters.any("id", |id| record.id.starts_with(id) || pattern(id, &record.id))
            && filters.any("name", |name| pattern(name, &record.name) || pattern(name, &format!("/{}", record.name)))
            && filters.labels(|key| labels.and_then(|labels| labels.get(key)).map(String::as_str))
            && filters.any("status", |status| state.word() == status)
            && filters.any("health", |health| {
                health_word(state.health.as_ref().map_or(docklab_api::models::HealthStatusEnum::NONE, |h| h.status))
                    == health
            })
            && (filter.exited.is_empty()
                || !state.running && state.started_at.is_some() && filter.exited.contains(&state.exit_code))
            && filter.before.is_none_or(|before| record.created < before)
            && filter.since.is_none_or(|since| record.created > since)
            && filter.ancestors.as_ref().is_none_or(|ancestors| self.descends(record, ancestors))
            && filters.any("volume", |volume| {
                record.mounts.iter().any(|mount| {
                    mount.target == volume
                        || mount.kind == MountKind::Volume && mount.name == volume
                        || mount.kind == MountKind::Bind && mount.source == volume
                })
            })
            && filters.any("network", |network| {
                record.endpoints.iter().any(|(name, endpoint)| {
                    name == network
                        || endpoint.network_id == network
                        || !endpoint.network_id.is_empty() && short_id(&endpoint.network_id) == network
                })
            })
            && filter.is_task.is_none_or(|wanted| {
                wanted == labels.is_some_and(|labels| labels.contains_key("com.docker.swarm.task.id"))
            })
            && self.ports_match(filter, record)
    }

    fn ports_match(&self, filter: &ContainerFilter, record: &Record) -> bool {
        let within = |ranges: &[(u16, u16, String)], number: u16, protocol: &str| {
            ranges.iter().any(|(first, last, wanted)| (*first..=*last).contains(&number) && wanted == protocol)
        };
        // Only a container with a network has ports, published or only exposed, and one of either kind is enough.
        if filter.publish.is_empty() && filter.expose.is_empty() {
            return true;
        }
        let open = record.ports.iter().any(|port| {
            let protocol = crate::ports::protocol_name(port.protocol);
            within(&filter.publish, port.host_port, protocol) || within(&filter.expose, port.container_port, protocol)
        });
        let exposed = record.config.exposed_ports.iter().flat_map(|ports| ports.keys()).any(|port| {
            ContainerPort::parse(port)
                .is_ok_and(|port| within(&filter.expose, port.number, crate::ports::protocol_name(port.protocol)))
        });
        open || exposed && !record.sandbox.is_empty()
    }
}
