//! Build arguments: what was declared, what was given, what was used.

use std::collections::{BTreeMap, BTreeSet};

/// Known without an ARG and never part of a cache key.
const PREDEFINED: [&str; 10] = [
    "HTTP_PROXY",
    "http_proxy",
    "HTTPS_PROXY",
    "https_proxy",
    "FTP_PROXY",
    "ftp_proxy",
    "NO_PROXY",
    "no_proxy",
    "ALL_PROXY",
    "all_proxy",
];

#[derive(Debug, Clone, Default)]
pub(crate) struct Arguments {
    given: BTreeMap<String, Option<String>>,
    /// Declared before the first FROM.
    global: BTreeMap<String, Option<String>>,
    /// Declared in this stage.
    declared: BTreeMap<String, Option<String>>,
    referenced: BTreeSet<String>,
}

impl Arguments {
    pub(crate) fn new(given: BTreeMap<String, Option<String>>) -> Self {
        Self { given, ..Self::default() }
    }

    pub(crate) fn declare_global(&mut self, key: &str, value: Option<String>) {
        self.referenced.insert(key.to_owned());
        self.global.insert(key.to_owned(), value);
    }

    pub(crate) fn declare(&mut self, key: &str, value: Option<String>) {
        self.referenced.insert(key.to_owned());
        self.declared.insert(key.to_owned(), value);
    }

    /// A new stage knows nothing of what another declared.
    pub(crate) fn begin_stage(&mut self) {
        self.declared.clear();
    }

    fn resolve(&self, key: &str, default: Option<&String>) -> Option<String> {
        if let Some(Some(value)) = self.given.get(key) {
            return Some(value.clone());
        }
        default.or_else(|| self.global.get(key)?.as_ref()).cloned()
    }

    /// A variable of a FROM line.
    pub(crate) fn global_value(&self, key: &str) -> Option<String> {
        self.global.get(key).and_then(|default| self.resolve(key, default.as_ref()))
    }

    /// `KEY=value` of everything that this stage may use and its environment does not set, sorted.
    pub(crate) fn allowed(&self, environment: &[String]) -> Vec<String> {
        let mut allowed = BTreeMap::new();
        let none = None;
        let predefined = PREDEFINED.iter().map(|key| ((*key).to_owned(), &none));
        for (key, default) in predefined.chain(self.declared.iter().map(|(key, value)| (key.clone(), value))) {
            if environment.iter().any(|entry| entry.split('=').next() == Some(key.as_str())) {
                continue;
            }
            if let Some(value) = self.resolve(&key, default.as_ref()) {
                allowed.insert(key, value);
            }
        }
        allowed.into_iter().map(|(key, value)| format!("{key}={value}")).collect()
    }

    /// What of [`Self::allowed`] a RUN's cache key holds.
    pub(crate) fn in_cache_key(&self, entry: &str) -> bool {
        let key = entry.split('=').next().unwrap_or(entry);
        self.referenced.contains(key) || !PREDEFINED.contains(&key)
    }

    /// Given, but used by nothing.
    pub(crate) fn unused(&self) -> Vec<String> {
        let used = |key: &String| self.referenced.contains(key) || PREDEFINED.contains(&key.as_str());
        self.given.keys().filter(|key| !used(key)).cloned().collect()
    }
}
