//! Programs that an image description describes.

use std::{
    net::{IpAddr, Ipv4Addr},
    sync::Arc,
    time::Duration,
};

use futures::future::{Either, select};
use jiff::{Timestamp, tz::TimeZone};

use crate::{
    images::{ProgramDescription, RegistryServer},
    net::{Connection, Listener, Reply, WebServer},
    process::{Closed, Context, signal},
};

pub(super) const ANY: IpAddr = IpAddr::V4(Ipv4Addr::UNSPECIFIED);

pub(super) async fn run(program: ProgramDescription, version: &str, context: Context) -> Result<i32, Closed> {
    let pid = context.process.pid.to_string();
    let fill = |text: &str| text.replace("{pid}", &pid).replace("{version}", version);
    if let Some(needed) = &program.foreground
        && !context.argv.iter().any(|argument| argument.contains(needed.as_str()))
    {
        // It goes to the background: the process that was started ends, and a container with it.
        return Ok(0);
    }
    if program.memory > 0 {
        context.process.set_memory(program.memory);
    }
    context.process.set_cpu(program.cpu * 1_000_000);
    let signals: Vec<(i32, i32)> =
        program.exit_on.iter().filter_map(|(name, code)| Some((signal::parse(name)?, *code))).collect();
    context.process.handle(&signals.iter().map(|(number, _)| *number).collect::<Vec<_>>());
    if program.start_ms > 0 {
        context.sleep(Duration::from_millis(program.start_ms)).await;
    }
    for (path, content) in &program.writes {
        // A read-only file system does not keep the described program from running.
        let _ = context.view().write(path, fill(content).as_bytes(), false);
    }
    for line in &program.stdout {
        context.out(fill(line) + "\n").await?;
    }
    for line in &program.stderr {
        context.err(fill(line) + "\n").await?;
    }
    if let Some(code) = program.exit {
        return Ok(code);
    }
    if let Some(title) = &program.title {
        context.process.set_argv(vec![fill(title)]);
    }
    let mut listeners: Vec<Listener> = Vec::new();
    for &port in &program.listen {
        match context.space().stack.listen(ANY, port, &program.name) {
            Some(listener) => listeners.push(listener),
            None => {
                let message = format!("bind() to 0.0.0.0:{port} failed (98: Address already in use)");
                return context.fail(1, message).await;
            }
        }
    }
    let registry = program.registry.then(|| Arc::new(RegistryServer::empty()));
    loop {
        let next = async {
            if listeners.is_empty() {
                return futures::future::pending().await;
            }
            let accepts = listeners.iter_mut().map(|listener| Box::pin(listener.accept()));
            futures::future::select_all(accepts).await.0
        };
        let process = context.process.clone();
        match select(Box::pin(process.next_signal()), Box::pin(next)).await {
            Either::Left((number, _)) => {
                if let Some((_, code)) = signals.iter().find(|(known, _)| *known == number) {
                    return Ok(*code);
                }
            }
            Either::Right((None, _)) => return Ok(1),
            Either::Right((Some(connection), _)) => {
                answer(&program, version, registry.as_deref(), &context, connection).await?;
            }
        }
    }
}

async fn answer(
    program: &ProgramDescription,
    version: &str,
    registry: Option<&RegistryServer>,
    context: &Context,
    connection: Connection,
) -> Result<(), Closed> {
    let request = connection.request.clone();
    let mut reply = if let Some(registry) = registry {
        registry.answer(request.clone()).await
    } else if let Some(root) = &program.root {
        file(context, root, &request.path, program.server.as_deref().unwrap_or_default().replace("{version}", version))
    } else {
        let kind = program.content_type.as_deref().unwrap_or("text/plain");
        Reply::text(200, kind, program.answer.clone().unwrap_or_default())
    };
    let now = context.space().world.clock.now();
    if let Some(server) = &program.server {
        let date = now.to_zoned(TimeZone::UTC).strftime("%a, %d %b %Y %H:%M:%S GMT").to_string();
        reply.headers.insert(0, ("Server".into(), server.replace("{version}", version)));
        reply.headers.insert(1, ("Date".into(), date));
    }
    if program.access_log {
        let line = format!(
            "{} - - [{}] \"{} {} HTTP/1.1\" {} {} \"-\" \"{}\" \"-\"\n",
            connection.peer,
            now.to_zoned(TimeZone::UTC).strftime("%d/%b/%Y:%H:%M:%S +0000"),
            request.method,
            request.path,
            reply.status,
            reply.body.len(),
            request.header("User-Agent").unwrap_or("-"),
        );
        connection.answer(reply);
        return context.out(line).await;
    }
    connection.answer(reply);
    Ok(())
}

/// A file as a static web server answers with it.
fn file(context: &Context, root: &str, path: &str, server: String) -> Reply {
    let path = path.split('?').next().unwrap_or_default();
    let mut file = format!("{root}{}", crate::fs::join("/", path));
    if context.view().is_directory(&file) {
        file = format!("{}/index.html", file.trim_end_matches('/'));
    }
    match (context.view().read(&file), context.view().stat(&file)) {
        (Ok(bytes), Ok(entry)) => {
            let kind = match file.rsplit('.').next() {
                Some("html" | "htm") => "text/html",
                Some("css") => "text/css",
                Some("js") => "application/javascript",
                Some("json") => "application/json",
                Some("txt") => "text/plain",
                _ => "application/octet-stream",
            };
            let changed = Timestamp::from_second(entry.mtime).unwrap_or_default().to_zoned(TimeZone::UTC);
            let mut reply = Reply::text(200, kind, bytes);
            reply.headers.push(("Content-Length".into(), reply.body.len().to_string()));
            reply.headers.push(("Last-Modified".into(), changed.strftime("%a, %d %b %Y %H:%M:%S GMT").to_string()));
            reply.headers.push(("Connection".into(), "keep-alive".into()));
            reply.headers.push(("ETag".into(), format!("\"{:x}-{:x}\"", entry.mtime, reply.body.len())));
            reply.headers.push(("Accept-Ranges".into(), "bytes".into()));
            reply
        }
        _ => {
            let body = format!(
                "<html>\r\n<head><title>404 Not Found</title></head>\r\n<body>\r\n<center><h1>404 Not Found</h1></center>\r\n<hr><center>{server}</center>\r\n</body>\r\n</html>\r\n"
            );
            Reply::text(404, "text/html", body)
        }
    }
}
