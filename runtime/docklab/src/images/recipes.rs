//! Which stand-ins there are, and what goes into them.

use std::{fs, path::Path, process::Command};

use anyhow::{Context as _, Result};

use super::{layer::Layer, packages};

/// One layer: packages, and what their maintainer scripts would have done.
pub(super) struct LayerRecipe {
    /// What the image's history says.
    pub(super) created_by: &'static str,
    pub(super) packages: &'static [&'static str],
    pub(super) finish: fn(&mut Layer, &Path) -> Result<()>,
}

pub(super) struct Recipe {
    pub(super) name: &'static str,
    pub(super) tags: &'static [&'static str],
    pub(super) layers: &'static [&'static LayerRecipe],
    pub(super) environment: &'static [&'static str],
    pub(super) entrypoint: &'static [&'static str],
    pub(super) command: &'static [&'static str],
    pub(super) port: Option<&'static str>,
    pub(super) stop_signal: Option<&'static str>,
    pub(super) volumes: &'static [&'static str],
}

const PATH: &str = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// Dependencies of maintainer scripts, which do not run here.
pub(super) const WITHOUT: [&str; 12] = [
    "debconf",
    "dpkg",
    "init-system-helpers",
    "iproute2",
    "libcap2-bin",
    "libdebconfclient0",
    "libfile-find-rule-perl",
    "libnumber-compare-perl",
    "libperl5*",
    "libtext-glob-perl",
    "perl*",
    "usrmerge",
];

const SYSTEM: &[&str] = &["base-files", "base-passwd", "bash", "coreutils", "dash", "grep", "mawk", "sed"];

static UBUNTU: LayerRecipe = LayerRecipe {
    created_by: "packages: bash coreutils procps and the usual small tools",
    packages: &[
        "base-files",
        "base-passwd",
        "bash",
        "coreutils",
        "dash",
        "debianutils",
        "diffutils",
        "findutils",
        "grep",
        "gzip",
        "hostname",
        "login",
        "mawk",
        "mount",
        "ncurses-base",
        "ncurses-bin",
        "procps",
        "sed",
        "tar",
        "util-linux",
    ],
    finish: finish_system,
};
static BASE: LayerRecipe =
    LayerRecipe { created_by: "packages: bash coreutils", packages: SYSTEM, finish: finish_system };
static NGINX: LayerRecipe = LayerRecipe { created_by: "packages: nginx", packages: &["nginx"], finish: finish_nginx };
static PYTHON: LayerRecipe = LayerRecipe {
    created_by: "packages: python3 python3-pip ca-certificates",
    packages: &["ca-certificates", "python3", "python3-pip"],
    finish: finish_python,
};
static MONGO: LayerRecipe = LayerRecipe {
    created_by: "packages: python3 procps; nx-27017, which speaks MongoDB's wire protocol over SQLite",
    packages: &["procps", "python3"],
    finish: finish_mongo,
};
static BUSYBOX: LayerRecipe =
    LayerRecipe { created_by: "packages: busybox-static", packages: &["busybox-static"], finish: finish_busybox };
static HELLO: LayerRecipe = LayerRecipe {
    created_by: "packages: busybox-static; a greeting",
    packages: &["busybox-static"],
    finish: finish_hello,
};

