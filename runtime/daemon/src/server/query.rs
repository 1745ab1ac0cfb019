use docklab_api::{ApiError, ApiResult, Filters};

/// A decoded query string. Keys may repeat (`t`, `names`).
pub(super) struct Query(Vec<(String, String)>);

impl Query {
    pub(super) fn parse(text: &str) -> Self {
        Self(form_urlencoded::parse(text.as_bytes()).into_owned().collect())
    }

    /// The first value of `key`; an empty one counts as absent, as everywhere in Docker's API.
    pub(super) fn get(&self, key: &str) -> Option<String> {
        self.0.iter().find(|(name, value)| name == key && !value.is_empty()).map(|(_, value)| value.clone())
    }

    pub(super) fn all(&self, key: &str) -> Vec<String> {
        self.0.iter().filter(|(name, value)| name == key && !value.is_empty()).map(|(_, value)| value.clone()).collect()
    }

    /// Docker's booleans: "", 0, no, false and none are false, all else is true. Absent is `default`.
    pub(super) fn flag_or(&self, key: &str, default: bool) -> bool {
        self.0.iter().find(|(name, _)| name == key).map_or(default, |(_, value)| {
            !matches!(value.trim().to_ascii_lowercase().as_str(), "" | "0" | "no" | "false" | "none")
        })
    }

    pub(super) fn flag(&self, key: &str) -> bool {
        self.flag_or(key, false)
    }

    /// A number; what is not one is a 500 in Go's words.
    pub(super) fn number<T: std::str::FromStr>(&self, key: &str) -> ApiResult<Option<T>> {
        self.get(key)
            .map(|text| {
                text.parse().map_err(|_| ApiError::system(format!("strconv.Atoi: parsing \"{text}\": invalid syntax")))
            })
            .transpose()
    }

    pub(super) fn filters(&self) -> ApiResult<Filters> {
        Filters::parse(&self.get("filters").unwrap_or_default())
    }

    /// A value that is JSON itself (`buildargs`, `labels`); absent is the default.
    pub(super) fn json<T: serde::de::DeserializeOwned + Default>(&self, key: &str) -> ApiResult<T> {
        match self.get(key) {
            Some(text) => serde_json::from_str(&text)
                .map_err(|error| ApiError::invalid(format!("error reading build {key}: {error}"))),
            None => Ok(T::default()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn booleans_follow_dockers_rule() {
        let query = Query::parse("a=1&b=0&c=&d=False&e=yes&f=none&g=no");
        let truth = ["a", "b", "c", "d", "e", "f", "g", "absent"].map(|key| query.flag(key));
        assert_eq!(truth, [true, false, false, false, true, false, false, false]);
        assert!(query.flag_or("absent", true));
    }
}
