use std::collections::{BTreeMap, HashMap};

use docklab_api::{
    Filters,
    models::{Config as ApiConfig, ConfigSpec, Secret as ApiSecret, SecretSpec},
};
use jiff::Timestamp;

use super::{check_version, find, object_version, valid_name};
use crate::{
    Manager, Store,
    error::{ControlError, ControlResult},
    objects::{Secret, Service},
    store::{ChangeAction, ObjectKind},
};

/// Bytes of content, before base64.
const MAX_SECRET: usize = 500 * 1024;
const MAX_CONFIG: usize = 1000 * 1024;

/// Secrets and configs differ in names only.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Secret,
    Config,
}

impl Kind {
    fn name(self) -> &'static str {
        if self == Self::Secret { "secret" } else { "config" }
    }
    fn object(self) -> ObjectKind {
        if self == Self::Secret { ObjectKind::Secret } else { ObjectKind::Config }
    }
    fn all(self, store: &Store) -> &BTreeMap<String, Secret> {
        if self == Self::Secret { &store.secrets } else { &store.configs }
    }
    fn all_mut(self, store: &mut Store) -> &mut BTreeMap<String, Secret> {
        if self == Self::Secret { &mut store.secrets } else { &mut store.configs }
    }
    fn used_by(self, service: &Service, id: &str) -> bool {
        let template = service.template();
        let Some(container) = template.container_spec else { return false };
        match self {
            Self::Secret => container.secrets.iter().flatten().any(|used| used.secret_id.as_deref() == Some(id)),
            Self::Config => container.configs.iter().flatten().any(|used| used.config_id.as_deref() == Some(id)),
        }
    }
}

impl Manager {
    fn find_content(&self, kind: Kind, name: &str) -> ControlResult<&Secret> {
        find(kind.all(&self.store), kind.name(), name, |content| &content.name)
    }

    fn create_content(
        &mut self,
        now: Timestamp,
        kind: Kind,
        name: Option<String>,
        labels: Option<HashMap<String, String>>,
        data: Option<String>,
    ) -> ControlResult<String> {
        self.now = self.now.max(now);
        let name = name.unwrap_or_default();
        if !valid_name(&name) || name.len() > 64 {
            return Err(ControlError::InvalidArgument(format!(
                "invalid {} name, only 64 [a-zA-Z0-9-_.] characters allowed, and the start and end character must be [a-zA-Z0-9]",
                kind.name()
            )));
        }
        let data = data.unwrap_or_default();
        let most = if kind == Kind::Secret { MAX_SECRET } else { MAX_CONFIG };
        if data.is_empty() || data.len() / 4 * 3 > most {
            return Err(ControlError::InvalidArgument(format!(
                "{} data must be larger than 0 and less than {most} bytes",
                kind.name()
            )));
        }
        if kind.all(&self.store).values().any(|other| other.name == name) {
            return Err(ControlError::AlreadyExists(format!("{} {name} already exists", kind.name())));
        }
        let id = self.random.id();
        let meta = self.store.new_meta(now);
        let labels = labels.unwrap_or_default().into_iter().collect();
        let content = Secret { id: id.clone(), meta, name: name.clone(), labels, data };
        kind.all_mut(&mut self.store).insert(id.clone(), content);
        self.store.tell(kind.object(), ChangeAction::Create, &id, &name);
        Ok(id)
    }

    fn update_content(
        &mut self,
        now: Timestamp,
        kind: Kind,
        name: &str,
        version: u64,
        new: (Option<String>, Option<HashMap<String, String>>, Option<String>),
    ) -> ControlResult<()> {
        self.now = self.now.max(now);
        let content = self.find_content(kind, name)?.clone();
        check_version(content.meta.version, version)?;
        let (new_name, labels, data) = new;
        let renamed = new_name.is_some_and(|name| name != content.name);
        if renamed || data.is_some_and(|data| !data.is_empty() && data != content.data) {
            return Err(ControlError::InvalidArgument("only updates to Labels are allowed".into()));
        }
        let meta = self.store.new_meta(now);
        if let Some(content) = kind.all_mut(&mut self.store).get_mut(&content.id) {
            content.labels = labels.unwrap_or_default().into_iter().collect();
            content.meta = crate::objects::Meta { created: content.meta.created, ..meta };
        }
        self.store.tell(kind.object(), ChangeAction::Update, &content.id, &content.name);
        Ok(())
    }

