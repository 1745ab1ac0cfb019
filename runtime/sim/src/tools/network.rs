//! Programs of the network.

use std::time::Duration;

use crate::{
    fs::join,
    net::{NetError, Request, Url, fetch},
    process::{Closed, Context},
};

/// `curl` and `wget` over the virtual network.
pub(super) async fn curl(context: Context) -> Result<i32, Closed> {
    let is_wget = context.name() == "wget";
    let mut request = Request { method: "GET".into(), ..Request::default() };
    let agent = if is_wget { "Wget" } else { "curl/8.5.0" };
    let (mut url, mut output, mut dump, mut flags, mut write_out) = (None, None, None, String::new(), None);
    let mut timeout = Duration::from_secs(130);
    let mut words = context.argv[1..].iter();
    while let Some(word) = words.next() {
        let mut value = || words.next().cloned().unwrap_or_default();
        match word.as_str() {
            "-o" | "--output" | "-O" if word != "-O" || is_wget => output = Some(value()),
            "-D" | "--dump-header" => dump = Some(value()),
            "-w" | "--write-out" => write_out = Some(value()),
            "-X" | "--request" => request.method = value(),
            "-H" | "--header" => {
                let header = value();
                if let Some((name, text)) = header.split_once(':') {
                    request.headers.push((name.trim().to_owned(), text.trim().to_owned()));
                }
            }
            "-d" | "--data" => {
                request.body = value().into();
                if request.method == "GET" {
                    request.method = "POST".into();
                }
            }
            "-m" | "--max-time" | "--connect-timeout" | "-T" => {
                timeout = Duration::try_from_secs_f64(value().parse().unwrap_or(130.0)).unwrap_or(timeout);
            }
            long if long.starts_with("--") => match long {
                "--silent" => flags.push('s'),
                "--head" => flags.push('I'),
                "--include" => flags.push('i'),
                "--fail" => flags.push('f'),
                _ => {}
            },
            "-qO-" | "-O-" => output = Some("-".into()),
            short if short.starts_with('-') => {
                flags += &short[1..];
                if is_wget && short.ends_with('O') {
                    output = Some(value());
                }
            }
            operand => url = Some(operand.to_owned()),
        }
    }
    let Some(text) = url else {
        context.err("curl: (2) no URL specified\n").await?;
        return Ok(2);
    };
    let Some(url) = Url::parse(&text) else {
        context.err(format!("curl: (3) URL rejected: {text}\n")).await?;
        return Ok(3);
    };
    if flags.contains('I') {
        request.method = "HEAD".into();
    }
    request.path.clone_from(&url.path);
    request
        .headers
        .push(("Host".into(), if url.port == 80 { url.host.clone() } else { format!("{}:{}", url.host, url.port) }));
    if request.header("User-Agent").is_none() {
        request.headers.push(("User-Agent".into(), agent.into()));
    }
    let head = request.method == "HEAD";
    let reply = match fetch(context.space(), &url.host, url.port, request, timeout).await {
        Ok(reply) => reply,
        Err(error) => {
            return failed(&context, &url, &error, is_wget, !flags.contains('s') || flags.contains('S'), timeout).await;
        }
    };
    let reason = match reply.status {
        200 => "OK",
        201 => "Created",
        202 => "Accepted",
        204 => "No Content",
        301 => "Moved Permanently",
        302 => "Found",
        400 => "Bad Request",
        401 => "Unauthorized",
        404 => "Not Found",
        405 => "Method Not Allowed",
        500 => "Internal Server Error",
        _ => "",
    };
    let mut header = format!("HTTP/1.1 {} {reason}\r\n", reply.status);
    for (name, value) in &reply.headers {
        header += &format!("{name}: {value}\r\n");
    }
    header += "\r\n";
    if flags.contains('f') && reply.status >= 400 {
        context.err(format!("curl: (22) The requested URL returned error: {}\n", reply.status)).await?;
        return Ok(22);
    }
    if flags.contains('I') || flags.contains('i') || dump.as_deref() == Some("-") {
        context.out(&header).await?;
    }
    if is_wget && reply.status >= 400 {
        context.err(format!("wget: server returned error: HTTP/1.1 {} {reason}\n", reply.status)).await?;
        return Ok(1);
    }
    if is_wget && output.is_none() {
        let name = url.path.rsplit('/').next().filter(|name| !name.is_empty()).unwrap_or("index.html");
        output = Some(name.to_owned());
    }
    if !head {
        match output.as_deref() {
            None | Some("-") => context.out(&reply.body).await?,
            Some(file) => {
                if let Err(error) = context.view().write(&join(&context.cwd, file), &reply.body, false) {
                    return context.fail(23, format!("(23) {file}: {error}")).await;
                }
            }
        }
    }
    if let Some(format) = write_out {
        let text = format.replace("%{http_code}", &reply.status.to_string()).replace("\\n", "\n");
        context.out(text).await?;
    }
    Ok(0)
}

