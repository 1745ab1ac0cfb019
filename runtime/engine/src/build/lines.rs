//! A Dockerfile's text as logical lines: parser directives, comments, continuations and here-documents.

use docklab_api::{ApiError, ApiResult};

/// A here-document of a RUN, COPY or ADD line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Heredoc {
    pub(crate) name: String,
    pub(crate) content: String,
    /// False when the name was quoted.
    pub(crate) expand: bool,
}

/// One instruction's text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Line {
    /// Of its first physical line, from 1.
    pub(crate) number: usize,
    /// Continuations joined.
    pub(crate) text: String,
    pub(crate) heredocs: Vec<Heredoc>,
}

/// The lines of a Dockerfile and its escape character.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Lines {
    pub(crate) escape: char,
    pub(crate) lines: Vec<Line>,
    /// What Docker warns about, one text a line of output.
    pub(crate) warnings: Vec<String>,
}

/// Splits a Dockerfile.
pub(crate) fn split(source: &str) -> ApiResult<Lines> {
    let source = source.strip_prefix('\u{feff}').unwrap_or(source);
    let physical: Vec<&str> = source.split('\n').map(|line| line.strip_suffix('\r').unwrap_or(line)).collect();
    let escape = directives(&physical)?;
    let (mut lines, mut warnings) = (Vec::new(), Vec::new());
    let mut index = 0;
    while index < physical.len() {
        let number = index + 1;
        let first = physical[index].trim_start();
        index += 1;
        if first.is_empty() || first.starts_with('#') {
            continue;
        }
        let (mut text, mut open) = continued(first, escape);
        let mut has_empty_continuation = false;
        while open && index < physical.len() {
            let next = physical[index];
            index += 1;
            // Comments and empty lines in the middle of an instruction do not end it.
            if next.trim_start().starts_with('#') {
                continue;
            }
            if next.trim().is_empty() {
                has_empty_continuation = true;
                continue;
            }
            let (piece, more) = continued(next, escape);
            text.push_str(&piece);
            open = more;
        }
        if has_empty_continuation {
            warnings.push(format!("[WARNING]: Empty continuation line found in: {}\n", text.trim_end()));
        }
        let mut heredocs = Vec::new();
        for start in heredoc_starts(&text, escape) {
            heredocs.push(read_heredoc(&physical, &mut index, start)?);
        }
        lines.push(Line { number, text: text.trim_end().to_owned(), heredocs });
    }
    if lines.is_empty() {
        return Err(ApiError::invalid("file with no instructions"));
    }
    if !warnings.is_empty() {
        warnings.push("[WARNING]: Empty continuation lines will become errors in a future release.\n".to_owned());
    }
    Ok(Lines { escape, lines, warnings })
}

/// The escape character that the directives at the very top ask for.
fn directives(physical: &[&str]) -> ApiResult<char> {
    let mut escape = None;
    for line in physical {
        let Some((key, value)) = line.trim_start().strip_prefix('#').and_then(|rest| rest.split_once('=')) else {
            break;
        };
        let key = key.trim().to_ascii_lowercase();
        if key.is_empty() || !key.bytes().all(|byte| byte.is_ascii_alphanumeric()) {
            break;
        }
        if key == "escape" {
            if escape.is_some() {
                return Err(ApiError::invalid("only one escape parser directive can be used"));
            }
            escape = Some(match value.trim() {
                "\\" => '\\',
                "`" => '`',
                other => {
                    return Err(ApiError::invalid(format!("invalid escape token '{other}' does not match ` or \\")));
                }
            });
        } else if key != "syntax" && key != "check" {
            break;
        }
    }
    Ok(escape.unwrap_or('\\'))
}

/// A physical line without the escape character that continues it, and whether it is continued.
fn continued(line: &str, escape: char) -> (String, bool) {
    let trimmed = line.trim_end_matches([' ', '\t']);
    match trimmed.strip_suffix(escape) {
        Some(rest) if !rest.ends_with(escape) => (rest.to_owned(), true),
        _ => (line.to_owned(), false),
    }
}

struct HeredocStart {
    name: String,
    strip_tabs: bool,
    expand: bool,
}

