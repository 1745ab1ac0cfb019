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
        subpath: String::new(),
        propagation: String::new(),
        hidden: false,
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

/// Refuses a name that no volume can have.
pub(crate) fn check_volume_name(name: &str) -> ApiResult<()> {
    if names::is_valid(name) {
        return Ok(());
    }
    Err(ApiError::invalid(if name.len() < 2 {
        format!("create {name}: volume name is too short, names should be at least two alphanumeric characters")
    } else {
        format!(
            "create {name}: \"{name}\" includes invalid characters for a local volume name, only \
             \"[a-zA-Z0-9][a-zA-Z0-9_.-]\" are allowed. If you intended to pass a host directory, use absolute path"
        )
    }))
}

/// Reads one `-v`: `source:target[:options]`, or only a target for a volume without a name.
fn parse_bind(text: &str) -> ApiResult<Mountpoint> {
    let invalid = |why: String| ApiError::system(format!("invalid volume specification: '{text}'{why}"));
    let parts: Vec<&str> = text.splitn(3, ':').collect();
    let (source, target, mode) = match parts[..] {
        [target] if target.starts_with('/') => ("", target, ""),
        [source, target] if !source.is_empty() && !target.is_empty() => (source, target, ""),
        [source, target, mode] if !source.is_empty() && !target.is_empty() => (source, target, mode),
        _ => return Err(invalid(String::new())),
    };
    let kind = if source.starts_with('/') { "bind" } else { "volume" };
    if !target.starts_with('/') {
        return Err(invalid(format!(
            ": invalid mount config for type \"{kind}\": invalid mount path: '{target}' mount path must be absolute"
        )));
    }
    let target = clean(target);
    if target == "/" {
        return Err(invalid(format!(
            ": invalid mount config for type \"{kind}\": invalid specification: destination can't be '/'"
        )));
    }
    let mut mount = match source {
        "" => Mountpoint { anonymous: true, ..blank(MountKind::Volume, &target) },
        source if source.starts_with('/') => {
            Mountpoint { source: clean(source), create: true, ..blank(MountKind::Bind, &target) }
        }
        name => {
            check_volume_name(name)?;
            Mountpoint { name: name.to_owned(), ..blank(MountKind::Volume, &target) }
        }
    };
    options(&mut mount, mode).map_err(|error| match error {
        Wrong::Mode => ApiError::system(format!("invalid mode: {mode}")),
        Wrong::Propagation => {
            invalid(": invalid mount config for type \"volume\": field BindOptions must not be specified".to_owned())
        }
    })?;
    mode.clone_into(&mut mount.mode);
    if mount.kind == MountKind::Volume && mode.is_empty() && !mount.anonymous {
        "z".clone_into(&mut mount.mode);
    }
    Ok(mount)
}

/// What can be wrong with the options of a `-v`.
enum Wrong {
    Mode,
    /// Only binds have one.
    Propagation,
}

/// Takes over `ro,z,rslave,…`; of each kind of option there may be one.
fn options(mount: &mut Mountpoint, mode: &str) -> Result<(), Wrong> {
    let mut seen: Vec<&str> = Vec::new();
    let mut propagates = false;
    for option in mode.split(',').filter(|_| !mode.is_empty()) {
        let kind = match option {
            "ro" | "rw" => {
                mount.read_only = option == "ro";
                "access"
            }
            "nocopy" => {
                mount.no_copy = true;
                "copy"
            }
            "z" | "Z" => "label",
            "cached" | "delegated" | "consistent" | "default" => "consistency",
            "shared" | "rshared" | "slave" | "rslave" | "private" | "rprivate" => {
                option.clone_into(&mut mount.propagation);
                propagates = true;
                "propagation"
            }
            _ => return Err(Wrong::Mode),
        };
        if seen.contains(&kind) {
            return Err(Wrong::Mode);
        }
        seen.push(kind);
    }
    match mount.kind {
        MountKind::Volume if propagates => Err(Wrong::Propagation),
        MountKind::Bind if mount.no_copy => Err(Wrong::Mode),
        _ => Ok(()),
    }
}