    fn remove_content(&mut self, now: Timestamp, kind: Kind, name: &str) -> ControlResult<()> {
        self.now = self.now.max(now);
        let content = self.find_content(kind, name)?.clone();
        let users: Vec<&str> = self
            .store
            .services
            .values()
            .filter(|service| kind.used_by(service, &content.id))
            .map(Service::name)
            .collect();
        if !users.is_empty() {
            let noun = if users.len() == 1 { "service" } else { "services" };
            return Err(ControlError::InvalidArgument(format!(
                "{} '{}' is in use by the following {noun}: {}",
                kind.name(),
                content.name,
                users.join(", ")
            )));
        }
        kind.all_mut(&mut self.store).remove(&content.id);
        self.store.version += 1;
        self.store.tell(kind.object(), ChangeAction::Remove, &content.id, &content.name);
        Ok(())
    }

    fn listed<'a>(&'a self, kind: Kind, filters: &'a Filters) -> impl Iterator<Item = &'a Secret> {
        kind.all(&self.store).values().filter(|content| {
            filters.any("id", |id| content.id.starts_with(id))
                && filters.any("name", |name| content.name.starts_with(name))
                && filters.any("names", |name| content.name == name)
                && filters.labels(|key| content.labels.get(key).map(String::as_str))
        })
    }

    pub fn create_secret(&mut self, now: Timestamp, spec: SecretSpec) -> ControlResult<String> {
        self.create_content(now, Kind::Secret, spec.name, spec.labels, spec.data)
    }
    /// Only labels may change.
    pub fn update_secret(&mut self, now: Timestamp, name: &str, version: u64, spec: SecretSpec) -> ControlResult<()> {
        self.update_content(now, Kind::Secret, name, version, (spec.name, spec.labels, spec.data))
    }
    /// Refused while a service uses it.
    pub fn remove_secret(&mut self, now: Timestamp, name: &str) -> ControlResult<()> {
        self.remove_content(now, Kind::Secret, name)
    }
    /// Never shows the content.
    pub fn inspect_secret(&self, name: &str) -> ControlResult<ApiSecret> {
        self.find_content(Kind::Secret, name).map(api_secret)
    }
    pub fn list_secrets(&self, filters: &Filters) -> Vec<ApiSecret> {
        self.listed(Kind::Secret, filters).map(api_secret).collect()
    }
    pub fn create_config(&mut self, now: Timestamp, spec: ConfigSpec) -> ControlResult<String> {
        self.create_content(now, Kind::Config, spec.name, spec.labels, spec.data)
    }
    /// Only labels may change.
    pub fn update_config(&mut self, now: Timestamp, name: &str, version: u64, spec: ConfigSpec) -> ControlResult<()> {
        self.update_content(now, Kind::Config, name, version, (spec.name, spec.labels, spec.data))
    }
    /// Refused while a service uses it.
    pub fn remove_config(&mut self, now: Timestamp, name: &str) -> ControlResult<()> {
        self.remove_content(now, Kind::Config, name)
    }
    pub fn inspect_config(&self, name: &str) -> ControlResult<ApiConfig> {
        self.find_content(Kind::Config, name).map(api_config)
    }
    pub fn list_configs(&self, filters: &Filters) -> Vec<ApiConfig> {
        self.listed(Kind::Config, filters).map(api_config).collect()
    }
}

fn api_secret(secret: &Secret) -> ApiSecret {
    let (created_at, updated_at) = Manager::dates(&secret.meta);
    ApiSecret {
        id: Some(secret.id.clone()),
        version: object_version(secret.meta.version),
        created_at,
        updated_at,
        spec: Some(SecretSpec {
            name: Some(secret.name.clone()),
            labels: Some(secret.labels.clone().into_iter().collect()),
            ..SecretSpec::default()
        }),
    }
}

fn api_config(config: &Secret) -> ApiConfig {
    let (created_at, updated_at) = Manager::dates(&config.meta);
    ApiConfig {
        id: Some(config.id.clone()),
        version: object_version(config.meta.version),
        created_at,
        updated_at,
        spec: Some(ConfigSpec {
            name: Some(config.name.clone()),
            labels: Some(config.labels.clone().into_iter().collect()),
            data: Some(config.data.clone()),
            ..ConfigSpec::default()
        }),
    }
}
