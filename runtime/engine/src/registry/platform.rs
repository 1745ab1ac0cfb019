//! Platforms as users write them (`linux/arm64/v8`) and as indexes list them (OCI image index, `platform`).

use docklab_api::{ApiError, ApiResult};
use serde::{Deserialize, Serialize};

const SYSTEMS: [&str; 16] = [
    "aix",
    "android",
    "darwin",
    "dragonfly",
    "freebsd",
    "hurd",
    "illumos",
    "ios",
    "js",
    "linux",
    "nacl",
    "netbsd",
    "openbsd",
    "plan9",
    "solaris",
    "windows",
];
const ARCHITECTURES: [&str; 18] = [
    "386", "amd64", "amd64p32", "arm", "arm64", "armbe", "arm64be", "loong64", "mips", "mips64", "mips64le", "mipsle",
    "ppc64", "ppc64le", "riscv64", "s390x", "sparc64", "wasm",
];

/// Operating system, architecture, and the architecture's variant where it has one.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Platform {
    #[serde(default)]
    pub(crate) architecture: String,
    #[serde(default)]
    pub(crate) os: String,
    #[serde(default)]
    pub(crate) variant: String,
}

impl std::fmt::Display for Platform {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "{}/{}", self.os, self.architecture)?;
        if !self.variant.is_empty() {
            write!(formatter, "/{}", self.variant)?;
        }
        Ok(())
    }
}

/// The names that Go uses for an architecture and its variant.
fn normalized(architecture: &str, variant: &str) -> (String, String) {
    let (architecture, variant) = (architecture.to_ascii_lowercase(), variant.to_ascii_lowercase());
    let (architecture, variant) = match (architecture.as_str(), variant.as_str()) {
        ("i386" | "i486" | "i586" | "i686", _) => ("386", ""),
        ("x86_64" | "x86-64" | "amd64", "v1") => ("amd64", ""),
        ("x86_64" | "x86-64", variant) => ("amd64", variant),
        ("aarch64" | "arm64", "8" | "v8") => ("arm64", ""),
        ("aarch64", variant) => ("arm64", variant),
        ("armhf", _) => ("arm", "v7"),
        ("armel", _) => ("arm", "v6"),
        ("arm", "" | "7") => ("arm", "v7"),
        ("arm", "5") => ("arm", "v5"),
        ("arm", "6") => ("arm", "v6"),
        ("arm", "8") => ("arm", "v8"),
        (architecture, variant) => (architecture, variant),
    };
    (architecture.to_owned(), variant.to_owned())
}

impl Platform {
    pub(crate) fn new(os: &str, architecture: &str, variant: &str) -> Self {
        let os = if os.eq_ignore_ascii_case("macos") { "darwin".to_owned() } else { os.to_ascii_lowercase() };
        let (architecture, variant) = normalized(architecture, variant);
        Self { architecture, os, variant }
    }

    /// Reads what a user wrote; what is left out is this machine's.
    pub(crate) fn parse(text: &str, machine: &str) -> ApiResult<Self> {
        let bad = |reason: String| Err(ApiError::invalid(format!("{text:?}: {reason}: invalid argument")));
        let parts: Vec<&str> = text.split('/').collect();
        for part in &parts {
            let good = |byte: u8| byte.is_ascii_alphanumeric() || b"_.-".contains(&byte);
            if part.is_empty() || !part.bytes().all(good) {
                return Err(ApiError::invalid(format!(
                    "{part:?} is an invalid component of {text:?}: platform specifier component must match \
                     \"^[A-Za-z0-9_.-]+$\": invalid argument"
                )));
            }
        }
        match parts.as_slice() {
            [one] if SYSTEMS.contains(&one.to_ascii_lowercase().as_str()) || one.eq_ignore_ascii_case("macos") => {
                Ok(Self::new(one, machine, ""))
            }
            [one] => {
                let (architecture, variant) = normalized(one, "");
                if ARCHITECTURES.contains(&architecture.as_str()) {
                    return Ok(Self::new("linux", &architecture, &variant));
                }
                bad("unknown operating system or architecture".to_owned())
            }
            [os, architecture] => Ok(Self::new(os, architecture, "")),
            [os, architecture, variant] => Ok(Self::new(os, architecture, variant)),
            _ => bad("cannot parse platform specifier".to_owned()),
        }
    }

    /// Whether an image for `other` runs where this is wanted. A platform without a variant takes any.
    pub(crate) fn takes(&self, other: &Self) -> bool {
        let other = Self::new(&other.os, &other.architecture, &other.variant);
        self.os == other.os
            && self.architecture == other.architecture
            && (self.variant.is_empty() || other.variant.is_empty() || self.variant == other.variant)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(text: &str) -> Result<String, String> {
        Platform::parse(text, "x86_64").map(|platform| platform.to_string()).map_err(|error| error.message)
    }

    #[test]
    fn platforms_are_read_as_docker_reads_them() {
        for (text, wanted) in [
            ("linux/amd64", "linux/amd64"),
            ("linux", "linux/amd64"),
            ("arm64", "linux/arm64"),
            ("Linux/AArch64/v8", "linux/arm64"),
            ("linux/arm", "linux/arm/v7"),
            ("armel", "linux/arm/v6"),
            ("windows/x86_64", "windows/amd64"),
        ] {
            assert_eq!(parsed(text).as_deref(), Ok(wanted));
        }
        for (text, wanted) in [
            ("nosuch", "\"nosuch\": unknown operating system or architecture: invalid argument"),
            ("a/b/c/d", "\"a/b/c/d\": cannot parse platform specifier: invalid argument"),
            (
                "linux/",
                "\"\" is an invalid component of \"linux/\": platform specifier component must match \
                 \"^[A-Za-z0-9_.-]+$\": invalid argument",
            ),
        ] {
            assert_eq!(parsed(text), Err(wanted.to_owned()));
        }
    }

    #[test]
    fn a_variant_is_only_asked_for_where_one_is_named() {
        let arm = |variant: &str| Platform::new("linux", "arm", variant);
        assert!(!arm("v6").takes(&arm("v7")));
        assert!(Platform::new("linux", "arm64", "").takes(&Platform::new("linux", "arm64", "v8")));
        assert!(!arm("v7").takes(&Platform::new("windows", "arm", "v7")));
    }
}
