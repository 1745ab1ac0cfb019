//! The swarm's certificate authority: who is a node of the swarm, and in which role.
//!
//! A swarm has a root certificate, whose digest stands in its join tokens. Every node has a certificate of its own, issued
//! by the leader: the swarm's ID as organisation, the role as organisational unit, the node's ID as common name, as in
//! Docker. Keys are on the curve P-256.

use std::time::Duration;

use base64::{Engine as _, engine::general_purpose::STANDARD};
use jiff::Timestamp;
use p256::{
    ecdsa::{DerSignature, SigningKey, VerifyingKey, signature::Verifier},
    pkcs8::EncodePrivateKey,
};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use thiserror::Error;
use x509_cert::{
    Certificate,
    attr::AttributeTypeAndValue,
    builder::{Builder, CertificateBuilder, Profile},
    der::{
        Any, Decode, DecodePem, Encode, EncodePem, Tag,
        asn1::{GeneralizedTime, Ia5String, ObjectIdentifier, SetOfVec, UtcTime},
        oid::db::rfc4519::{COMMON_NAME, ORGANIZATION_NAME, ORGANIZATIONAL_UNIT_NAME},
        oid::db::rfc5280::{ID_KP_CLIENT_AUTH, ID_KP_SERVER_AUTH},
        pem::LineEnding,
    },
    ext::pkix::{BasicConstraints, ExtendedKeyUsage, SubjectAltName, name::GeneralName},
    name::{Name, RdnSequence, RelativeDistinguishedName},
    serial_number::SerialNumber,
    spki::SubjectPublicKeyInfoOwned,
    time::{Time, Validity},
};

use crate::random::Random;

const ROOT_NAME: &str = "swarm-ca";
/// Of the root certificate: twenty years, as Docker's (seconds).
const ROOT_LIFETIME: i64 = 20 * 365 * 86_400;
/// Certificates are valid from an hour before they are issued, for nodes whose clocks are behind (seconds).
const BACKDATE: i64 = 3600;

/// A certificate that is not what it should be. The texts are those that Go's x509 package has for the same.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum CertificateError {
    #[error("x509: malformed certificate")]
    Malformed,
    #[error("x509: certificate signed by unknown authority")]
    UnknownAuthority,
    #[error("x509: certificate has expired or is not yet valid: current time {now} is {relation}")]
    NotNow { now: String, relation: String },
    #[error("remote CA does not match fingerprint. Expected: {0}")]
    Fingerprint(String),
    /// It cannot be made, e.g. for a key that is none.
    #[error("issue a certificate: {0}")]
    Issue(String),
}

type Result<T> = std::result::Result<T, CertificateError>;

fn issue_error(error: impl std::fmt::Display) -> CertificateError {
    CertificateError::Issue(error.to_string())
}

/// A private key, as its 32 bytes in standard base64.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct PrivateKey(String);

impl std::fmt::Debug for PrivateKey {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("PrivateKey(…)")
    }
}

impl PrivateKey {
    /// A new key. `random` gives 32 unpredictable bytes each time.
    pub fn generate(mut random: impl FnMut() -> [u8; 32]) -> Self {
        loop {
            let bytes = random();
            // All but one in four thousand million are keys.
            if SigningKey::from_bytes(&bytes.into()).is_ok() {
                return Self(STANDARD.encode(bytes));
            }
        }
    }

    fn signing_key(&self) -> Result<SigningKey> {
        let bytes = STANDARD.decode(&self.0).map_err(issue_error)?;
        SigningKey::from_slice(&bytes).map_err(issue_error)
    }

    /// The public key that belongs to it, SEC1.
    ///
    /// # Errors
    /// It was read from a record that is damaged.
    pub fn public_key(&self) -> Result<Vec<u8>> {
        Ok(self.signing_key()?.verifying_key().to_encoded_point(false).as_bytes().to_vec())
    }

