//! Connections, and what to call their failures.

use std::{
    error::Error,
    fs, io,
    net::{IpAddr, SocketAddr},
    sync::Arc,
    time::Duration,
};

use docklab_host::HostResult;
use rustls::{
    ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme,
    client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
    crypto::CryptoProvider,
    pki_types::{CertificateDer, ServerName, UnixTime},
};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::TcpStream,
    time::timeout,
};
use tokio_rustls::TlsConnector;

use super::{provider, tls_error};

/// Go's defaults for a registry client.
const DIAL: Duration = Duration::from_secs(30);
const HANDSHAKE: Duration = Duration::from_secs(10);
/// A registry may verify a large upload before it answers.
pub(super) const HEADERS: Duration = Duration::from_secs(300);

/// Plain or encrypted.
pub(super) trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin> Stream for T {}

/// Resolves and connects; addresses are tried in the resolver's order.
pub(super) async fn connect(host: &str, port: u16) -> Result<TcpStream, String> {
    let bare = host.trim_start_matches('[').trim_end_matches(']');
    let addresses: Vec<SocketAddr> = match bare.parse::<IpAddr>() {
        Ok(address) => vec![SocketAddr::new(address, port)],
        Err(_) => match tokio::net::lookup_host((bare, port)).await {
            Ok(found) => found.collect(),
            Err(error) => return Err(format!("dial tcp: lookup {bare}{}: {}", resolver(), lookup_words(&error))),
        },
    };
    let mut last = format!("dial tcp: lookup {bare}{}: no such host", resolver());
    for address in addresses {
        last = match timeout(DIAL, TcpStream::connect(address)).await {
            Ok(Ok(stream)) => {
                let _ = stream.set_nodelay(true);
                return Ok(stream);
            }
            Ok(Err(error)) => format!("dial tcp {address}: connect: {}", go_words(&error)),
            Err(_) => format!("dial tcp {address}: i/o timeout"),
        };
    }
    Err(last)
}

/// ` on 127.0.0.53:53`: the first server of /etc/resolv.conf, which is the one Go asks first.
fn resolver() -> String {
    let text = fs::read_to_string("/etc/resolv.conf").unwrap_or_default();
    let server = text.lines().find_map(|line| line.strip_prefix("nameserver")?.split_whitespace().next()?.parse().ok());
    server.map_or_else(String::new, |server: IpAddr| format!(" on {}", SocketAddr::new(server, 53)))
}

/// getaddrinfo(3) has its own errors; only their texts reach us.
fn lookup_words(error: &io::Error) -> String {
    let text = error.to_string();
    let temporary = text.contains("Temporary failure");
    if temporary { "server misbehaving".to_owned() } else { "no such host".to_owned() }
}

/// The kernel's errors as Go's syscall package prints them.
pub(crate) fn go_words(error: &io::Error) -> String {
    match error.raw_os_error() {
        Some(code) => {
            let text = nix::errno::Errno::from_raw(code).desc();
            let mut characters = text.chars();
            characters.next().map_or_else(String::new, |first| first.to_lowercase().chain(characters).collect())
        }
        None => error.to_string(),
    }
}

/// An HTTP exchange that broke off.
pub(super) fn exchange_words(error: &hyper::Error) -> String {
    if error.is_incomplete_message() {
        return "EOF".to_owned();
    }
    let mut source = error.source();
    while let Some(inner) = source {
        if let Some(host) = inner.downcast_ref::<docklab_host::HostError>() {
            return host.to_string();
        }
        if let Some(error) = inner.downcast_ref::<io::Error>() {
            return format!("read: {}", go_words(error));
        }
        source = inner.source();
    }
    error.to_string()
}

pub(super) async fn handshake(
    connector: &TlsConnector,
    host: &str,
    stream: TcpStream,
) -> Result<Box<dyn Stream>, String> {
    let bare = host.trim_start_matches('[').trim_end_matches(']').to_owned();
    let name = ServerName::try_from(bare.clone()).map_err(|error| error.to_string())?;
    match timeout(HANDSHAKE, connector.connect(name, stream)).await {
        Ok(Ok(stream)) => Ok(Box::new(stream)),
        Ok(Err(error)) => Err(handshake_words(&error, &bare)),
        Err(_) => Err("net/http: TLS handshake timeout".to_owned()),
    }
}

fn handshake_words(error: &io::Error, host: &str) -> String {
    use rustls::{CertificateError as Certificate, Error};
    match error.get_ref().and_then(|inner| inner.downcast_ref::<Error>()) {
        // What a plain HTTP server answers to a TLS greeting.
        Some(Error::InvalidMessage(_)) => "http: server gave HTTP response to HTTPS client".to_owned(),
        Some(Error::InvalidCertificate(Certificate::UnknownIssuer)) => {
            "tls: failed to verify certificate: x509: certificate signed by unknown authority".to_owned()
        }
        Some(Error::InvalidCertificate(Certificate::Expired | Certificate::ExpiredContext { .. })) => {
            "tls: failed to verify certificate: x509: certificate has expired or is not yet valid".to_owned()
        }
        Some(Error::InvalidCertificate(Certificate::NotValidForName | Certificate::NotValidForNameContext { .. })) => {
            format!("tls: failed to verify certificate: x509: certificate is not valid for {host}")
        }
        Some(other) => format!("tls: {other}"),
        None if error.kind() == io::ErrorKind::UnexpectedEof => "EOF".to_owned(),
        None => format!("read: {}", go_words(error)),
    }
}

pub(super) fn verified_tls() -> HostResult<TlsConnector> {
    let mut roots = RootCertStore::empty();
    let machine = rustls_native_certs::load_native_certs();
    roots.add_parsable_certificates(machine.certs);
    if roots.is_empty() {
        roots.extend(webpki_roots::TLS_SERVER_ROOTS.iter().cloned());
    }
    let config = ClientConfig::builder_with_provider(provider())
        .with_safe_default_protocol_versions()
        .map_err(tls_error)?
        .with_root_certificates(roots)
        .with_no_client_auth();
    Ok(TlsConnector::from(Arc::new(config)))
}

pub(super) fn insecure_tls() -> HostResult<TlsConnector> {
    let provider = provider();
    let config = ClientConfig::builder_with_provider(provider.clone())
        .with_safe_default_protocol_versions()
        .map_err(tls_error)?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(AnyCertificate(provider)))
        .with_no_client_auth();
    Ok(TlsConnector::from(Arc::new(config)))
}

/// Takes a certificate for what it says; still checks that the server holds its key.
#[derive(Debug)]
struct AnyCertificate(Arc<CryptoProvider>);

impl ServerCertVerifier for AnyCertificate {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.0.signature_verification_algorithms;
        rustls::crypto::verify_tls12_signature(message, certificate, signature, algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.0.signature_verification_algorithms;
        rustls::crypto::verify_tls13_signature(message, certificate, signature, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}
