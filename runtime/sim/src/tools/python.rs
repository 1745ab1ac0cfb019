//! `python`, as far as a lab's Flask application needs it: the file is really read, for its routes, texts, port and
//! address. What else a program does is not run, and the message says so.

use std::net::{IpAddr, Ipv4Addr};

use futures::future::{Either, select};
use jiff::tz::TimeZone;

use super::{packages, service::ANY};
use crate::{
    net::Reply,
    process::{Closed, Context, signal},
};

struct Application {
    name: String,
    routes: Vec<(String, Body)>,
    host: IpAddr,
    port: u16,
    runs: bool,
}

/// What a view function returns: text, or an expression that the simulator knows.
enum Body {
    Text(String),
    Hostname(String),
    Unknown(String),
}

pub(super) async fn python(context: Context, version: &str) -> Result<i32, Closed> {
    let arguments: Vec<&String> = context.argv[1..].iter().filter(|word| *word != "-u").collect();
    match arguments.first().map(|word| word.as_str()) {
        Some("--version" | "-V") => {
            context.out(format!("Python {version}\n")).await?;
            Ok(0)
        }
        Some("-c") => {
            let text = arguments.get(1).map_or("", |text| text.as_str());
            return script(&context, text, "<string>").await;
        }
        Some(file) if !file.starts_with('-') => {
            let path = context.path(file);
            let Ok(text) = context.view().read_text(&path) else {
                let program = format!("/usr/local/bin/{}", context.name());
                let text = format!("{program}: can't open file '{path}': [Errno 2] No such file or directory\n");
                context.err(text).await?;
                return Ok(2);
            };
            return script(&context, &text, file).await;
        }
        None if context.streams.input_is_terminal() => {
            context
                .out(format!("Python {version} (the simulator runs `print` lines and Flask files; `exit()` ends)\n"))
                .await?;
            loop {
                context.out(">>> ").await?;
                let Some(line) = context.streams.stdin.read_line().await else { return Ok(0) };
                if line.starts_with("exit") || line.starts_with("quit") {
                    return Ok(0);
                }
                script(&context, &line, "<stdin>").await?;
            }
        }
        None => {
            let text = context.streams.stdin.read_to_end().await;
            return script(&context, &String::from_utf8_lossy(&text), "<stdin>").await;
        }
        Some(option) => {
            let text = format!("the simulator's python has no `{option}`; connect a backend to run it");
            return context.fail(2, text).await;
        }
    }
}

fn literal(text: &str) -> Option<String> {
    let text = text.trim();
    let text = text.strip_prefix(['f', 'b', 'r']).filter(|rest| rest.starts_with(['"', '\''])).unwrap_or(text);
    let quote = text.chars().next().filter(|c| matches!(c, '"' | '\''))?;
    let end = text[1..].find(quote)?;
    (end + 2 == text.len()).then(|| text[1..=end].replace("\\n", "\n"))
}

fn argument<'a>(call: &'a str, name: &str) -> Option<&'a str> {
    let at = call.find(&format!("{name}="))? + name.len() + 1;
    let rest = &call[at..];
    Some(rest[..rest.find([',', ')']).unwrap_or(rest.len())].trim())
}

fn read_application(text: &str, file: &str) -> Application {
    let name = file.rsplit('/').next().unwrap_or(file).trim_end_matches(".py").to_owned();
    let mut application =
        Application { name, routes: Vec::new(), host: IpAddr::V4(Ipv4Addr::LOCALHOST), port: 5000, runs: false };
    let mut pending: Vec<String> = Vec::new();
    for line in text.lines().map(str::trim) {
        if line.starts_with('#') {
            continue;
        }
        if let Some(at) = line.find(".route(").filter(|_| line.starts_with('@')) {
            let call = &line[at + 7..];
            let end = call.find([',', ')']).unwrap_or(call.len());
            pending.extend(literal(&call[..end]));
        } else if let Some(value) = line.strip_prefix("return ").filter(|_| !pending.is_empty()) {
            for route in pending.drain(..) {
                let body = match literal(value) {
                    Some(text) if !value.trim().starts_with('f') => Body::Text(text),
                    Some(text) if text.contains("gethostname()") => Body::Hostname(text),
                    _ if value.contains("gethostname()") => Body::Hostname("{socket.gethostname()}".into()),
                    _ => Body::Unknown(value.to_owned()),
                };
                application.routes.push((route, body));
            }
        } else if let Some(at) = line.find(".run(") {
            let call = &line[at + 5..];
            application.runs = true;
            if let Some(port) = argument(call, "port").and_then(|port| port.trim_matches(['"', '\'']).parse().ok()) {
                application.port = port;
            }
            if let Some(host) = argument(call, "host").and_then(literal) {
                application.host = host.parse().unwrap_or(application.host);
            }
        }
    }
    application
}