async fn failed(
    context: &Context,
    url: &Url,
    error: &NetError,
    is_wget: bool,
    loud: bool,
    timeout: Duration,
) -> Result<i32, Closed> {
    let (host, port) = (&url.host, url.port);
    if is_wget {
        let text = match error {
            NetError::NoSuchHost(_) => format!("wget: bad address '{host}'\n"),
            NetError::Refused(_) => format!("wget: can't connect to remote host ({host}): Connection refused\n"),
            NetError::Reset(_) => "wget: error getting response: Connection reset by peer\n".to_owned(),
            _ => "wget: download timed out\n".to_owned(),
        };
        context.err(text).await?;
        return Ok(1);
    }
    let (code, text) = match error {
        NetError::NoSuchHost(_) => (6, format!("Could not resolve host: {host}")),
        NetError::Refused(_) => {
            (7, format!("Failed to connect to {host} port {port} after 0 ms: Couldn't connect to server"))
        }
        NetError::NoRoute(_) => (7, format!("Failed to connect to {host} port {port} after 3068 ms: No route to host")),
        NetError::Unreachable(_) => {
            (7, format!("Failed to connect to {host} port {port} after 0 ms: Network is unreachable"))
        }
        NetError::Reset(_) => (56, "Recv failure: Connection reset by peer".to_owned()),
        NetError::TimedOut(_) => (28, format!("Connection timed out after {} milliseconds", timeout.as_millis())),
    };
    if loud {
        context.err(format!("curl: ({code}) {text}\n")).await?;
    }
    Ok(code)
}

pub(super) async fn ping(context: Context) -> Result<i32, Closed> {
    let mut count = u32::MAX;
    let mut host = String::new();
    let mut words = context.argv[1..].iter();
    while let Some(word) = words.next() {
        match word.as_str() {
            "-c" => count = words.next().and_then(|word| word.parse().ok()).unwrap_or(1),
            "-w" | "-W" | "-i" => drop(words.next()),
            option if option.starts_with('-') => {}
            name => name.clone_into(&mut host),
        }
    }
    let Some(address) = context.space().resolve(&host).first().copied() else {
        return context.fail(2, format!("{host}: Name or service not known")).await;
    };
    context.out(format!("PING {host} ({address}) 56(84) bytes of data.\n")).await?;
    // A closed port answers as well as an open one: only the way there matters.
    let mut received = 0;
    let mut sent = 0;
    context.process.handle(&[crate::process::signal::INT]);
    while sent < count {
        sent += 1;
        let probe = fetch(context.space(), &address.to_string(), 7, Request::default(), Duration::from_secs(1)).await;
        if matches!(probe, Ok(_) | Err(NetError::Refused(_) | NetError::Reset(_))) {
            received += 1;
            context.out(format!("64 bytes from {address}: icmp_seq={sent} ttl=64 time=0.080 ms\n")).await?;
        }
        if context.process.take_signal().is_some() {
            break;
        }
        if sent < count {
            context.sleep(Duration::from_secs(1)).await;
        }
    }
    let loss = (sent - received) * 100 / sent.max(1);
    context
        .out(format!(
            "\n--- {host} ping statistics ---\n{sent} packets transmitted, {received} received, {loss}% packet loss\n"
        ))
        .await?;
    Ok(i32::from(received == 0))
}

