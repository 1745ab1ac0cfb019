use base64::Engine as _;
use docklab_api::{ApiError, ApiResult};

/// ctrl-p ctrl-q.
const DEFAULT: [u8; 2] = [16, 17];

/// Watches terminal input for the sequence that ends an attachment.
#[derive(Debug, Clone)]
pub(crate) struct DetachKeys {
    keys: Vec<u8>,
    /// How many of them have been typed.
    matched: usize,
}

impl DetachKeys {
    /// Reads `ctrl-p,ctrl-q`, `a,b` or `ctrl-@`; empty is the default.
    pub(crate) fn parse(text: &str) -> ApiResult<Self> {
        if text.is_empty() {
            return Ok(Self { keys: DEFAULT.to_vec(), matched: 0 });
        }
        let mut keys = Vec::new();
        for part in text.split(',') {
            let key = match (part.strip_prefix("ctrl-"), part.as_bytes()) {
                (Some("@"), _) => 0,
                (Some("["), _) => 27,
                (Some("\\"), _) => 28,
                (Some("]"), _) => 29,
                (Some("^"), _) => 30,
                (Some("_"), _) => 31,
                (Some(letter), _) if letter.len() == 1 && letter.as_bytes()[0].is_ascii_lowercase() => {
                    letter.as_bytes()[0] - b'a' + 1
                }
                (None, [letter]) => *letter,
                _ => return Err(ApiError::invalid(format!("Unknown character: '{part}'"))),
            };
            keys.push(key);
        }
        Ok(Self { keys, matched: 0 })
    }

    /// The keys' bytes as the API shows them.
    pub(crate) fn base64(&self) -> String {
        base64::engine::general_purpose::STANDARD.encode(&self.keys)
    }

    /// What of `input` goes to the process, and whether the sequence is complete. Keys that turn out not to be the
    /// sequence are passed on later.
    pub(crate) fn filter(&mut self, input: &[u8]) -> (Vec<u8>, bool) {
        let mut passed = Vec::with_capacity(input.len());
        for byte in input {
            if self.keys.get(self.matched) == Some(byte) {
                self.matched += 1;
                if self.matched == self.keys.len() {
                    return (passed, true);
                }
                continue;
            }
            passed.extend_from_slice(&self.keys[..self.matched]);
            self.matched = 0;
            if self.keys.first() == Some(byte) {
                self.matched = 1;
            } else {
                passed.push(*byte);
            }
        }
        (passed, false)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_sequence_is_found_across_reads_and_others_pass() {
        let mut keys = DetachKeys::parse("").unwrap_or(DetachKeys { keys: Vec::new(), matched: 0 });
        assert_eq!(keys.filter(b"ls\n\x10"), (b"ls\n".to_vec(), false));
        assert_eq!(keys.filter(b"x"), (b"\x10x".to_vec(), false));
        assert_eq!(keys.filter(b"\x10\x10\x11"), (b"\x10".to_vec(), true));
    }

    #[test]
    fn keys_are_letters_or_controls() {
        assert_eq!(DetachKeys::parse("ctrl-a,x").map(|keys| keys.keys), Ok(vec![1, b'x']));
        assert_eq!(
            DetachKeys::parse("ctrl-A").map_err(|error| error.message).map(|_| ()),
            Err("Unknown character: 'ctrl-A'".to_owned())
        );
    }
}
