//! Mutual TLS between the nodes of a swarm. TLS proves that the other side holds the key of its certificate; whether the
//! certificate is to be trusted is the engine's to say.

use std::{fmt, io, sync::Arc};

use bytes::Bytes;
use docklab_host::{Identity, Judge};
use rustls::{
    ClientConfig, DigitallySignedStruct, DistinguishedName, Error, ServerConfig, SignatureScheme,
    client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
    crypto::CryptoProvider,
    pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer, ServerName, UnixTime},
    server::danger::{ClientCertVerified, ClientCertVerifier},
};

use super::provider;

/// Asks the judge, and the provider for signatures.
struct Judging {
    judge: Judge,
    provider: Arc<CryptoProvider>,
}

impl fmt::Debug for Judging {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Judging")
    }
}

impl Judging {
    fn judge(&self, own: &CertificateDer<'_>, others: &[CertificateDer<'_>]) -> Result<(), Error> {
        let chain: Vec<Bytes> = std::iter::once(own).chain(others).map(|one| Bytes::copy_from_slice(one)).collect();
        (self.judge)(&chain).map_err(Error::General)
    }

    fn tls12(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        rustls::crypto::verify_tls12_signature(message, certificate, signature, algorithms)
    }

    fn tls13(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        rustls::crypto::verify_tls13_signature(message, certificate, signature, algorithms)
    }

    fn schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}

impl ServerCertVerifier for Judging {
    fn verify_server_cert(
        &self,
        own: &CertificateDer<'_>,
        others: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        self.judge(own, others).map(|()| ServerCertVerified::assertion())
    }
    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.tls12(message, certificate, signature)
    }
    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.tls13(message, certificate, signature)
    }
    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.schemes()
    }
}

impl ClientCertVerifier for Judging {
    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        &[]
    }
    /// Who joins has no certificate yet.
    fn client_auth_mandatory(&self) -> bool {
        false
    }
    fn verify_client_cert(
        &self,
        own: &CertificateDer<'_>,
        others: &[CertificateDer<'_>],
        _: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        self.judge(own, others).map(|()| ClientCertVerified::assertion())
    }
    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.tls12(message, certificate, signature)
    }
    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.tls13(message, certificate, signature)
    }
    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.schemes()
    }
}

fn parts(identity: Identity) -> (Vec<CertificateDer<'static>>, PrivateKeyDer<'static>) {
    let chain = identity.certificates.iter().map(|one| CertificateDer::from(one.to_vec())).collect();
    (chain, PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(identity.key.to_vec())))
}

pub(super) fn server(identity: Identity, judge: Judge) -> Result<ServerConfig, String> {
    let provider = provider();
    let (chain, key) = parts(identity);
    ServerConfig::builder_with_provider(provider.clone())
        .with_safe_default_protocol_versions()
        .and_then(|builder| {
            builder.with_client_cert_verifier(Arc::new(Judging { judge, provider })).with_single_cert(chain, key)
        })
        .map_err(|error| format!("set up TLS: {error}"))
}

pub(super) fn client(identity: Option<Identity>, judge: Judge) -> Result<ClientConfig, String> {
    let provider = provider();
    let builder = ClientConfig::builder_with_provider(provider.clone())
        .with_safe_default_protocol_versions()
        .map_err(|error| format!("set up TLS: {error}"))?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(Judging { judge, provider }));
    match identity {
        None => Ok(builder.with_no_client_auth()),
        Some(identity) => {
            let (chain, key) = parts(identity);
            builder.with_client_auth_cert(chain, key).map_err(|error| format!("set up TLS: {error}"))
        }
    }
}

/// A handshake that failed: the judge's words where it was the judge.
pub(super) fn words(error: &io::Error) -> String {
    match error.get_ref().and_then(|inner| inner.downcast_ref::<Error>()) {
        Some(Error::General(text)) => text.clone(),
        Some(other) => format!("authentication handshake failed: tls: {other}"),
        None if error.kind() == io::ErrorKind::UnexpectedEof => "authentication handshake failed: EOF".to_owned(),
        None => format!("authentication handshake failed: {error}"),
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// A certificate that proves nothing, with its key.
    pub(in super::super) fn identity() -> Identity {
        let pair = rcgen::generate_simple_self_signed(vec!["swarm-manager".to_owned()]).unwrap();
        Identity {
            certificates: vec![Bytes::copy_from_slice(pair.cert.der())],
            key: pair.signing_key.serialize_der().into(),
        }
    }
}