pub(super) async fn ip(context: Context) -> Result<i32, Closed> {
    let faces = context.space().stack.interfaces();
    let mut text = String::new();
    if context.argv.get(1).is_some_and(|word| word.starts_with('r')) {
        for face in &faces {
            if let Some(gateway) = face.gateway {
                text += &format!("default via {gateway} dev {} \n", face.name);
                break;
            }
        }
        for face in &faces {
            text += &format!(
                "{}/{} dev {} scope link  src {} \n",
                base(face.address, face.prefix),
                face.prefix,
                face.name,
                face.address
            );
        }
    } else {
        text += "1: lo: <LOOPBACK,UP,LOWER_UP> mtu 65536 qdisc noqueue qlen 1000\n    link/loopback 00:00:00:00:00:00 brd 00:00:00:00:00:00\n    inet 127.0.0.1/8 scope host lo\n       valid_lft forever preferred_lft forever\n";
        for (number, face) in faces.iter().enumerate() {
            text += &format!(
                "{}: {}: <BROADCAST,MULTICAST,UP,LOWER_UP> mtu 1500 qdisc noqueue \n    link/ether {} brd ff:ff:ff:ff:ff:ff\n    inet {}/{} scope global {}\n       valid_lft forever preferred_lft forever\n",
                number + 2,
                face.name,
                face.mac,
                face.address,
                face.prefix,
                face.name
            );
        }
    }
    context.out(text).await?;
    Ok(0)
}

fn base(address: std::net::IpAddr, prefix: u8) -> std::net::IpAddr {
    match address {
        std::net::IpAddr::V4(address) => {
            let mask = u32::MAX.checked_shl(32 - u32::from(prefix.min(32))).unwrap_or(0);
            std::net::Ipv4Addr::from_bits(address.to_bits() & mask).into()
        }
        other => other,
    }
}

pub(super) async fn ss(context: Context) -> Result<i32, Closed> {
    let mut text = "State  Recv-Q Send-Q Local Address:Port  Peer Address:Port Process\n".to_owned();
    let mut rows: Vec<(String, u16, String)> = context
        .space()
        .stack
        .listening()
        .into_iter()
        .map(|(address, port, process)| (address.to_string(), port, process))
        .collect();
    if let Some(node) = context.space().node.upgrade().filter(|_| !context.space().is_container()) {
        let ports = crate::world::lock(&node.ports);
        rows.extend(
            ports.iter().map(|(port, _)| (port.host_address.to_string(), port.host_port, "docker-proxy".into())),
        );
    }
    for (address, port, process) in rows {
        text += &format!("LISTEN 0      4096   {address:>13}:{port:<5}      0.0.0.0:*    users:((\"{process}\"))\n");
    }
    context.out(text).await?;
    Ok(0)
}

/// `nslookup` and `getent hosts`.
pub(super) async fn lookup(context: Context) -> Result<i32, Closed> {
    let Some(name) = context.argv.last().filter(|_| context.argv.len() > 1) else {
        return context.fail(1, "missing operand").await;
    };
    let addresses = context.space().resolve(name);
    if context.name() == "getent" {
        for address in &addresses {
            context.out(format!("{:<15} {name}\n", address.to_string())).await?;
        }
        return Ok(if addresses.is_empty() { 2 } else { 0 });
    }
    let resolv = context.view().read_text("/etc/resolv.conf").unwrap_or_default();
    let server = resolv.split_whitespace().nth(1).unwrap_or("127.0.0.53").to_owned();
    let mut text = format!("Server:\t\t{server}\nAddress:\t{server}#53\n\n");
    if addresses.is_empty() {
        text += &format!("** server can't find {name}: NXDOMAIN\n\n");
    } else {
        text += "Non-authoritative answer:\n";
        for address in &addresses {
            text += &format!("Name:\t{name}\nAddress: {address}\n");
        }
        text.push('\n');
    }
    context.out(text).await?;
    Ok(i32::from(addresses.is_empty()))
}