    /// PKCS #8, DER.
    ///
    /// # Errors
    /// As [`PrivateKey::public_key`].
    pub fn pkcs8(&self) -> Result<Vec<u8>> {
        let key = p256::SecretKey::from(self.signing_key()?);
        Ok(key.to_pkcs8_der().map_err(issue_error)?.as_bytes().to_vec())
    }
}

/// A root certificate and its key.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Authority {
    /// PEM.
    pub certificate: String,
    /// The same key certified by the authority before this one (PEM), so that nodes which know only that one still trust
    /// what this one signs; empty where there was none.
    #[serde(default)]
    pub(crate) cross: String,
    key: PrivateKey,
}

/// Who a certificate says that its holder is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Holder {
    pub node: String,
    pub manager: bool,
    /// The swarm's ID.
    pub cluster: String,
    pub not_before: Timestamp,
    pub not_after: Timestamp,
}

impl Authority {
    pub(crate) fn new(random: &mut Random, now: Timestamp) -> Result<Self> {
        let key = PrivateKey::generate(|| random.bytes());
        let signer = key.signing_key()?;
        let public = SubjectPublicKeyInfoOwned::from_key(*signer.verifying_key()).map_err(issue_error)?;
        let name = name(&[(COMMON_NAME, ROOT_NAME)])?;
        let validity = validity(now, ROOT_LIFETIME)?;
        let builder = CertificateBuilder::new(Profile::Root, serial(random)?, validity, name, public, &signer);
        let certificate = builder.and_then(|builder| builder.build::<DerSignature>()).map_err(issue_error)?;
        let certificate = certificate.to_pem(LineEnding::LF).map_err(issue_error)?;
        Ok(Self { certificate, cross: String::new(), key })
    }

    /// An authority to follow this one.
    pub(crate) fn successor(&self, random: &mut Random, now: Timestamp) -> Result<Self> {
        let mut next = Self::new(random, now)?;
        let public = *next.key.signing_key()?.verifying_key();
        let public = SubjectPublicKeyInfoOwned::from_key(public).map_err(issue_error)?;
        let name = name(&[(COMMON_NAME, ROOT_NAME)])?;
        let profile = Profile::SubCA { issuer: name.clone(), path_len_constraint: None };
        let (signer, validity) = (self.key.signing_key()?, validity(now, ROOT_LIFETIME)?);
        let builder = CertificateBuilder::new(profile, serial(random)?, validity, name, public, &signer);
        let cross = builder.and_then(|builder| builder.build::<DerSignature>()).map_err(issue_error)?;
        next.cross = cross.to_pem(LineEnding::LF).map_err(issue_error)?;
        Ok(next)
    }

    /// What join tokens hold of it: SHA-256 of the certificate in PEM.
    pub(crate) fn digest(&self) -> [u8; 32] {
        Sha256::digest(&self.certificate).into()
    }

    /// A certificate (PEM) for a node with this public key (SEC1). `lifetime` in nanoseconds.
    pub(crate) fn issue(
        &self,
        random: &mut Random,
        now: Timestamp,
        holder: (&str, bool, &str),
        public_key: &[u8],
        lifetime: i64,
    ) -> Result<String> {
        let (node, manager, cluster) = holder;
        let role = if manager { "swarm-manager" } else { "swarm-worker" };
        let public = VerifyingKey::from_sec1_bytes(public_key).map_err(issue_error)?;
        let public = SubjectPublicKeyInfoOwned::from_key(public).map_err(issue_error)?;
        let subject = name(&[(ORGANIZATION_NAME, cluster), (ORGANIZATIONAL_UNIT_NAME, role), (COMMON_NAME, node)])?;
        let issuer = name(&[(COMMON_NAME, ROOT_NAME)])?;
        let profile = Profile::Leaf { issuer, enable_key_agreement: false, enable_key_encipherment: false };
        let signer = self.key.signing_key()?;
        let validity = validity(now, lifetime / 1_000_000_000)?;
        let mut builder = CertificateBuilder::new(profile, serial(random)?, validity, subject, public, &signer)
            .map_err(issue_error)?;
        let mut names = Vec::new();
        for name in [role, node] {
            names.push(GeneralName::DnsName(Ia5String::new(name).map_err(issue_error)?));
        }
        builder.add_extension(&SubjectAltName(names)).map_err(issue_error)?;
        builder.add_extension(&ExtendedKeyUsage(vec![ID_KP_SERVER_AUTH, ID_KP_CLIENT_AUTH])).map_err(issue_error)?;
        let certificate = builder.build::<DerSignature>().map_err(issue_error)?;
        Ok(certificate.to_pem(LineEnding::LF).map_err(issue_error)? + &self.cross)
    }

