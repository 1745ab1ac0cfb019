use serde::{Deserialize, Serialize};

/// Credentials for one registry, as `X-Registry-Auth`, `X-Registry-Config` and `POST /auth` carry them. Beside name and
/// password the API knows tokens, which its published description leaves out of the type.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct AuthConfig {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub username: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub password: Option<String>,
    /// Base64 of `name:password`, as config.json keeps it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub auth: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub email: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub serveraddress: Option<String>,
    /// A refresh token, which a login got in place of the password.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub identitytoken: Option<String>,
    /// A bearer token to show as it is.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub registrytoken: Option<String>,
}