pub(super) static RECIPES: [Recipe; 7] = [
    Recipe {
        name: "alpine",
        tags: &["latest", "3"],
        layers: &[&BUSYBOX],
        environment: &[PATH],
        entrypoint: &[],
        command: &["/bin/sh"],
        port: None,
        stop_signal: None,
        volumes: &[],
    },
    Recipe {
        name: "busybox",
        tags: &["latest"],
        layers: &[&BUSYBOX],
        environment: &[PATH],
        entrypoint: &[],
        command: &["sh"],
        port: None,
        stop_signal: None,
        volumes: &[],
    },
    Recipe {
        name: "hello-world",
        tags: &["latest"],
        layers: &[&HELLO],
        environment: &[PATH],
        entrypoint: &[],
        command: &["/hello"],
        port: None,
        stop_signal: None,
        volumes: &[],
    },
    Recipe {
        name: "mongo",
        tags: &["3.4", "latest"],
        layers: &[&BASE, &MONGO],
        environment: &[PATH],
        entrypoint: &["docker-entrypoint.sh"],
        command: &["mongod"],
        port: Some("27017/tcp"),
        stop_signal: None,
        volumes: &["/data/configdb", "/data/db"],
    },
    Recipe {
        name: "nginx",
        tags: &["latest", "1.12", "1.13"],
        layers: &[&BASE, &NGINX],
        environment: &[PATH],
        entrypoint: &[],
        command: &["nginx", "-g", "daemon off;"],
        port: Some("80/tcp"),
        stop_signal: Some("SIGQUIT"),
        volumes: &[],
    },
    Recipe {
        name: "python",
        tags: &["latest", "3", "3-alpine", "3.6.1-alpine"],
        layers: &[&BASE, &PYTHON],
        environment: &[PATH, "LANG=C.UTF-8", "SSL_CERT_FILE=/etc/ssl/certs/ca-certificates.crt"],
        entrypoint: &[],
        command: &["python3"],
        port: None,
        stop_signal: None,
        volumes: &[],
    },
    Recipe {
        name: "ubuntu",
        tags: &["latest"],
        layers: &[&UBUNTU],
        environment: &[PATH],
        entrypoint: &[],
        command: &["/bin/bash"],
        port: None,
        stop_signal: None,
        volumes: &[],
    },
];

fn finish_system(layer: &mut Layer, _cache: &Path) -> Result<()> {
    layer.add_merged_directories();
    common_directories(layer);
    for (master, file) in [("passwd", "etc/passwd"), ("group", "etc/group")] {
        let path = format!("usr/share/base-passwd/{master}.master");
        let bytes = layer.read(&path).with_context(|| format!("base-passwd has no {path}"))?.to_vec();
        layer.file(file, 0o644, bytes);
    }
    for (link, target) in [("usr/bin/sh", "dash"), ("usr/bin/awk", "mawk"), ("usr/bin/which", "which.debianutils")] {
        if !layer.contains(link) {
            layer.symlink(link, target);
        }
    }
    Ok(())
}

fn common_directories(layer: &mut Layer) {
    for directory in ["dev", "etc", "home", "proc", "root", "run", "sys", "usr", "usr/bin", "var"] {
        if !layer.contains(directory) {
            layer.directory(directory, if directory == "root" { 0o700 } else { 0o755 });
        }
    }
    layer.directory("tmp", 0o1777);
    layer.directory("var/tmp", 0o1777);
}

fn finish_nginx(layer: &mut Layer, _cache: &Path) -> Result<()> {
    layer.file("etc/nginx/nginx.conf", 0o644, include_str!("files/nginx.conf"));
    layer.directory("etc/nginx/conf.d", 0o755);
    layer.file("etc/nginx/conf.d/default.conf", 0o644, include_str!("files/default.conf"));
    layer.directory("var/log/nginx", 0o755);
    layer.symlink("var/log/nginx/access.log", "/dev/stdout");
    layer.symlink("var/log/nginx/error.log", "/dev/stderr");
    Ok(())
}

fn finish_python(layer: &mut Layer, _cache: &Path) -> Result<()> {
    let markers: Vec<String> = layer
        .files_below("usr/lib/python3")
        .filter(|path| path.ends_with("/EXTERNALLY-MANAGED"))
        .map(ToOwned::to_owned)
        .collect();
    for marker in markers {
        layer.remove(&marker);
    }
    layer.symlink("usr/bin/python", "python3");
    // This machine's own list, because it may trust a proxy that the package does not know.
    let certificates = match fs::read("/etc/ssl/certs/ca-certificates.crt") {
        Ok(bytes) => bytes,
        Err(_) => packaged_certificates(layer),
    };
    layer.file("etc/ssl/certs/ca-certificates.crt", 0o644, certificates);
    Ok(())
}

fn packaged_certificates(layer: &Layer) -> Vec<u8> {
    let paths = layer.files_below("usr/share/ca-certificates/").filter(|path| path.ends_with(".crt"));
    paths.filter_map(|path| layer.read(path)).flat_map(|bytes| [bytes, b"\n"].concat()).collect()
}

