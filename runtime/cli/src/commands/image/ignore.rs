//! `.dockerignore`: moby's pattern rules.

/// Patterns in file order; the last that matches a path decides.
#[derive(Debug, Default)]
pub(crate) struct IgnoreFile {
    patterns: Vec<(bool, Vec<String>)>,
}

impl IgnoreFile {
    pub(crate) fn parse(text: &str) -> Self {
        let patterns = text
            .trim_start_matches('\u{feff}')
            .lines()
            .filter(|line| !line.starts_with('#'))
            .map(str::trim)
            .filter(|line| !line.is_empty())
            .filter_map(|line| {
                let (keep, pattern) = match line.strip_prefix('!') {
                    Some(pattern) => (true, pattern.trim()),
                    None => (false, line),
                };
                let mut parts: Vec<String> = Vec::new();
                for part in pattern.split('/') {
                    match part {
                        "" | "." => {}
                        ".." => {
                            parts.pop();
                        }
                        part => parts.push(part.to_owned()),
                    }
                }
                (!parts.is_empty()).then_some((keep, parts))
            })
            .collect();
        Self { patterns }
    }
    /// True when a path below the context's root is left out. A pattern that matches a parent matches the path too.
    pub(crate) fn excludes(&self, path: &str) -> bool {
        let parts: Vec<&str> = path.split('/').collect();
        let mut excluded = false;
        for (keep, pattern) in &self.patterns {
            let pattern: Vec<&str> = pattern.iter().map(String::as_str).collect();
            if *keep == excluded && (1..=parts.len()).any(|length| matches(&pattern, &parts[..length])) {
                excluded = !keep;
            }
        }
        excluded
    }
    /// True when something below an excluded directory may still be wanted.
    pub(crate) fn has_exceptions(&self) -> bool {
        self.patterns.iter().any(|(keep, _)| *keep)
    }
}

fn matches(pattern: &[&str], path: &[&str]) -> bool {
    match pattern.split_first() {
        None => path.is_empty(),
        Some((&"**", rest)) => {
            if rest.is_empty() {
                return !path.is_empty();
            }
            (0..=path.len()).any(|skip| matches(rest, &path[skip..]))
        }
        Some((first, rest)) => path
            .split_first()
            .is_some_and(|(name, below)| component(first.as_bytes(), name.as_bytes()) && matches(rest, below)),
    }
}

/// `*`, `?`, `[a-z]`, `[^a-z]` and `\` within one name.
fn component(pattern: &[u8], name: &[u8]) -> bool {
    match (pattern.first(), name.first()) {
        (None, None) => true,
        (Some(b'*'), _) => (0..=name.len()).any(|skip| component(&pattern[1..], &name[skip..])),
        (Some(b'?'), Some(_)) => component(&pattern[1..], &name[1..]),
        (Some(b'['), Some(letter)) => match class(&pattern[1..], *letter) {
            Some((true, rest)) => component(rest, &name[1..]),
            _ => false,
        },
        (Some(b'\\'), Some(letter)) if pattern.len() > 1 => {
            pattern[1] == *letter && component(&pattern[2..], &name[1..])
        }
        (Some(expected), Some(letter)) => expected == letter && component(&pattern[1..], &name[1..]),
        _ => false,
    }
}

fn class(pattern: &[u8], letter: u8) -> Option<(bool, &[u8])> {
    let end = pattern.iter().skip(1).position(|byte| *byte == b']')? + 1;
    let (negated, set) = if pattern[0] == b'^' { (true, &pattern[1..end]) } else { (false, &pattern[..end]) };
    let mut found = false;
    let mut index = 0;
    while index < set.len() {
        if index + 2 < set.len() && set[index + 1] == b'-' {
            found |= (set[index]..=set[index + 2]).contains(&letter);
            index += 3;
        } else {
            found |= set[index] == letter;
            index += 1;
        }
    }
    Some((found != negated, &pattern[end + 1..]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_match_wins_and_patterns_are_anchored() {
        let file = IgnoreFile::parse("# all but one\n*.md\n!README.md\n**/*.log\nnode_modules\n/build/[a-c]?\n");
        let excluded = ["a.md", "x.log", "deep/er/x.log", "node_modules/a/b", "build/b1"];
        let kept = ["README.md", "sub/a.md", "src/node_modules", "build/d1", "build/abc"];
        for path in excluded {
            assert!(file.excludes(path), "{path}");
        }
        for path in kept {
            assert!(!file.excludes(path), "{path}");
        }
    }
}