fn heredoc_starts(text: &str, escape: char) -> Vec<HeredocStart> {
    let keyword = text.split_whitespace().next().unwrap_or("").to_ascii_uppercase();
    if !matches!(keyword.as_str(), "RUN" | "COPY" | "ADD") {
        return Vec::new();
    }
    super::words::split(text, escape).iter().filter_map(|word| heredoc_start(word)).collect()
}

fn heredoc_start(word: &str) -> Option<HeredocStart> {
    let rest = word.trim_start_matches(|letter: char| letter.is_ascii_digit()).strip_prefix("<<")?;
    let (strip_tabs, rest) = rest.strip_prefix('-').map_or((false, rest), |rest| (true, rest));
    let quote = rest.chars().next().filter(|letter| matches!(letter, '"' | '\''));
    let name = match quote {
        Some(quote) => rest.strip_prefix(quote)?.strip_suffix(quote)?,
        None => rest,
    };
    let good = !name.is_empty() && !name.contains(['<', '"', '\'', '$', '>', '|', '&', ';', '(']);
    good.then(|| HeredocStart { name: name.to_owned(), strip_tabs, expand: quote.is_none() })
}

fn read_heredoc(physical: &[&str], index: &mut usize, start: HeredocStart) -> ApiResult<Heredoc> {
    let mut content = String::new();
    while let Some(line) = physical.get(*index) {
        *index += 1;
        let line = if start.strip_tabs { line.trim_start_matches('\t') } else { line };
        if line == start.name {
            return Ok(Heredoc { name: start.name, content, expand: start.expand });
        }
        content.push_str(line);
        content.push('\n');
    }
    Err(ApiError::invalid("unterminated heredoc"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts(source: &str) -> Vec<(usize, String)> {
        split(source).expect("good").lines.into_iter().map(|line| (line.number, line.text)).collect()
    }

    #[test]
    fn comments_and_continuations_are_joined_and_lines_keep_their_numbers() {
        let source = "# a comment\n\nFROM x\nRUN a \\\n  # inside\n\n  && b\n  CMD c\n";
        let wanted = [(3, "FROM x"), (4, "RUN a   && b"), (8, "CMD c")];
        assert_eq!(texts(source), wanted.map(|(number, text)| (number, text.to_owned())));
    }

    #[test]
    fn empty_continuation_lines_are_warned_about() {
        let warnings = split("FROM x\nRUN a \\\n\n b\n").expect("good").warnings;
        assert_eq!(warnings.len(), 2);
        assert_eq!(warnings[0], "[WARNING]: Empty continuation line found in: RUN a  b\n");
        assert!(split("FROM x\nRUN a \\\n# c\n b\n").expect("good").warnings.is_empty());
    }

    #[test]
    fn the_escape_directive_changes_the_continuation() {
        assert_eq!(
            texts("# escape=`\nRUN dir c:\\\nRUN a `\n b\n"),
            [(2, "RUN dir c:\\".to_owned()), (3, "RUN a  b".to_owned())]
        );
        let error = split("# escape=x\nFROM a").unwrap_err();
        assert_eq!(error.message, "invalid escape token 'x' does not match ` or \\");
        // Behind another comment it is a comment itself.
        assert_eq!(split("# hello\n# escape=`\nFROM a").map(|lines| lines.escape), Ok('\\'));
    }

    #[test]
    fn here_documents_end_at_their_name() {
        let lines = split("FROM x\nRUN <<-EOF cat\n\ta\n\tEOF\nCOPY <<'A' <<B /d/\n$x\nA\n2\nB\n").expect("good").lines;
        assert_eq!(lines[1].heredocs[0].content, "a\n");
        let names: Vec<_> = lines[2].heredocs.iter().map(|doc| (doc.name.as_str(), doc.expand)).collect();
        assert_eq!(names, [("A", false), ("B", true)]);
        assert_eq!(split("FROM x\nRUN <<E\na").unwrap_err().message, "unterminated heredoc");
    }

    #[test]
    fn a_file_of_comments_has_no_instructions() {
        assert_eq!(split("# only\n\n").unwrap_err().message, "file with no instructions");
    }
}
