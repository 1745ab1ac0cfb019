//! Credentials: `docker login` and `docker logout`.

use base64::Engine as _;
use serde_json::{Value, json};

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

fn folder(context: &Context) -> String {
    context.console.variable("DOCKER_CONFIG").unwrap_or_else(|| {
        format!("{}/.docker", context.console.variable("HOME").unwrap_or_else(|| "/root".to_owned()))
    })
}

async fn read_config(context: &Context) -> CliResult<Value> {
    match context.console.read_file(&format!("{}/config.json", folder(context))).await {
        Ok(bytes) => Ok(serde_json::from_slice(&bytes)?),
        Err(error) if error.is_missing() => Ok(json!({})),
        Err(error) => Err(error.into()),
    }
}

async fn write_config(context: &Context, config: &Value) -> CliResult<()> {
    let folder = folder(context);
    context.console.create_directory(&folder, 0o700).await?;
    let mut bytes = Vec::new();
    let formatter = serde_json::ser::PrettyFormatter::with_indent(b"\t");
    serde::Serialize::serialize(config, &mut serde_json::Serializer::with_formatter(&mut bytes, formatter))?;
    context.console.write_file(&format!("{folder}/config.json"), &bytes, 0o600).await?;
    Ok(())
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
    let mut config = read_config(context).await?;
    let encoded = base64::engine::general_purpose::STANDARD.encode(format!("{user}:{password}"));
    config["auths"][&address] = json!({"auth": encoded});
    write_config(context, &config).await?;
    let path = format!("{}/config.json", folder(context));
    context
        .error_line(format!(
            "\nWARNING! Your credentials are stored unencrypted in '{path}'.\nConfigure a credential helper to remove this warning. See\nhttps://docs.docker.com/go/credential-store/\n"
        ))
        .await;
    context.line(text(&answer, "/Status")).await;
    Ok(0)
}

pub(crate) async fn logout(context: &Context, call: &Invocation) -> CliResult {
    let address = server(call);
    let mut config = read_config(context).await?;
    context.line(format!("Removing login credentials for {address}")).await;
    let removed = config.get_mut("auths").and_then(Value::as_object_mut).and_then(|auths| auths.remove(&address));
    if removed.is_some() {
        write_config(context, &config).await?;
    }
    Ok(0)
}
