//! Credentials, challenges and tokens (distribution's token authentication; RFC 7235, RFC 6750, RFC 6749 section 6).

use base64::{Engine as _, engine::general_purpose::STANDARD};
use docklab_api::models::AuthConfig;
use serde::Deserialize;

/// What a user has to show to a registry.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Credentials {
    /// Name and password.
    pub(super) basic: Option<(String, String)>,
    /// A refresh token that a login gave.
    pub(super) identity: Option<String>,
    /// A token to send as it is.
    pub(super) registry: Option<String>,
}

fn given(text: Option<&String>) -> Option<String> {
    text.filter(|text| !text.is_empty()).cloned()
}

impl Credentials {
    pub(super) fn of(auth: Option<&AuthConfig>) -> Self {
        let Some(auth) = auth else { return Self::default() };
        let named = given(auth.username.as_ref()).map(|user| (user, auth.password.clone().unwrap_or_default()));
        // `auth` of config.json: base64 of `name:password`.
        let packed = given(auth.auth.as_ref()).and_then(|packed| {
            let text = String::from_utf8(STANDARD.decode(packed.trim()).ok()?).ok()?;
            let (user, password) = text.split_once(':')?;
            Some((user.to_owned(), password.trim_end_matches('\0').to_owned()))
        });
        Self {
            basic: named.or(packed),
            identity: given(auth.identitytoken.as_ref()),
            registry: given(auth.registrytoken.as_ref()),
        }
    }

    pub(super) fn user(&self) -> Option<&str> {
        self.basic.as_ref().map(|(user, _)| user.as_str())
    }

    /// The value of an `Authorization` header.
    pub(super) fn header(&self) -> Option<String> {
        let (user, password) = self.basic.as_ref()?;
        Some(format!("Basic {}", STANDARD.encode(format!("{user}:{password}"))))
    }
}

/// How a registry wants to be spoken to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Challenge {
    Basic,
    Bearer { realm: String, service: String },
}

impl Challenge {
    /// Of a `WWW-Authenticate` header. A scheme that Docker does not know is no challenge.
    pub(super) fn parse(header: &str) -> Option<Self> {
        let scheme = header.split_whitespace().next().unwrap_or_default().to_ascii_lowercase();
        match scheme.as_str() {
            "basic" => Some(Self::Basic),
            "bearer" => Some(Self::Bearer {
                realm: parameter(header, "realm")?,
                service: parameter(header, "service").unwrap_or_default(),
            }),
            _ => None,
        }
    }
}

/// A parameter of a challenge. Quoted values may hold commas.
pub(super) fn parameter(challenge: &str, wanted: &str) -> Option<String> {
    let (_, mut rest) = challenge.trim().split_once(' ')?;
    loop {
        rest = rest.trim_start_matches([',', ' ']);
        let (name, value) = rest.split_once('=')?;
        let (value, tail) = match value.strip_prefix('"') {
            Some(quoted) => {
                let end = quoted.find('"')?;
                (&quoted[..end], &quoted[end + 1..])
            }
            None => value.split_at(value.find(',').unwrap_or(value.len())),
        };
        if name.trim().eq_ignore_ascii_case(wanted) {
            return Some(value.to_owned());
        }
        rest = tail;
    }
}

/// A token server's answer.
#[derive(Debug, Deserialize)]
pub(super) struct Token {
    #[serde(default)]
    token: String,
    #[serde(default)]
    access_token: String,
    #[serde(default)]
    refresh_token: String,
    /// Seconds.
    expires_in: Option<u64>,
}

impl Token {
    pub(super) fn value(&self) -> Option<&str> {
        [&self.token, &self.access_token].into_iter().find(|token| !token.is_empty()).map(String::as_str)
    }

    pub(super) fn refresh(&self) -> Option<String> {
        given(Some(&self.refresh_token))
    }

    /// Seconds for which it can be shown. Tokens without a length live for a minute, and none is believed to live less.
    pub(super) fn lifetime(&self) -> u64 {
        self.expires_in.unwrap_or(60).max(60)
    }
}

/// Percent-encodes a query's value.
pub(super) fn encoded(text: &str) -> String {
    let mut encoded = String::new();
    for byte in text.bytes() {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => encoded.push(char::from(byte)),
            byte => encoded.push_str(&format!("%{byte:02X}")),
        }
    }
    encoded
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn challenges_are_read_with_their_quotes() {
        let header =
            r#"Bearer realm="https://auth.example/token",service="registry.example",scope="repository:a/b:pull,push""#;
        assert_eq!(
            Challenge::parse(header),
            Some(Challenge::Bearer {
                realm: "https://auth.example/token".to_owned(),
                service: "registry.example".to_owned()
            })
        );
        assert_eq!(parameter(header, "scope").as_deref(), Some("repository:a/b:pull,push"));
        assert_eq!(Challenge::parse("Basic realm=\"x\""), Some(Challenge::Basic));
        assert_eq!(Challenge::parse("Negotiate"), None);
        assert_eq!(Challenge::parse("Bearer service=x"), None);
    }

    #[test]
    fn credentials_come_in_three_forms() {
        let auth = |text: &str| serde_json::from_str::<AuthConfig>(text).expect("an AuthConfig");
        let basic = Some(("ann".to_owned(), "pass:word".to_owned()));
        let packed = format!(r#"{{"auth":"{}"}}"#, STANDARD.encode("ann:pass:word"));
        assert_eq!(Credentials::of(Some(&auth(&packed))).basic, basic);
        assert_eq!(Credentials::of(Some(&auth(r#"{"username":"ann","password":"pass:word"}"#))).basic, basic);
        assert_eq!(Credentials::of(Some(&auth(r#"{"identitytoken":"t"}"#))).identity.as_deref(), Some("t"));
        assert_eq!(Credentials::of(Some(&auth("{}"))), Credentials::default());
    }

    #[test]
    fn a_token_lives_for_a_minute_at_least() {
        let token = |text: &str| serde_json::from_str::<Token>(text).expect("a token");
        assert_eq!(token(r#"{"access_token":"b","expires_in":5}"#).lifetime(), 60);
        assert_eq!(token(r#"{"token":"a","access_token":"b","expires_in":300}"#).value(), Some("a"));
        assert_eq!(token("{}").value(), None);
    }
}