/// Reads one `--mount`.
fn parse_mount(mount: &Mount) -> ApiResult<Mountpoint> {
    let kind = mount.typ.unwrap_or(MountTypeEnum::EMPTY);
    let word = match kind {
        MountTypeEnum::BIND => "bind",
        MountTypeEnum::VOLUME => "volume",
        MountTypeEnum::TMPFS => "tmpfs",
        MountTypeEnum::IMAGE => {
            return Err(ApiError::not_implemented(
                "docklab cannot mount an image; copy what is needed into one of your own",
            ));
        }
        other => {
            return Err(ApiError::invalid(format!("invalid mount config for type \"{other}\": mount type unknown")));
        }
    };
    for (kinds, options, there) in [
        ("bind", "BindOptions", mount.bind_options.is_some()),
        ("volume", "VolumeOptions", mount.volume_options.is_some()),
        ("tmpfs", "TmpfsOptions", mount.tmpfs_options.is_some()),
    ] {
        if there && kinds != word {
            return Err(ApiError::invalid(format!("{options} must not be specified on mount type \"{word}\"")));
        }
    }
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
            let propagation = mount.bind_options.as_ref().and_then(|options| options.propagation);
            let propagation = propagation.map(|word| word.to_string()).unwrap_or_default();
            Mountpoint { source: clean(source), create, propagation, ..blank(MountKind::Bind, &target) }
        }
        MountTypeEnum::VOLUME => {
            let options = mount.volume_options.clone().unwrap_or_default();
            let subpath = options.subpath.unwrap_or_default();
            if !subpath.is_empty() && source.is_empty() {
                return Err(bad("must not set Subpath when using anonymous volumes".to_owned()));
            }
            if subpath.starts_with('/') || subpath.split('/').any(|part| part == "..") {
                return Err(bad("subpath must be a relative path within the volume".to_owned()));
            }
            Mountpoint {
                name: source.to_owned(),
                anonymous: source.is_empty(),
                no_copy: options.no_copy.unwrap_or(false),
                subpath,
                mode: "z".to_owned(),
                ..blank(MountKind::Volume, &target)
            }
        }
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
    if !target.starts_with('/') {
        return Err(ApiError::invalid(format!("invalid mount path: '{target}' mount path must be absolute")));
    }
    let mut mount = Mountpoint { hidden: true, ..blank(MountKind::Tmpfs, &clean(target)) };
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
            let other = self.container(name).map_err(|error| ApiError::invalid(error.message))?;
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
        assert_eq!(parse_bind("/data").map(|mount| (mount.kind, mount.anonymous)), Ok((MountKind::Volume, true)));
        let shared = parse_bind("/a:/b:ro,rshared").map(|mount| (mount.read_only, mount.propagation));
        assert_eq!(shared, Ok((true, "rshared".to_owned())));
        let refusals: Vec<String> = ["a:b", "/a:/", "x", "/a:/b:what", "/a:/b:ro,rw", "vol1:/b:shared", "a:/b"]
            .map(|text| parse_bind(text).map_or_else(|error| error.message, |_| format!("{text} is fine")))
            .into();
        insta::assert_snapshot!(refusals.join("\n"), @r#"
        invalid volume specification: 'a:b': invalid mount config for type "volume": invalid mount path: 'b' mount path must be absolute
        invalid volume specification: '/a:/': invalid mount config for type "bind": invalid specification: destination can't be '/'
        invalid volume specification: 'x'
        invalid mode: what
        invalid mode: ro,rw
        invalid volume specification: 'vol1:/b:shared': invalid mount config for type "volume": field BindOptions must not be specified
        create a: volume name is too short, names should be at least two alphanumeric characters
        "#);
    }

    #[test]
    fn a_mount_has_options_of_its_own_kind_only() {
        let read = |mount: Mount| parse_mount(&mount).map_err(|error| error.message);
        let volume = |source: &str, subpath: &str| Mount {
            typ: Some(MountTypeEnum::VOLUME),
            source: Some(source.to_owned()),
            target: Some("/d".to_owned()),
            volume_options: Some(docklab_api::models::MountVolumeOptions {
                subpath: Some(subpath.to_owned()),
                ..Default::default()
            }),
            ..Default::default()
        };
        assert_eq!(read(volume("v1", "a/b")).map(|mount| mount.subpath), Ok("a/b".to_owned()));
        assert!(read(volume("v1", "../x")).is_err_and(|text| text.ends_with("a relative path within the volume")));
        assert!(read(volume("", "x")).is_err_and(|text| text.ends_with("when using anonymous volumes")));
        let wrong = Mount { typ: Some(MountTypeEnum::BIND), ..volume("/tmp", "") };
        assert_eq!(read(wrong), Err("VolumeOptions must not be specified on mount type \"bind\"".to_owned()));
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
