//! Volumes of the local driver.

use std::{
    collections::{BTreeMap, HashMap},
    sync::{PoisonError, RwLock},
};

use async_trait::async_trait;
use docklab_api::{
    ApiError, ApiResult, Filters, VolumeApi,
    models::{
        EventMessageTypeEnum, Volume, VolumeCreateOptions, VolumeListResponse, VolumePruneResponse, VolumeScopeEnum,
        VolumeUsageData,
    },
};
use docklab_host::HostError;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::{
    Engine, HostResultExt, api_error,
    containers::{MountKind, check_volume_name, pattern},
    object_id, prune, records,
};

const KIND: &str = "volume";
/// What Docker's local driver can be told.
const LOCAL_OPTIONS: [&str; 4] = ["type", "o", "device", "size"];
/// Docker marks volumes that nobody named with it.
pub(crate) const ANONYMOUS: &str = "com.docker.volume.anonymous";

/// Everything durable about one volume.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct VolumeRecord {
    pub(crate) name: String,
    created: Timestamp,
    pub(crate) mountpoint: String,
    labels: Option<HashMap<String, String>>,
    options: Option<HashMap<String, String>>,
}

/// All volumes of an engine, by name.
#[derive(Default)]
pub(crate) struct Volumes {
    by_name: RwLock<BTreeMap<String, VolumeRecord>>,
    /// Held while a volume is made or removed.
    changing: tokio::sync::Mutex<()>,
}

impl Volumes {
    fn get(&self, name: &str) -> Option<VolumeRecord> {
        self.by_name.read().unwrap_or_else(PoisonError::into_inner).get(name).cloned()
    }

    fn all(&self) -> Vec<VolumeRecord> {
        self.by_name.read().unwrap_or_else(PoisonError::into_inner).values().cloned().collect()
    }

    fn find(&self, name: &str) -> ApiResult<VolumeRecord> {
        self.get(name).ok_or_else(|| ApiError::not_found(format!("get {name}: no such volume")))
    }
}

fn model(record: &VolumeRecord) -> Volume {
    Volume {
        name: record.name.clone(),
        driver: "local".to_owned(),
        mountpoint: record.mountpoint.clone(),
        // Docker shows whole seconds here.
        created_at: Timestamp::from_second(record.created.as_second()).ok().map(|time| time.to_string()),
        status: None,
        labels: record.labels.clone().unwrap_or_default(),
        scope: Some(VolumeScopeEnum::LOCAL),
        cluster_volume: None,
        options: record.options.clone().unwrap_or_default(),
        usage_data: None,
    }
}

impl Engine {
    pub(crate) async fn open_volumes(&self) -> ApiResult<()> {
        let records = records::load::<VolumeRecord>(&*self.host, KIND).await?;
        self.volumes.by_name.write().unwrap_or_else(PoisonError::into_inner).extend(records);
        Ok(())
    }

    /// Makes a volume or returns the one that has this name already.
    pub(crate) async fn ensure_volume(
        &self,
        name: Option<String>,
        labels: Option<HashMap<String, String>>,
        options: Option<HashMap<String, String>>,
    ) -> ApiResult<VolumeRecord> {
        let anonymous = name.is_none();
        let name = name.unwrap_or_else(|| object_id(&*self.host));
        check_volume_name(&name)?;
        let _changing = self.volumes.changing.lock().await;
        if let Some(known) = self.volumes.get(&name) {
            return Ok(known);
        }
        let mountpoint = self.host.create_volume(&name).await.api()?;
        let mut labels = labels;
        if anonymous {
            labels.get_or_insert_default().insert(ANONYMOUS.to_owned(), String::new());
        }
        let record = VolumeRecord {
            name: name.clone(),
            created: self.host.now(),
            mountpoint,
            labels,
            options: options.filter(|options| !options.is_empty()),
        };
        records::put(&*self.host, KIND, &name, &record).await?;
        self.volumes.by_name.write().unwrap_or_else(PoisonError::into_inner).insert(name.clone(), record.clone());
        self.events.emit(EventMessageTypeEnum::VOLUME, "create", name, [("driver", "local")]);
        Ok(record)
    }

    /// The containers, running or not, that mount a volume.
    fn volume_users(&self, name: &str) -> Vec<String> {
        self.containers
            .all()
            .iter()
            .filter(|container| {
                container.read(|record| {
                    record.mounts.iter().any(|mount| mount.kind == MountKind::Volume && mount.name == name)
                })
            })
            .map(|container| container.id.clone())
            .collect()
    }