    /// The issuer's name and public key, DER, as `docker node inspect` shows them.
    pub(crate) fn issuer(&self) -> Option<(Vec<u8>, Vec<u8>)> {
        let certificate = Certificate::from_pem(&self.certificate).ok()?;
        let body = certificate.tbs_certificate;
        Some((body.subject.to_der().ok()?, body.subject_public_key_info.to_der().ok()?))
    }
}

/// A distinguished name in the kind of string that Go writes.
fn name(parts: &[(ObjectIdentifier, &str)]) -> Result<Name> {
    let mut sequence = Vec::new();
    for (oid, text) in parts {
        let value = Any::new(Tag::PrintableString, text.as_bytes()).map_err(issue_error)?;
        let part = SetOfVec::try_from(vec![AttributeTypeAndValue { oid: *oid, value }]).map_err(issue_error)?;
        sequence.push(RelativeDistinguishedName(part));
    }
    Ok(RdnSequence(sequence))
}

fn time(seconds: i64) -> Result<Time> {
    let since = Duration::from_secs(u64::try_from(seconds).map_err(issue_error)?);
    // Up to 2049 in the short form, as RFC 5280 wants it.
    match UtcTime::from_unix_duration(since) {
        Ok(time) => Ok(Time::UtcTime(time)),
        Err(_) => GeneralizedTime::from_unix_duration(since).map(Time::GeneralTime).map_err(issue_error),
    }
}

fn validity(now: Timestamp, seconds: i64) -> Result<Validity> {
    let now = now.as_second();
    Ok(Validity { not_before: time(now - BACKDATE)?, not_after: time(now.saturating_add(seconds))? })
}

fn serial(random: &mut Random) -> Result<SerialNumber> {
    let mut bytes = random.bytes()[..16].to_vec();
    // Positive and of its full length.
    bytes[0] = bytes[0] & 0x7f | 0x40;
    SerialNumber::new(&bytes).map_err(issue_error)
}

/// The certificates of a PEM text as DER, in order.
pub fn certificates(pem: &str) -> Vec<Vec<u8>> {
    let chain = Certificate::load_pem_chain(pem.as_bytes()).unwrap_or_default();
    chain.iter().filter_map(|certificate| certificate.to_der().ok()).collect()
}

/// Who the first certificate of a chain (DER) speaks of, if one of the roots (PEM) has signed it and it is valid now.
///
/// # Errors
/// It is none, of another authority, or of another time.
pub fn verify(chain: &[impl AsRef<[u8]>], roots: &str, now: Timestamp) -> Result<Holder> {
    let leaf = chain.first().ok_or(CertificateError::Malformed)?;
    let leaf = Certificate::from_der(leaf.as_ref()).map_err(|_| CertificateError::Malformed)?;
    let roots = Certificate::load_pem_chain(roots.as_bytes()).unwrap_or_default();
    let by_root = |certificate: &Certificate| roots.iter().any(|root| is_signed(certificate, root));
    // A new authority that one of the roots vouches for. Only an authority may: a node's key signs nobody else.
    let mut others = chain.iter().skip(1).filter_map(|other| Certificate::from_der(other.as_ref()).ok());
    if !by_root(&leaf) && !others.any(|other| is_authority(&other) && by_root(&other) && is_signed(&leaf, &other)) {
        return Err(CertificateError::UnknownAuthority);
    }
    holder(&leaf, now)
}