async fn script(context: &Context, text: &str, file: &str) -> Result<i32, Closed> {
    let site = packages::site(context).unwrap_or_default();
    for (number, line) in text.lines().enumerate() {
        let words: Vec<&str> = line.split_whitespace().collect();
        let module = match words.as_slice() {
            ["import" | "from", module, ..] => module.split(['.', ',']).next().unwrap_or_default(),
            _ => continue,
        };
        let built_in =
            ["os", "sys", "socket", "time", "json", "random", "datetime", "math", "re", "logging", "__future__"];
        let found = built_in.contains(&module)
            || context.view().exists(&format!("{site}/{module}"))
            || context.view().exists(&context.path(&format!("{module}.py")));
        if !found {
            let text = format!(
                "Traceback (most recent call last):\n  File \"{file}\", line {}, in <module>\n    {}\nModuleNotFoundError: No module named '{module}'\n",
                number + 1,
                line.trim()
            );
            context.err(text).await?;
            return Ok(1);
        }
    }
    let application = read_application(text, file);
    if application.runs && text.contains("Flask(") {
        return serve(context, &application).await;
    }
    for line in text.lines().map(str::trim) {
        let printed = line.strip_prefix("print(").and_then(|rest| rest.strip_suffix(')'));
        let known =
            line.is_empty() || line.starts_with(['#', '@']) || line.starts_with("import") || line.starts_with("from");
        match printed {
            Some(value) => match literal(value).or_else(|| value.parse::<f64>().ok().map(|_| value.to_owned())) {
                Some(text) => context.out(format!("{text}\n")).await?,
                None => return unknown(context, line).await,
            },
            None if known || text.contains("Flask(") => {}
            None => return unknown(context, line).await,
        }
    }
    Ok(0)
}

async fn unknown(context: &Context, line: &str) -> Result<i32, Closed> {
    let text = format!("the simulator does not run this Python: `{line}`; connect a backend to run it");
    context.fail(1, text).await
}

async fn serve(context: &Context, application: &Application) -> Result<i32, Closed> {
    context.process.handle(&[signal::INT]);
    context.process.set_memory(28 << 20);
    let name = &application.name;
    context.out(format!(" * Serving Flask app '{name}'\n * Debug mode: off\n")).await?;
    let port = application.port;
    let Some(mut listener) = context.space().stack.listen(application.host, port, "python") else {
        context.err(format!("Address already in use\nPort {port} is in use by another program. Either identify and stop that program, or start the server with a different port.\n")).await?;
        return Ok(1);
    };
    let mut banner = "\x1b[31m\x1b[1mWARNING: This is a development server. Do not use it in a production deployment. Use a production WSGI server instead.\x1b[0m\n".to_owned();
    if application.host == ANY {
        banner += &format!(
            " * Running on all addresses (0.0.0.0)\n * Running on http://127.0.0.1:{port}\n * Running on http://{}:{port}\n",
            context.space().stack.first_address()
        );
    } else {
        banner += &format!(" * Running on http://{}:{port}\n", application.host);
    }
    banner += "\x1b[33mPress CTRL+C to quit\x1b[0m\n";
    context.err(banner).await?;
    loop {
        let process = context.process.clone();
        let connection = match select(Box::pin(process.next_signal()), Box::pin(listener.accept())).await {
            Either::Left(_) => return Ok(0),
            Either::Right((None, _)) => return Ok(1),
            Either::Right((Some(connection), _)) => connection,
        };
        let path = connection.request.path.split('?').next().unwrap_or_default().to_owned();
        let found = application.routes.iter().find(|(route, _)| *route == path).map(|(_, body)| body);
        let mut reply = match found {
            Some(Body::Text(text)) => Reply::text(200, "text/html; charset=utf-8", text.clone()),
            Some(Body::Hostname(text)) => {
                let host = context.space().hostname();
                let text = text.replace("{socket.gethostname()}", &host).replace("{gethostname()}", &host);
                Reply::text(200, "text/html; charset=utf-8", text)
            }
            Some(Body::Unknown(value)) => Reply::text(
                501,
                "text/plain",
                format!("The simulator cannot evaluate `{value}`; connect a backend to run this.\n"),
            ),
            None => Reply::text(
                404,
                "text/html; charset=utf-8",
                "<!doctype html>\n<html lang=en>\n<title>404 Not Found</title>\n<h1>Not Found</h1>\n<p>The requested URL was not found on the server. If you entered the URL manually please check your spelling and try again.</p>\n",
            ),
        };
        reply.headers.insert(0, ("Server".into(), "Werkzeug/3.1.9".into()));
        reply.headers.push(("Content-Length".into(), reply.body.len().to_string()));
        let now = context.space().world.clock.now().to_zoned(TimeZone::UTC);
        let line = format!(
            "{} - - [{}] \"{} {} HTTP/1.1\" {} -\n",
            connection.peer,
            now.strftime("%d/%b/%Y %H:%M:%S"),
            connection.request.method,
            connection.request.path,
            reply.status
        );
        connection.answer(reply);
        context.err(line).await?;
    }
}