    pub(crate) async fn delete_volume(&self, name: &str) -> ApiResult<()> {
        let _changing = self.volumes.changing.lock().await;
        self.volumes.find(name)?;
        let users = self.volume_users(name);
        if !users.is_empty() {
            return Err(ApiError::conflict(format!("remove {name}: volume is in use - [{}]", users.join(", "))));
        }
        match self.host.remove_volume(name).await {
            Ok(()) | Err(HostError::NotFound { .. }) => {}
            Err(error) => return Err(api_error(error)),
        }
        self.host.delete_record(KIND, name).await.api()?;
        self.volumes.by_name.write().unwrap_or_else(PoisonError::into_inner).remove(name);
        self.events.emit(EventMessageTypeEnum::VOLUME, "destroy", name, [("driver", "local")]);
        Ok(())
    }

    /// The volume part of `GET /system/df`.
    pub(crate) async fn volume_usage(&self) -> ApiResult<Vec<Volume>> {
        let mut volumes = Vec::new();
        for record in self.volumes.all() {
            let size = self.host.volume_size(&record.name).await.unwrap_or(0);
            let users = self.volume_users(&record.name).len();
            let mut volume = model(&record);
            volume.usage_data = Some(VolumeUsageData {
                size: i64::try_from(size).unwrap_or(i64::MAX),
                ref_count: i64::try_from(users).unwrap_or(i64::MAX),
            });
            volumes.push(volume);
        }
        Ok(volumes)
    }
}

#[async_trait]
impl VolumeApi for Engine {
    async fn list_volumes(&self, filters: Filters) -> ApiResult<VolumeListResponse> {
        filters.accept(&["dangling", "driver", "label", "name"])?;
        let dangling = filters.boolean("dangling")?;
        let volumes = self
            .volumes
            .all()
            .iter()
            .filter(|record| {
                let labels = record.labels.as_ref();
                filters.any("name", |name| pattern(name, &record.name))
                    && filters.any("driver", |driver| driver == "local")
                    && filters.labels(|key| labels.and_then(|labels| labels.get(key)).map(String::as_str))
                    && dangling.is_none_or(|wanted| wanted == self.volume_users(&record.name).is_empty())
            })
            .map(model)
            .collect();
        Ok(VolumeListResponse { volumes: Some(volumes), warnings: None })
    }

    async fn create_volume(&self, body: VolumeCreateOptions) -> ApiResult<Volume> {
        let driver = body.driver.as_deref().unwrap_or("");
        if !matches!(driver, "" | "local" | "default") {
            return Err(ApiError::not_found(format!(
                "create {}: error looking up volume plugin {driver}: plugin \"{driver}\" not found",
                body.name.unwrap_or_default()
            )));
        }
        if let Some(unknown) =
            body.driver_opts.iter().flatten().map(|(key, _)| key).find(|key| !LOCAL_OPTIONS.contains(&key.as_str()))
        {
            return Err(ApiError::invalid(format!(
                "create {}: invalid option: {unknown:?}",
                body.name.unwrap_or_default()
            )));
        }
        if let Some(option) = body.driver_opts.iter().flatten().map(|(key, _)| key).next() {
            return Err(ApiError::not_implemented(format!(
                "create {}: option \"{option}\" of the local volume driver is not supported; use a bind mount instead",
                body.name.unwrap_or_default()
            )));
        }
        let name = body.name.filter(|name| !name.is_empty());
        let record = self.ensure_volume(name, body.labels, body.driver_opts).await?;
        Ok(model(&record))
    }

    async fn inspect_volume(&self, name: &str) -> ApiResult<Volume> {
        Ok(model(&self.volumes.find(name)?))
    }

    async fn remove_volume(&self, name: &str, force: bool) -> ApiResult<()> {
        match self.delete_volume(name).await {
            Err(error) if force && error.is_not_found() => Ok(()),
            result => result,
        }
    }

    async fn prune_volumes(&self, filters: Filters) -> ApiResult<VolumePruneResponse> {
        filters.accept(&["all", "label", "label!"])?;
        let _guard = prune::Guard::enter(&self.pruning.volumes)?;
        let all = filters.boolean("all")?.unwrap_or(false);
        let mut deleted = Vec::new();
        let mut reclaimed: u64 = 0;
        for record in self.volumes.all() {
            let labels = record.labels.clone().unwrap_or_default();
            let candidate = (all || labels.contains_key(ANONYMOUS))
                && prune::labels(&filters, &labels)
                && self.volume_users(&record.name).is_empty();
            if !candidate {
                continue;
            }
            let size = self.host.volume_size(&record.name).await.unwrap_or(0);
            if self.delete_volume(&record.name).await.is_ok() {
                reclaimed += size;
                deleted.push(record.name);
            }
        }
        self.events.emit(EventMessageTypeEnum::VOLUME, "prune", "", [("reclaimed", reclaimed.to_string())]);
        Ok(VolumePruneResponse {
            volumes_deleted: Some(deleted),
            space_reclaimed: Some(i64::try_from(reclaimed).unwrap_or(i64::MAX)),
        })
    }
}