fn is_authority(certificate: &Certificate) -> bool {
    let constraints = certificate.tbs_certificate.get::<BasicConstraints>();
    constraints.is_ok_and(|constraints| constraints.is_some_and(|(_, constraints)| constraints.ca))
}

fn is_signed(certificate: &Certificate, by: &Certificate) -> bool {
    let key = by.tbs_certificate.subject_public_key_info.subject_public_key.raw_bytes();
    let (Ok(key), Ok(body)) = (VerifyingKey::from_sec1_bytes(key), certificate.tbs_certificate.to_der()) else {
        return false;
    };
    DerSignature::try_from(certificate.signature.raw_bytes())
        .is_ok_and(|signature| key.verify(&body, &signature).is_ok())
}

/// As [`verify`] for a node that knows of the swarm only what its join token says: the digest of the root, which the other
/// side must present behind its own certificate. Returns the root (PEM) too.
///
/// # Errors
/// As [`verify`]; another root than the token's.
pub fn verify_by_digest(chain: &[impl AsRef<[u8]>], digest: [u8; 32], now: Timestamp) -> Result<(Holder, String)> {
    let others = chain.iter().skip(1).filter_map(|other| Certificate::from_der(other.as_ref()).ok());
    let mut others = others.filter_map(|other| other.to_pem(LineEnding::LF).ok());
    let root = others
        .find(|root| <[u8; 32]>::from(Sha256::digest(root)) == digest)
        .ok_or_else(|| CertificateError::Fingerprint(hex(&digest)))?;
    Ok((verify(chain, &root, now)?, root))
}

pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn holder(certificate: &Certificate, now: Timestamp) -> Result<Holder> {
    let body = &certificate.tbs_certificate;
    let at = |time: &Time| {
        let seconds = i64::try_from(time.to_unix_duration().as_secs()).unwrap_or(i64::MAX);
        Timestamp::from_second(seconds).unwrap_or(Timestamp::MAX)
    };
    let (not_before, not_after) = (at(&body.validity.not_before), at(&body.validity.not_after));
    let shown = |time: Timestamp| format!("{time:.0}");
    if now < not_before {
        let relation = format!("before {}", shown(not_before));
        return Err(CertificateError::NotNow { now: shown(now), relation });
    }
    if now > not_after {
        let relation = format!("after {}", shown(not_after));
        return Err(CertificateError::NotNow { now: shown(now), relation });
    }
    let part = |wanted| {
        let mut parts = body.subject.0.iter().flat_map(|part| part.0.iter());
        let found = parts.find(|part| part.oid == wanted)?;
        std::str::from_utf8(found.value.value()).ok().map(str::to_owned)
    };
    let role = part(ORGANIZATIONAL_UNIT_NAME).unwrap_or_default();
    Ok(Holder {
        node: part(COMMON_NAME).ok_or(CertificateError::Malformed)?,
        manager: role == "swarm-manager",
        cluster: part(ORGANIZATION_NAME).unwrap_or_default(),
        not_before,
        not_after,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::time::{SECOND, later};

    const DAY: i64 = 86_400 * SECOND;

    fn now() -> Timestamp {
        "2026-01-01T00:00:00Z".parse().unwrap()
    }

    fn issued(authority: &Authority) -> Vec<Vec<u8>> {
        let mut random = Random::new([2; 32]);
        let key = PrivateKey::generate(|| random.bytes());
        let public = key.public_key().unwrap();
        let holder = ("node1", true, "cluster1");
        certificates(&authority.issue(&mut random, now(), holder, &public, 90 * DAY).unwrap())
    }

    fn authority(seed: u8) -> Authority {
        Authority::new(&mut Random::new([seed; 32]), now()).unwrap()
    }

    #[test]
    fn a_certificate_says_who_its_holder_is() {
        let authority = authority(1);
        let holder = verify(&issued(&authority), &authority.certificate, now()).unwrap();
        assert_eq!((holder.node.as_str(), holder.manager, holder.cluster.as_str()), ("node1", true, "cluster1"));
        assert_eq!(holder.not_after, later(now(), 90 * DAY));
    }

    #[test]
    fn a_certificate_of_another_swarm_is_refused() {
        let refusal = verify(&issued(&authority(1)), &authority(3).certificate, now()).unwrap_err();
        assert_eq!(refusal.to_string(), "x509: certificate signed by unknown authority");
    }

    #[test]
    fn a_certificate_of_another_time_is_refused() {
        let authority = authority(1);
        let chain = issued(&authority);
        let refusal = verify(&chain, &authority.certificate, later(now(), 91 * DAY)).unwrap_err();
        assert_eq!(
            refusal.to_string(),
            "x509: certificate has expired or is not yet valid: current time 2026-04-02T00:00:00Z is after \
             2026-04-01T00:00:00Z"
        );
        verify(&chain, &authority.certificate, later(now(), -DAY)).unwrap_err();
        verify(&chain, &authority.certificate, later(now(), -1800 * SECOND)).expect("clocks may differ a little");
    }

    #[test]
    fn a_changed_certificate_is_refused() {
        let authority = authority(1);
        let mut chain = issued(&authority);
        let at = chain[0].windows(5).position(|text| text == b"node1").unwrap();
        chain[0][at + 4] = b'2';
        assert_eq!(verify(&chain, &authority.certificate, now()), Err(CertificateError::UnknownAuthority));
        assert_eq!(verify(&[b"nothing"], &authority.certificate, now()), Err(CertificateError::Malformed));
    }

    #[test]
    fn a_node_that_missed_a_rotation_trusts_what_the_new_root_has_signed() {
        let old = authority(1);
        let new = old.successor(&mut Random::new([9; 32]), now()).unwrap();
        let chain = issued(&new);
        assert_eq!(verify(&chain, &old.certificate, now()).unwrap().node, "node1");
        assert_eq!(verify(&chain, &new.certificate, now()).unwrap().node, "node1");
        assert_eq!(verify(&chain[..1], &old.certificate, now()), Err(CertificateError::UnknownAuthority));
    }

    #[test]
    fn the_key_of_a_node_signs_nobody() {
        let authority = authority(1);
        let mut random = Random::new([2; 32]);
        let key = PrivateKey::generate(|| random.bytes());
        let public = key.public_key().unwrap();
        let worker = ("worker", false, "cluster1");
        let own = authority.issue(&mut random, now(), worker, &public, 90 * DAY).unwrap();
        let forger = Authority { certificate: own.clone(), cross: own, key };
        let chain = issued(&forger);
        assert_eq!(verify(&chain, &authority.certificate, now()), Err(CertificateError::UnknownAuthority));
    }

    #[test]
    fn a_join_token_knows_its_swarm_by_the_digest_of_the_root() {
        let authority = authority(1);
        let mut chain = issued(&authority);
        chain.extend(certificates(&authority.certificate));
        let (holder, root) = verify_by_digest(&chain, authority.digest(), now()).unwrap();
        assert_eq!((holder.node.as_str(), root), ("node1", authority.certificate));
        let refusal = verify_by_digest(&chain, [0xab; 32], now()).unwrap_err().to_string();
        assert_eq!(refusal, format!("remote CA does not match fingerprint. Expected: {}", "ab".repeat(32)));
    }

    #[test]
    fn the_issuer_is_named_as_dockers() {
        let (subject, public_key) = authority(1).issuer().unwrap();
        assert_eq!(STANDARD.encode(subject), "MBMxETAPBgNVBAMTCHN3YXJtLWNh");
        assert!(STANDARD.encode(public_key).starts_with("MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAE"));
    }

    #[test]
    fn a_key_is_not_shown() {
        assert_eq!(format!("{:?}", PrivateKey::generate(|| [1; 32])), "PrivateKey(…)");
    }
}