fn finish_mongo(layer: &mut Layer, cache: &Path) -> Result<()> {
    let modules = cache.join("nx-27017");
    if modules.exists() {
        fs::remove_dir_all(&modules).with_context(|| format!("removing {}", modules.display()))?;
    }
    let version = layer
        .files_below("usr/bin/python3.")
        .find_map(|path| path.strip_prefix("usr/bin/python").filter(|rest| !rest.contains('-')))
        .context("the python3 package has no interpreter")?
        .to_owned();
    eprintln!("  downloading nx-27017");
    packages::run(
        Command::new("python3")
            .args([
                "-m",
                "pip",
                "install",
                "--quiet",
                "--no-compile",
                "--only-binary=:all:",
                "--disable-pip-version-check",
            ])
            .args(["--python-version", &version, "--target"])
            .arg(&modules)
            .arg("nx-27017==0.8.1"),
    )
    .context("the mongo stand-in needs pip (on Debian: apt-get install python3-pip)")?;
    layer.add_directory(&modules, "usr/lib/python3/dist-packages")?;
    layer.file("usr/bin/mongod", 0o755, include_str!("files/mongod.py"));
    layer.file("usr/local/bin/docker-entrypoint.sh", 0o755, include_str!("files/docker-entrypoint.sh"));
    layer.directory("data", 0o755);
    layer.directory("data/db", 0o755);
    layer.directory("data/configdb", 0o755);
    Ok(())
}

/// BusyBox names its tools in `busybox --list`; the package's own links are few.
fn finish_busybox(layer: &mut Layer, cache: &Path) -> Result<()> {
    let program = busybox(layer)?;
    let copy = cache.join("busybox");
    fs::write(&copy, &program).with_context(|| format!("writing {}", copy.display()))?;
    let executable = std::os::unix::fs::PermissionsExt::from_mode(0o755);
    fs::set_permissions(&copy, executable).with_context(|| format!("making {} executable", copy.display()))?;
    let list = Command::new(&copy).arg("--list").output().context("asking busybox for its tools")?;
    let mut fresh = Layer::default();
    fresh.directory("bin", 0o755);
    carry_over(layer, &mut fresh, &program);
    for tool in String::from_utf8_lossy(&list.stdout).lines().filter(|tool| *tool != "busybox") {
        fresh.symlink(&format!("usr/bin/{tool}"), "busybox");
    }
    fresh.add_merged_directories();
    common_directories(&mut fresh);
    fresh.file("etc/passwd", 0o644, "root:x:0:0:root:/root:/bin/sh\nwww-data:x:33:33:www-data:/var/www:/bin/false\nnobody:x:65534:65534:nobody:/home:/bin/false\n");
    fresh.file("etc/group", 0o644, "root:x:0:\nwww-data:x:33:\nnogroup:x:65534:\n");
    *layer = fresh;
    Ok(())
}

fn finish_hello(layer: &mut Layer, _cache: &Path) -> Result<()> {
    let program = busybox(layer)?;
    let mut fresh = Layer::default();
    carry_over(layer, &mut fresh, &program);
    fresh.symlink("usr/bin/sh", "busybox");
    fresh.symlink("usr/bin/cat", "busybox");
    fresh.add_merged_directories();
    fresh.file("hello", 0o755, include_str!("files/hello.sh"));
    *layer = fresh;
    Ok(())
}

fn busybox(layer: &Layer) -> Result<Vec<u8>> {
    Ok(layer.read("usr/bin/busybox").context("busybox-static has no /bin/busybox")?.to_vec())
}

/// The program with its date and its licence.
fn carry_over(from: &Layer, to: &mut Layer, program: &[u8]) {
    to.date(from.newest());
    to.file("usr/bin/busybox", 0o755, program);
    if let Some(copyright) = from.read("usr/share/doc/busybox-static/copyright") {
        to.file("usr/share/doc/busybox-static/copyright", 0o644, copyright);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_image_of_the_course_has_a_recipe() {
        for name in ["alpine", "busybox", "hello-world", "mongo", "nginx", "python", "ubuntu"] {
            assert_eq!(RECIPES.iter().filter(|recipe| recipe.name == name).count(), 1, "{name}");
        }
    }
}
