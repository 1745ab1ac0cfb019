use std::collections::BTreeMap;

use docklab_api::{
    ApiError, ApiResult,
    models::{ContainerConfig, HostConfig, Mount, MountTypeEnum},
};
use docklab_host::TmpfsOptions;

use super::record::{MountKind, Mountpoint};
use crate::{Engine, HostResultExt, names};

pub(crate) fn blank(kind: MountKind, target: &str) -> Mountpoint {
    Mountpoint {
        kind,
        name: String::new(),
        source: String::new(),
        target: target.to_owned(),
        read_only: false,
        mode: String::new(),
        no_copy: false,
        create: false,
        anonymous: false,
        tmpfs: TmpfsOptions::default(),
    }
}

/// A path without `.`, doubled or trailing slashes. `..` does not leave the root.
pub(crate) fn clean(path: &str) -> String {
    let mut parts: Vec<&str> = Vec::new();
    for part in path.split('/') {
        match part {
            "" | "." => {}
            ".." => {
                parts.pop();
            }
            part => parts.push(part),
        }
    }
    format!("/{}", parts.join("/"))
}

/// Reads one `-v`: `source:target[:options]`.
fn parse_bind(text: &str) -> ApiResult<Mountpoint> {
    let invalid = || ApiError::invalid(format!("invalid volume specification: '{text}'"));
    let mut parts = text.splitn(3, ':');
    let (source, target, mode) = match (parts.next(), parts.next(), parts.next()) {
        (Some(source), Some(target), mode) if !source.is_empty() && !target.is_empty() => {
            (source, target, mode.unwrap_or(""))
        }
        _ => return Err(invalid()),
    };
    if !target.starts_with('/') {
        return Err(ApiError::invalid(format!(
            "invalid volume specification: '{text}': invalid mount config for type \"{}\": invalid mount path: '{target}' \
             mount path must be absolute",
            if source.starts_with('/') { "bind" } else { "volume" }
        )));
    }
    let target = clean(target);
    if target == "/" {
        return Err(ApiError::invalid(format!(
            "invalid volume specification: '{text}': invalid mount config: destination can't be '/'"
        )));
    }
    let mut mount = if source.starts_with('/') {
        Mountpoint { source: clean(source), create: true, ..blank(MountKind::Bind, &target) }
    } else {
        if !names::is_valid(source) {
            return Err(ApiError::invalid(if source.len() < 2 {
                "volume name is too short, names should be at least two alphanumeric characters".to_owned()
            } else {
                format!(
                    "create {source}: \"{source}\" includes invalid characters for a local volume name, only \
                     \"[a-zA-Z0-9][a-zA-Z0-9_.-]\" are allowed. If you intended to pass a host directory, use absolute path"
                )
            }));
        }
        Mountpoint { name: source.to_owned(), ..blank(MountKind::Volume, &target) }
    };
    for option in mode.split(',').filter(|option| !option.is_empty()) {
        match option {
            "ro" => mount.read_only = true,
            "nocopy" if mount.kind == MountKind::Volume => mount.no_copy = true,
            "rw" | "z" | "Z" | "cached" | "delegated" | "consistent" => {}
            "shared" | "rshared" | "slave" | "rslave" | "private" | "rprivate" if mount.kind == MountKind::Bind => {}
            _ => return Err(ApiError::invalid(format!("invalid mode: {mode}"))),
        }
    }
    mode.clone_into(&mut mount.mode);
    Ok(mount)
}

