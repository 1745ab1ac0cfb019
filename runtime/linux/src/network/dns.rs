//! The embedded DNS server: what `127.0.0.11` is in a container on a network of the user's. Its sockets are made inside the
//! container's network namespace; names of the container's networks are answered from memory, everything else is passed on
//! to the machine's resolvers from the machine's own namespace.

use std::{
    io,
    net::{IpAddr, SocketAddr},
    sync::Arc,
    time::Duration,
};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream, UdpSocket},
    task::JoinHandle,
    time::timeout,
};

use super::{files::EMBEDDED_DNS, namespace::Namespace};

const PORT: u16 = 53;
const TYPE_A: u16 = 1;
const TYPE_PTR: u16 = 12;
const TYPE_AAAA: u16 = 28;
const CLASS_IN: u16 = 1;
const SERVER_FAILURE: u8 = 2;
/// Seconds; Docker's.
const TIME_TO_LIVE: u32 = 600;
/// How long a resolver of the machine may take before the next one is asked.
const UPSTREAM: Duration = Duration::from_secs(4);
const MESSAGE: usize = 65_535;

/// Where answers come from.
pub(crate) trait Names: Send + Sync + 'static {
    /// The addresses of a name (lower case, no final dot); `None` when the networks do not know it.
    fn addresses(&self, name: &str) -> Option<Vec<IpAddr>>;
    /// The name of an address.
    fn name(&self, address: IpAddr) -> Option<String>;
    /// The machine's resolvers, or those the container was given.
    fn upstream(&self) -> Vec<IpAddr>;
}

/// A running server. Dropping it closes its sockets.
#[derive(Debug)]
pub(crate) struct Server {
    tasks: [JoinHandle<()>; 2],
}

impl Drop for Server {
    fn drop(&mut self) {
        for task in &self.tasks {
            task.abort();
        }
    }
}

/// Opens the sockets inside `namespace` and serves. Within a tokio runtime.
pub(crate) fn serve(namespace: &Namespace, names: Arc<dyn Names>) -> io::Result<Server> {
    let address = EMBEDDED_DNS.parse().map_err(io::Error::other)?;
    serve_at(namespace, address, names)
}

/// The same at another address of the namespace.
pub(crate) fn serve_at(namespace: &Namespace, address: IpAddr, names: Arc<dyn Names>) -> io::Result<Server> {
    let address = SocketAddr::new(address, PORT);
    let (udp, tcp) = namespace.inside(|| {
        let udp = std::net::UdpSocket::bind(address)?;
        let tcp = std::net::TcpListener::bind(address)?;
        udp.set_nonblocking(true)?;
        tcp.set_nonblocking(true)?;
        Ok((udp, tcp))
    })?;
    let (udp, tcp) = (UdpSocket::from_std(udp)?, TcpListener::from_std(tcp)?);
    let tasks = [tokio::spawn(datagrams(udp, names.clone())), tokio::spawn(streams(tcp, names))];
    Ok(Server { tasks })
}

async fn datagrams(socket: UdpSocket, names: Arc<dyn Names>) {
    let socket = Arc::new(socket);
    let mut buffer = vec![0; MESSAGE];
    loop {
        let Ok((length, client)) = socket.recv_from(&mut buffer).await else { continue };
        let (query, socket, names) = (buffer[..length].to_vec(), socket.clone(), names.clone());
        tokio::spawn(async move {
            let reply = match answer(&query, names.as_ref()) {
                Some(reply) => Some(reply),
                None => forward_datagram(&query, &names.upstream()).await.or_else(|| failure(&query)),
            };
            if let Some(reply) = reply
                && let Err(error) = socket.send_to(&reply, client).await
            {
                tracing::trace!("embedded DNS: {error}");
            }
        });
    }
}

async fn streams(listener: TcpListener, names: Arc<dyn Names>) {
    loop {
        let Ok((mut client, _)) = listener.accept().await else { continue };
        let names = names.clone();
        tokio::spawn(async move {
            while let Ok(Some(query)) = read_message(&mut client).await {
                let reply = match answer(&query, names.as_ref()) {
                    Some(reply) => Some(reply),
                    None => forward_stream(&query, &names.upstream()).await.or_else(|| failure(&query)),
                };
                let Some(reply) = reply else { return };
                if write_message(&mut client, &reply).await.is_err() {
                    return;
                }
            }
        });
    }
}

