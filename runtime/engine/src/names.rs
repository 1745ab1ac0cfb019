//! Names that containers get when nobody chooses one.

use docklab_host::Host;

const ADJECTIVES: &[&str] = &[
    "able", "agile", "amber", "awake", "bold", "brave", "breezy", "bright", "brisk", "calm", "candid", "cheerful",
    "clear", "clever", "cosmic", "cosy", "crisp", "curious", "daring", "deft", "eager", "earnest", "easy", "elated",
    "epic", "fair", "festive", "fluent", "fond", "frank", "fresh", "friendly", "gentle", "gifted", "glad", "golden",
    "good", "graceful", "grand", "happy", "hardy", "hearty", "honest", "hopeful", "humble", "ideal", "jolly", "jovial",
    "keen", "kind", "lively", "loyal", "lucid", "lucky", "mellow", "merry", "mighty", "modest", "neat", "nimble",
    "noble", "patient", "playful", "polite", "proud", "quick", "quiet", "radiant", "ready", "serene", "sharp",
    "silent", "silver", "sincere", "smart", "snug", "solid", "spry", "steady", "stellar", "sunny", "swift", "tender",
    "tidy", "tranquil", "trusting", "upbeat", "vivid", "warm", "wise", "witty", "youthful", "zealous", "zesty",
];

const SURNAMES: &[&str] = &[
    "abel",
    "agnesi",
    "ampere",
    "archimedes",
    "babbage",
    "banach",
    "bardeen",
    "bell",
    "bernoulli",
    "bohr",
    "boole",
    "born",
    "bose",
    "boyle",
    "brahe",
    "cantor",
    "carson",
    "cauchy",
    "cerf",
    "chandrasekhar",
    "church",
    "cori",
    "coulomb",
    "curie",
    "darwin",
    "davy",
    "descartes",
    "dijkstra",
    "dirac",
    "einstein",
    "engelbart",
    "erdos",
    "euclid",
    "euler",
    "faraday",
    "fermat",
    "fermi",
    "feynman",
    "fourier",
    "franklin",
    "galileo",
    "galois",
    "gauss",
    "germain",
    "goodall",
    "goedel",
    "hamilton",
    "hawking",
    "heisenberg",
    "hertz",
    "hilbert",
    "hodgkin",
    "hooke",
    "hopper",
    "hubble",
    "huygens",
    "hypatia",
    "jackson",
    "johnson",
    "joule",
    "kelvin",
    "kepler",
    "knuth",
    "kovalevskaya",
    "lagrange",
    "lamarr",
    "lamport",
    "laplace",
    "leavitt",
    "leibniz",
    "liskov",
    "lorentz",
    "lovelace",
    "maxwell",
    "mayer",
    "mcclintock",
    "meitner",
    "mendel",
    "mendeleev",
    "mirzakhani",
    "napier",
    "nash",
    "neumann",
    "newton",
    "nightingale",
    "noether",
    "ohm",
    "pascal",
    "pasteur",
    "pauli",
    "perlman",
    "planck",
    "poincare",
    "ptolemy",
    "ramanujan",
    "riemann",
    "ritchie",
    "roentgen",
    "rubin",
    "rutherford",
    "sagan",
    "schroedinger",
    "shannon",
    "sinoussi",
    "stroustrup",
    "swartz",
    "tesla",
    "thompson",
    "torvalds",
    "turing",
    "volta",
    "watt",
    "wiles",
    "wilson",
    "wirth",
    "wu",
    "yalow",
    "zeno",
];

fn draw<'a>(host: &dyn Host, words: &'a [&'a str]) -> &'a str {
    let mut bytes = [0; 4];
    host.random(&mut bytes);
    words.get(u32::from_le_bytes(bytes) as usize % words.len()).copied().unwrap_or("keen")
}

/// A name of the form `adjective_surname`; after a clash it ends in a digit.
pub(crate) fn random(host: &dyn Host, after_clash: bool) -> String {
    let mut name = format!("{}_{}", draw(host, ADJECTIVES), draw(host, SURNAMES));
    if after_clash {
        name.push_str(draw(host, &["0", "1", "2", "3", "4", "5", "6", "7", "8", "9"]));
    }
    name
}

/// Docker's rule for names of containers and volumes: `[a-zA-Z0-9][a-zA-Z0-9_.-]+`, so at least two characters.
pub(crate) fn is_valid(name: &str) -> bool {
    let mut bytes = name.bytes();
    bytes.next().is_some_and(|first| first.is_ascii_alphanumeric())
        && name.len() >= 2
        && bytes.all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'.' | b'-'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_word_makes_a_valid_name() {
        for word in ADJECTIVES.iter().chain(SURNAMES) {
            assert!(word.bytes().all(|byte| byte.is_ascii_lowercase()), "{word}");
        }
        assert!(is_valid("web-1.a_b") && is_valid("ab"));
        assert!(!is_valid("a") && !is_valid("-ab") && !is_valid("a b") && !is_valid(""));
    }
}
