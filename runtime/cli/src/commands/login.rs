//! Credentials: `docker login` and `docker logout`.

use serde_json::json;

use crate::{
    commands::{
        input,
        json::{text, value},
    },
    console::Stream,
    context::{Context, Invocation},
    error::{CliError, CliResult},
};

const HUB: &str = "https://index.docker.io/v1/";

fn server(call: &Invocation) -> String {
    let given = call.argument(0);
    if matches!(given, "" | "docker.io" | "index.docker.io" | "registry-1.docker.io") {
        return HUB.to_owned();
    }
    let host = given.trim_start_matches("https://").trim_start_matches("http://");
    host.split('/').next().unwrap_or(host).to_owned()
}

pub(crate) async fn login(context: &Context, call: &Invocation) -> CliResult {
    let flags = &call.flags;
    let mut user = flags.text("username").to_owned();
    let mut password = flags.text("password").to_owned();
    if flags.given("password") {
        context.error_line("WARNING! Using --password via the CLI is insecure. Use --password-stdin.").await;
        if flags.is_set("password-stdin") {
            return Err(CliError::new("conflicting options: cannot specify both --password and --password-stdin"));
        }
    }
    if flags.is_set("password-stdin") {
        if user.is_empty() {
            return Err(CliError::new("the --password-stdin option requires --username to be set"));
        }
        let bytes = input::read_all(context.console.as_ref()).await;
        password = String::from_utf8_lossy(&bytes).trim_end_matches(['\r', '\n']).to_owned();
    }
    if user.is_empty() || password.is_empty() {
        if !context.console.is_terminal(Stream::Stdin) {
            return Err(CliError::new("Error: Cannot perform an interactive login from a non TTY device"));
        }
        if user.is_empty() {
            context.stdout("Username: ").await;
            user = input::read_line(context.console.as_ref()).await;
        }
        context.stdout("Password: ").await;
        context.console.set_raw_mode(true);
        password = input::read_line(context.console.as_ref()).await;
        context.console.set_raw_mode(false);
        context.line("").await;
        if user.is_empty() || password.is_empty() {
            return Err(CliError::new("Error: Username and Password are required"));
        }
    }
    let address = server(call);
    let auth = serde_json::from_value(json!({"username": user, "password": password, "serveraddress": address}))?;
    let answer = value(&context.api.login(auth).await?);
    let token = text(&answer, "/IdentityToken");
    if !super::credentials::store(context, &address, &user, &password, &token).await? {
        let path = context.config.path();
        context
            .error_line(format!(
                "\nWARNING! Your credentials are stored unencrypted in '{path}'.\nConfigure a credential helper to remove this warning. See\nhttps://docs.docker.com/go/credential-store/\n"
            ))
            .await;
    }
    context.line(text(&answer, "/Status")).await;
    Ok(0)
}

pub(crate) async fn logout(context: &Context, call: &Invocation) -> CliResult {
    let address = server(call);
    context.line(format!("Removing login credentials for {address}")).await;
    if let Err(error) = super::credentials::erase(context, &address).await {
        context.error_line(format!("WARNING: could not erase credentials:\n{address}: {}", error.message)).await;
    }
    Ok(0)
}