/// Reads one `--mount`.
fn parse_mount(mount: &Mount) -> ApiResult<Mountpoint> {
    let kind = mount.typ.unwrap_or(MountTypeEnum::EMPTY);
    let word = match kind {
        MountTypeEnum::BIND => "bind",
        MountTypeEnum::VOLUME => "volume",
        MountTypeEnum::TMPFS => "tmpfs",
        other => return Err(ApiError::invalid(format!("mount type unknown: \"{other}\""))),
    };
    let bad = |what: String| ApiError::invalid(format!("invalid mount config for type \"{word}\": {what}"));
    let target = mount.target.as_deref().unwrap_or("");
    if target.is_empty() {
        return Err(bad("field Target must not be empty".to_owned()));
    }
    if !target.starts_with('/') {
        return Err(bad(format!("invalid mount path: '{target}' mount path must be absolute")));
    }
    let target = clean(target);
    if target == "/" {
        return Err(bad("invalid specification: destination can't be '/'".to_owned()));
    }
    let source = mount.source.as_deref().unwrap_or("");
    let mut point = match kind {
        MountTypeEnum::BIND => {
            if source.is_empty() {
                return Err(bad("field Source must not be empty".to_owned()));
            }
            if !source.starts_with('/') {
                return Err(bad(format!("invalid mount path: '{source}' mount path must be absolute")));
            }
            let create = mount.bind_options.as_ref().and_then(|options| options.create_mountpoint).unwrap_or(false);
            Mountpoint { source: clean(source), create, ..blank(MountKind::Bind, &target) }
        }
        MountTypeEnum::VOLUME => Mountpoint {
            name: source.to_owned(),
            anonymous: source.is_empty(),
            no_copy: mount.volume_options.as_ref().and_then(|options| options.no_copy).unwrap_or(false),
            ..blank(MountKind::Volume, &target)
        },
        _ => {
            if !source.is_empty() {
                return Err(bad("field Source must not be specified".to_owned()));
            }
            let options = mount.tmpfs_options.clone().unwrap_or_default();
            let tmpfs = TmpfsOptions {
                size: options.size_bytes.and_then(|size| u64::try_from(size).ok()).filter(|size| *size > 0),
                mode: options.mode.and_then(|mode| u32::try_from(mode).ok()).filter(|mode| *mode > 0),
            };
            Mountpoint { tmpfs, ..blank(MountKind::Tmpfs, &target) }
        }
    };
    point.read_only = mount.read_only.unwrap_or(false);
    Ok(point)
}

/// Reads one `--tmpfs` value: `size=64m,mode=1777,…`.
fn parse_tmpfs(target: &str, options: &str) -> ApiResult<Mountpoint> {
    let invalid = |option: &str| ApiError::invalid(format!("invalid tmpfs option {option:?}"));
    let mut mount = blank(MountKind::Tmpfs, &clean(target));
    options.clone_into(&mut mount.mode);
    for option in options.split(',').filter(|option| !option.is_empty()) {
        match option.split_once('=') {
            Some(("size", size)) => mount.tmpfs.size = Some(bytes(size).ok_or_else(|| invalid(option))?),
            Some(("mode", mode)) => {
                mount.tmpfs.mode = Some(u32::from_str_radix(mode, 8).map_err(|_| invalid(option))?);
            }
            None if option == "ro" => mount.read_only = true,
            Some(("uid" | "gid" | "nr_inodes", _)) => {}
            None if matches!(option, "rw" | "exec" | "noexec" | "suid" | "nosuid" | "dev" | "nodev") => {}
            _ => return Err(invalid(option)),
        }
    }
    Ok(mount)
}

fn bytes(text: &str) -> Option<u64> {
    let (number, factor) = match text.as_bytes().last()?.to_ascii_lowercase() {
        b'k' => (&text[..text.len() - 1], 1 << 10),
        b'm' => (&text[..text.len() - 1], 1 << 20),
        b'g' => (&text[..text.len() - 1], 1 << 30),
        _ => (text, 1),
    };
    number.parse::<u64>().ok()?.checked_mul(factor)
}

/// All mounts that a container asks for, by target; a later kind wins over an earlier one as in Docker: the image's and
/// `-v /path` volumes last and only where nothing else is.
pub(crate) fn plan(
    config: &ContainerConfig,
    host_config: &HostConfig,
    inherited: Vec<Mountpoint>,
) -> ApiResult<Vec<Mountpoint>> {
    let mut planned: BTreeMap<String, Mountpoint> =
        inherited.into_iter().map(|mount| (mount.target.clone(), mount)).collect();
    let mut own: Vec<String> = Vec::new();
    let mut add = |mount: Mountpoint| {
        if own.contains(&mount.target) {
            return Err(ApiError::invalid(format!("Duplicate mount point: {}", mount.target)));
        }
        own.push(mount.target.clone());
        planned.insert(mount.target.clone(), mount);
        Ok(())
    };
    for bind in host_config.binds.iter().flatten() {
        add(parse_bind(bind)?)?;
    }
    for mount in host_config.mounts.iter().flatten() {
        add(parse_mount(mount)?)?;
    }
    for (target, options) in host_config.tmpfs.iter().flatten() {
        add(parse_tmpfs(target, options)?)?;
    }
    for target in config.volumes.iter().flat_map(|volumes| volumes.keys()) {
        // A path without a slash at its start counts from the root, as in Docker.
        let target = clean(&format!("/{}", target.trim_start_matches('/')));
        planned
            .entry(target.clone())
            .or_insert_with(|| Mountpoint { anonymous: true, ..blank(MountKind::Volume, &target) });
    }
    Ok(planned.into_values().collect())
}

