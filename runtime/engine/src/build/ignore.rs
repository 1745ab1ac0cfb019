//! `.dockerignore`: which paths its patterns exclude. The last pattern that matches decides.

use super::path_match;

struct Pattern {
    parts: Vec<String>,
    include: bool,
}

/// The patterns of one file.
pub(crate) struct Ignore {
    patterns: Vec<Pattern>,
}

impl Ignore {
    pub(crate) fn parse(source: &str) -> Self {
        let source = source.strip_prefix('\u{feff}').unwrap_or(source);
        let mut patterns = Vec::new();
        for line in source.lines() {
            if line.starts_with('#') || line.trim().is_empty() {
                continue;
            }
            let line = line.trim();
            let (include, line) = line.strip_prefix('!').map_or((false, line), |rest| (true, rest.trim()));
            let cleaned = crate::image::cleaned(line);
            if !cleaned.is_empty() {
                patterns.push(Pattern { parts: cleaned.split('/').map(ToOwned::to_owned).collect(), include });
            }
        }
        Self { patterns }
    }

    /// Whether `path`, or a directory it lies in, is excluded and not included again.
    pub(crate) fn excludes(&self, path: &str) -> bool {
        let parts: Vec<&str> = path.split('/').collect();
        let mut excluded = false;
        for pattern in &self.patterns {
            // What excludes a directory excludes all in it.
            if (1..=parts.len()).any(|length| matches(&pattern.parts, &parts[..length])) {
                excluded = !pattern.include;
            }
        }
        excluded
    }
}

fn matches(pattern: &[String], path: &[&str]) -> bool {
    match (pattern.split_first(), path.split_first()) {
        (None, None) => true,
        (Some((first, rest)), _) if first == "**" => {
            (rest.is_empty() && !path.is_empty()) || (0..=path.len()).any(|skipped| matches(rest, &path[skipped..]))
        }
        (Some((first, rest)), Some((part, tail))) => path_match(first, part) && matches(rest, tail),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_match_decides() {
        for (source, path, excluded) in [
            ("*.md", "a.md", true),
            ("*.md", "sub/a.md", false),
            ("**/*.md", "sub/deep/a.md", true),
            ("**/*.md", "a.md", true),
            ("docs", "docs/a", true),
            ("/docs/", "docs/a/b", true),
            ("docs\n!docs/keep", "docs/keep", false),
            ("!docs/keep\ndocs", "docs/keep", true),
            ("*\n!Dockerfile", "Dockerfile", false),
            ("# comment\n\n", "a", false),
            ("a?c", "abc", true),
            ("[^a]b", "ab", false),
            ("**", "a/b", true),
            ("a/**", "a/b/c", true),
            ("a/**/c", "a/c", true),
        ] {
            assert_eq!(Ignore::parse(source).excludes(path), excluded, "{source:?} {path}");
        }
    }
}
