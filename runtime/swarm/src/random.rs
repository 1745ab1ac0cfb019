use sha2::{Digest, Sha256};

/// Reproducible random bytes: SHA-256 in counter mode over a seed. As unpredictable as its seed.
#[derive(Debug, Clone)]
pub struct Random {
    seed: [u8; 32],
    counter: u64,
}

impl Random {
    pub fn new(seed: [u8; 32]) -> Self {
        Self { seed, counter: 0 }
    }

    /// 32 new bytes.
    pub fn bytes(&mut self) -> [u8; 32] {
        self.counter += 1;
        Sha256::new().chain_update(self.seed).chain_update(self.counter.to_le_bytes()).finalize().into()
    }

    fn number(&mut self) -> u128 {
        let bytes = self.bytes();
        u128::from_le_bytes(std::array::from_fn(|index| bytes[index]))
    }

    /// A number below `bound` (at least 1).
    pub fn below(&mut self, bound: u64) -> u64 {
        (self.number() % u128::from(bound.max(1))) as u64
    }

    /// An object ID: 25 digits of base 36.
    pub fn id(&mut self) -> String {
        base36(&self.number().to_be_bytes(), 25)
    }
}

/// A big-endian number in base 36, zero-padded to `width` digits.
pub fn base36(bytes: &[u8], width: usize) -> String {
    const DIGITS: &[u8; 36] = b"0123456789abcdefghijklmnopqrstuvwxyz";
    let mut number = bytes.to_vec();
    let mut digits = Vec::with_capacity(width);
    while number.iter().any(|byte| *byte != 0) {
        let mut rest = 0_u32;
        for byte in &mut number {
            let value = rest << 8 | u32::from(*byte);
            *byte = (value / 36) as u8;
            rest = value % 36;
        }
        digits.push(DIGITS[rest as usize]);
    }
    while digits.len() < width {
        digits.push(b'0');
    }
    digits.reverse();
    String::from_utf8(digits).unwrap_or_default()
}