impl Engine {
    /// The mounts of the containers named by `--volumes-from`.
    pub(crate) fn inherited_mounts(&self, host_config: &HostConfig) -> ApiResult<Vec<Mountpoint>> {
        let mut mounts = Vec::new();
        for from in host_config.volumes_from.iter().flatten() {
            let (name, mode) = from.split_once(':').unwrap_or((from, ""));
            if !matches!(mode, "" | "ro" | "rw" | "z" | "Z") {
                return Err(ApiError::invalid(format!("invalid mode: {mode}")));
            }
            let other = self.container(name)?;
            let inherited = other.read(|record| record.mounts.clone());
            mounts.extend(inherited.into_iter().filter(|mount| mount.kind != MountKind::Tmpfs).map(|mut mount| {
                mount.read_only |= mode == "ro";
                // It goes away with the container that made it.
                mount.anonymous = false;
                mount
            }));
        }
        Ok(mounts)
    }

    /// Makes the volumes of a container's mounts and looks at its bind sources.
    pub(crate) async fn prepare_mounts(&self, mounts: &mut [Mountpoint], requested: &[Mount]) -> ApiResult<()> {
        for mount in mounts {
            match mount.kind {
                MountKind::Volume => {
                    let labels = requested
                        .iter()
                        .find(|request| request.target.as_deref().map(clean).as_deref() == Some(&mount.target))
                        .and_then(|request| request.volume_options.as_ref())
                        .and_then(|options| options.labels.clone());
                    let name = Some(mount.name.clone()).filter(|name| !name.is_empty());
                    let volume = self.ensure_volume(name, labels, None).await?;
                    mount.name = volume.name;
                    mount.source = volume.mountpoint;
                }
                MountKind::Bind if !mount.create => {
                    if !self.host.bind_source_exists(&mount.source).await.api()? {
                        return Err(ApiError::invalid(format!(
                            "invalid mount config for type \"bind\": bind source path does not exist: {}",
                            mount.source
                        )));
                    }
                }
                MountKind::Bind | MountKind::Tmpfs => {}
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn binds_are_paths_or_volumes() {
        let bind = parse_bind("/a/../b:/data/:ro");
        assert_eq!(
            bind.as_ref().map(|m| (m.kind, m.source.as_str(), m.target.as_str(), m.read_only)),
            Ok((MountKind::Bind, "/b", "/data", true))
        );
        let volume = parse_bind("vol1:/data");
        assert_eq!(volume.as_ref().map(|m| (m.kind, m.name.as_str())), Ok((MountKind::Volume, "vol1")));
        for (text, message) in [
            (
                "a:b",
                "invalid volume specification: 'a:b': invalid mount config for type \"volume\": invalid mount path: 'b' mount path must be absolute",
            ),
            ("/a:/", "invalid volume specification: '/a:/': invalid mount config: destination can't be '/'"),
            ("x", "invalid volume specification: 'x'"),
            ("/a:/b:what", "invalid mode: what"),
        ] {
            assert_eq!(parse_bind(text).map_err(|error| error.message), Err(message.to_owned()));
        }
    }

    #[test]
    fn a_target_is_mounted_once() {
        let host_config =
            HostConfig { binds: Some(vec!["/a:/x".to_owned(), "/b:/x".to_owned()]), ..HostConfig::default() };
        let error = plan(&ContainerConfig::default(), &host_config, Vec::new()).unwrap_err();
        assert_eq!(error.message, "Duplicate mount point: /x");
    }

    #[test]
    fn an_image_volume_gives_way_to_a_mount() {
        let config = ContainerConfig {
            volumes: Some([("/x".to_owned(), Default::default()), ("/y".to_owned(), Default::default())].into()),
            ..ContainerConfig::default()
        };
        let host_config = HostConfig { binds: Some(vec!["/a:/x".to_owned()]), ..HostConfig::default() };
        let planned = plan(&config, &host_config, Vec::new()).unwrap_or_default();
        let kinds: Vec<_> = planned.iter().map(|mount| (mount.target.as_str(), mount.kind)).collect();
        assert_eq!(kinds, [("/x", MountKind::Bind), ("/y", MountKind::Volume)]);
    }
}