async fn read_message(stream: &mut TcpStream) -> io::Result<Option<Vec<u8>>> {
    let length = match stream.read_u16().await {
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(None),
        result => result?,
    };
    let mut message = vec![0; length.into()];
    stream.read_exact(&mut message).await?;
    Ok(Some(message))
}

async fn write_message(stream: &mut TcpStream, message: &[u8]) -> io::Result<()> {
    stream.write_u16(u16::try_from(message.len()).map_err(io::Error::other)?).await?;
    stream.write_all(message).await
}

async fn forward_datagram(query: &[u8], servers: &[IpAddr]) -> Option<Vec<u8>> {
    for server in servers {
        let ask = async {
            let any = if server.is_ipv4() { "0.0.0.0:0" } else { "[::]:0" };
            let socket = UdpSocket::bind(any).await?;
            socket.connect(SocketAddr::new(*server, PORT)).await?;
            socket.send(query).await?;
            let mut buffer = vec![0; MESSAGE];
            loop {
                let length = socket.recv(&mut buffer).await?;
                // Late answers to another question of this port's have another ID.
                if length >= 12 && buffer[..2] == query[..2] {
                    buffer.truncate(length);
                    return io::Result::Ok(buffer);
                }
            }
        };
        match timeout(UPSTREAM, ask).await {
            Ok(Ok(reply)) => return Some(reply),
            Ok(Err(error)) => tracing::debug!("embedded DNS: ask {server}: {error}"),
            Err(_) => tracing::debug!("embedded DNS: ask {server}: timed out"),
        }
    }
    None
}

async fn forward_stream(query: &[u8], servers: &[IpAddr]) -> Option<Vec<u8>> {
    for server in servers {
        let ask = async {
            let mut stream = TcpStream::connect(SocketAddr::new(*server, PORT)).await?;
            write_message(&mut stream, query).await?;
            read_message(&mut stream).await
        };
        if let Ok(Ok(Some(reply))) = timeout(UPSTREAM, ask).await {
            return Some(reply);
        }
    }
    None
}

/// A query's one question.
struct Question {
    name: String,
    kind: u16,
    /// Bytes of the message up to its end.
    end: usize,
}

fn question(query: &[u8]) -> Option<Question> {
    // A query, not an answer, with exactly one question.
    if query.len() < 12 || query[2] & 0xF8 != 0 || query[4..6] != [0, 1] {
        return None;
    }
    let mut labels = Vec::new();
    let mut at = 12;
    loop {
        let length = usize::from(*query.get(at)?);
        at += 1;
        if length == 0 {
            break;
        }
        // Questions carry no compression pointers.
        if length > 63 {
            return None;
        }
        labels.push(String::from_utf8_lossy(query.get(at..at + length)?).to_ascii_lowercase());
        at += length;
    }
    let kind = u16::from_be_bytes([*query.get(at)?, *query.get(at + 1)?]);
    let class = u16::from_be_bytes([*query.get(at + 2)?, *query.get(at + 3)?]);
    (class == CLASS_IN).then(|| Question { name: labels.join("."), kind, end: at + 4 })
}

/// The reply to a query that the networks can answer; `None` is for somebody else.
fn answer(query: &[u8], names: &dyn Names) -> Option<Vec<u8>> {
    let question = question(query)?;
    let mut records: Vec<(u16, Vec<u8>)> = Vec::new();
    if question.kind == TYPE_PTR {
        let name = names.name(reverse_address(&question.name)?)?;
        records.push((TYPE_PTR, encode_name(&name)?));
    } else {
        for address in names.addresses(&question.name)? {
            match address {
                IpAddr::V4(address) if question.kind == TYPE_A => records.push((TYPE_A, address.octets().to_vec())),
                IpAddr::V6(address) if question.kind == TYPE_AAAA => {
                    records.push((TYPE_AAAA, address.octets().to_vec()))
                }
                // The name exists, without such a record.
                _ => {}
            }
        }
    }
    let mut reply = reply_header(query, &question, 0);
    reply[6..8].copy_from_slice(&u16::try_from(records.len()).ok()?.to_be_bytes());
    for (kind, data) in records {
        // The name is the question's, at byte 12.
        reply.extend_from_slice(&[0xC0, 12]);
        for number in [kind, CLASS_IN] {
            reply.extend_from_slice(&number.to_be_bytes());
        }
        reply.extend_from_slice(&TIME_TO_LIVE.to_be_bytes());
        reply.extend_from_slice(&u16::try_from(data.len()).ok()?.to_be_bytes());
        reply.extend_from_slice(&data);
    }
    Some(reply)
}

