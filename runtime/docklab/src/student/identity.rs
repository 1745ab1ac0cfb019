//! Signatures of submissions (Ed25519, RFC 8032). A key is made on a student's machine and never leaves it. A signature says
//! that a file was not changed since, and that two files come from one machine; that the work was done, replaying shows.

use std::{fs, io::Write as _, os::unix::fs::OpenOptionsExt as _, path::Path};

use anyhow::{Context as _, Result};
use docklab_scenario::Submission;
use ed25519_dalek::{Signature, Signer as _, SigningKey, Verifier as _, VerifyingKey};
use rand::RngCore as _;
use serde::{Deserialize, Serialize};

/// A submission with its signature.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Signed {
    pub(super) submission: Submission,
    /// The public key, in hexadecimal digits.
    pub(super) key: String,
    /// Of [`Submission::signed_bytes`], in hexadecimal digits.
    pub(super) signature: String,
}

/// This machine's key; it is made when it is first needed.
fn own_key(home: &Path) -> Result<SigningKey> {
    let file = home.join("identity");
    if let Ok(text) = fs::read_to_string(&file) {
        let mut bytes = [0; 32];
        hex::decode_to_slice(text.trim(), &mut bytes).with_context(|| format!("{} is no key", file.display()))?;
        return Ok(SigningKey::from_bytes(&bytes));
    }
    let mut bytes = [0; 32];
    rand::rng().fill_bytes(&mut bytes);
    fs::create_dir_all(home).with_context(|| format!("creating {}", home.display()))?;
    let mut opened = fs::OpenOptions::new()
        .create_new(true)
        .write(true)
        .mode(0o600)
        .open(&file)
        .with_context(|| format!("creating {}", file.display()))?;
    writeln!(opened, "{}", hex::encode(bytes)).with_context(|| format!("writing {}", file.display()))?;
    Ok(SigningKey::from_bytes(&bytes))
}

pub(super) fn sign(submission: Submission, home: &Path) -> Result<Signed> {
    let key = own_key(home)?;
    let signature = key.sign(&submission.signed_bytes());
    Ok(Signed {
        key: hex::encode(key.verifying_key().to_bytes()),
        signature: hex::encode(signature.to_bytes()),
        submission,
    })
}

/// Whether the signature is the key's, over this very submission.
pub(super) fn is_genuine(signed: &Signed) -> bool {
    let (mut key, mut signature) = ([0; 32], [0; 64]);
    if hex::decode_to_slice(&signed.key, &mut key).is_err()
        || hex::decode_to_slice(&signed.signature, &mut signature).is_err()
    {
        return false;
    }
    VerifyingKey::from_bytes(&key)
        .is_ok_and(|key| key.verify(&signed.submission.signed_bytes(), &Signature::from_bytes(&signature)).is_ok())
}

#[cfg(test)]
mod tests {
    use docklab_scenario::Submission;

    use super::{is_genuine, sign};

    #[test]
    fn one_changed_word_breaks_the_signature() {
        let home = tempfile::tempdir().unwrap();
        let submission = Submission { student: "a".to_owned(), ..Submission::default() };
        let signed = sign(submission.clone(), home.path()).unwrap();
        assert!(is_genuine(&signed));
        let mut changed = signed.clone();
        changed.submission.student = "b".to_owned();
        assert!(!is_genuine(&changed));
        let again = sign(submission, home.path()).unwrap();
        assert_eq!(again.key, signed.key);
    }
}
