//! Registry credentials: in the configuration file, or kept by the helper program that it names.

use base64::{Engine as _, engine::general_purpose::STANDARD};
use docklab_api::models::AuthConfig;
use serde_json::{Value, json};

use crate::{
    context::Context,
    error::{CliError, CliResult},
};

/// The helper for a registry: its own, or the general one.
fn helper(context: &Context, server: &str) -> Option<String> {
    let own = context.config.map("credHelpers").and_then(|helpers| helpers.get(server)).and_then(Value::as_str);
    let name = own.unwrap_or_else(|| context.config.text("credsStore"));
    (!name.is_empty()).then(|| format!("docker-credential-{name}"))
}

/// Credentials of a registry, by the key that the configuration uses.
pub(crate) async fn get(context: &Context, server: &str) -> Option<AuthConfig> {
    if let Some(helper) = helper(context, server) {
        let (status, output) = context.console.run_program(&helper, &["get"], server.as_bytes()).await.ok()?;
        if status != 0 {
            return None;
        }
        let found: Value = serde_json::from_slice(&output).ok()?;
        let field = |name: &str| found.get(name).and_then(Value::as_str).unwrap_or_default();
        let auth = match field("Username") {
            "<token>" => json!({"identitytoken": field("Secret"), "serveraddress": server}),
            user => json!({"username": user, "password": field("Secret"), "serveraddress": server}),
        };
        return serde_json::from_value(auth).ok();
    }
    let entry = context.config.map("auths")?.get(server)?;
    let encoded = entry.get("auth")?.as_str()?;
    let decoded = String::from_utf8(STANDARD.decode(encoded).ok()?).ok()?;
    let (user, password) = decoded.split_once(':')?;
    let password = password.trim_matches('\0');
    let mut auth = json!({"username": user, "password": password, "serveraddress": server});
    if let Some(token) = entry.get("identitytoken").and_then(Value::as_str) {
        auth["identitytoken"] = json!(token);
    }
    serde_json::from_value(auth).ok()
}

/// Keeps credentials. Returns true when they went to a helper, false when they are in the file, unencrypted.
pub(crate) async fn store(context: &Context, server: &str, user: &str, password: &str, token: &str) -> CliResult<bool> {
    if let Some(helper) = helper(context, server) {
        let (name, secret) = if token.is_empty() { (user, password) } else { ("<token>", token) };
        let input = json!({"ServerURL": server, "Username": name, "Secret": secret}).to_string();
        let outcome = context.console.run_program(&helper, &["store"], input.as_bytes()).await;
        let (status, output) = outcome.map_err(|error| saving(&error.to_string()))?;
        if status != 0 {
            return Err(saving(String::from_utf8_lossy(&output).trim()));
        }
    }
    let helped = helper(context, server).is_some();
    let mut config = (*context.config).clone();
    let entry = if helped {
        json!({})
    } else {
        let mut entry = json!({"auth": STANDARD.encode(format!("{user}:{password}"))});
        if !token.is_empty() {
            entry["identitytoken"] = json!(token);
        }
        entry
    };
    config
        .change(context.console.as_ref(), |content| {
            let auths = content.entry("auths").or_insert_with(|| json!({}));
            if let Some(auths) = auths.as_object_mut() {
                auths.insert(server.to_owned(), entry);
            }
        })
        .await?;
    Ok(helped)
}

fn saving(reason: &str) -> CliError {
    CliError::new(format!("Error saving credentials: error storing credentials - err: {reason}"))
}

/// Forgets credentials.
pub(crate) async fn erase(context: &Context, server: &str) -> CliResult<()> {
    if let Some(helper) = helper(context, server) {
        let outcome = context.console.run_program(&helper, &["erase"], server.as_bytes()).await;
        let (status, output) = outcome?;
        if status != 0 {
            return Err(CliError::new(format!(
                "error erasing credentials - err: {}",
                String::from_utf8_lossy(&output).trim()
            )));
        }
    }
    let known = context.config.map("auths").is_some_and(|auths| auths.contains_key(server));
    if !known {
        return Ok(());
    }
    let mut config = (*context.config).clone();
    config
        .change(context.console.as_ref(), |content| {
            if let Some(auths) = content.get_mut("auths").and_then(Value::as_object_mut) {
                auths.remove(server);
            }
        })
        .await
}