/// No resolver answered.
fn failure(query: &[u8]) -> Option<Vec<u8>> {
    Some(reply_header(query, &question(query)?, SERVER_FAILURE))
}

fn reply_header(query: &[u8], question: &Question, code: u8) -> Vec<u8> {
    let mut reply = query[..question.end].to_vec();
    // An answer; recursion is wanted as asked, and available.
    reply[2] = 0x80 | (query[2] & 0x01);
    reply[3] = 0x80 | code;
    reply[6..12].fill(0);
    reply
}

fn encode_name(name: &str) -> Option<Vec<u8>> {
    let mut bytes = Vec::new();
    for label in name.split('.') {
        bytes.push(u8::try_from(label.len()).ok().filter(|length| (1..64).contains(length))?);
        bytes.extend_from_slice(label.as_bytes());
    }
    bytes.push(0);
    Some(bytes)
}

/// `2.0.18.172.in-addr.arpa`.
fn reverse_address(name: &str) -> Option<IpAddr> {
    if let Some(digits) = name.strip_suffix(".in-addr.arpa") {
        let octets: Vec<u8> = digits.rsplit('.').map(|part| part.parse().ok()).collect::<Option<_>>()?;
        return <[u8; 4]>::try_from(octets).ok().map(IpAddr::from);
    }
    let nibbles: Vec<u8> = name
        .strip_suffix(".ip6.arpa")?
        .rsplit('.')
        .map(|digit| u8::from_str_radix(digit, 16).ok().filter(|value| *value < 16))
        .collect::<Option<_>>()?;
    let octets: Vec<u8> = nibbles.chunks_exact(2).map(|pair| pair[0] << 4 | pair[1]).collect();
    <[u8; 16]>::try_from(octets).ok().map(IpAddr::from)
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Fixed;

    impl Names for Fixed {
        fn addresses(&self, name: &str) -> Option<Vec<IpAddr>> {
            (name == "web").then(|| vec![IpAddr::from([172, 18, 0, 2]), IpAddr::from([172, 18, 0, 3])])
        }
        fn name(&self, address: IpAddr) -> Option<String> {
            (address == IpAddr::from([172, 18, 0, 2])).then(|| "web.net1".to_owned())
        }
        fn upstream(&self) -> Vec<IpAddr> {
            Vec::new()
        }
    }

    fn query(name: &str, kind: u16) -> Vec<u8> {
        let mut query = vec![0xAB, 0xCD, 0x01, 0, 0, 1, 0, 0, 0, 0, 0, 0];
        query.extend(encode_name(name).unwrap());
        query.extend_from_slice(&kind.to_be_bytes());
        query.extend_from_slice(&CLASS_IN.to_be_bytes());
        query
    }

    #[test]
    fn a_known_name_is_answered_with_every_address() {
        let reply = answer(&query("WEB", TYPE_A), &Fixed).unwrap();
        assert_eq!(reply[..4], [0xAB, 0xCD, 0x81, 0x80]);
        assert_eq!(reply[6..8], [0, 2]);
        assert_eq!(reply[reply.len() - 4..], [172, 18, 0, 3]);
    }

    #[test]
    fn a_known_name_without_ipv6_exists_all_the_same() {
        let reply = answer(&query("web", TYPE_AAAA), &Fixed).unwrap();
        assert_eq!((reply[3] & 0x0F, &reply[6..8]), (0, &[0, 0][..]));
    }

    #[test]
    fn an_address_has_its_name() {
        let reply = answer(&query("2.0.18.172.in-addr.arpa", TYPE_PTR), &Fixed).unwrap();
        assert!(reply.ends_with(b"\x03web\x04net1\0"));
    }

    #[test]
    fn an_unknown_name_is_for_somebody_else_and_garbage_for_nobody() {
        assert_eq!(answer(&query("example.com", TYPE_A), &Fixed), None);
        assert_eq!(answer(&[0; 11], &Fixed), None);
        assert_eq!(failure(&[0xFF; 40]), None);
        assert_eq!(failure(&query("example.com", TYPE_A)).unwrap()[3] & 0x0F, SERVER_FAILURE);
    }
}
