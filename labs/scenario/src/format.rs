//! One way to write a scenario: blank lines, fences, notes and TOML; never a word of it.

use crate::parse::parse;

/// The text in the usual form. Where that would change what the scenario says, it is returned as it is.
///
/// Formatting what has been formatted changes nothing.
pub fn format(text: &str) -> String {
    let mut formatted = pass(text);
    // A passage can come to light that only the next pass sees; more than a few would be no form at all.
    for _ in 0..4 {
        let next = pass(&formatted);
        if next == formatted {
            return if same_meaning(text, &formatted) { formatted } else { text.to_owned() };
        }
        formatted = next;
    }
    text.to_owned()
}

/// Everything but places.
fn same_meaning(left: &str, right: &str) -> bool {
    let meaning = |text: &str| {
        let parsed = parse("", text);
        let codes: Vec<String> = parsed.diagnostics.iter().map(|fault| fault.code.clone()).collect();
        (serde_json::to_string(&parsed.scenario).ok(), codes)
    };
    meaning(left) == meaning(right)
}

/// Where a line stands.
enum Place {
    Body,
    FrontMatter,
    /// In a fence that this line of backticks or tildes closes; `toml` is collected to be formatted as a whole.
    Fence {
        mark: String,
        toml: Option<Vec<String>>,
    },
}

fn pass(text: &str) -> String {
    let text = text.trim_start_matches('\u{feff}').replace("\r\n", "\n");
    let mut lines = Lines::default();
    let mut place = Place::Body;
    let mut toml: Vec<String> = Vec::new();
    for (index, line) in text.split('\n').enumerate() {
        match &mut place {
            Place::FrontMatter if line.trim_end() == "+++" => {
                lines.extend(format_toml(&toml));
                lines.push("+++".to_owned());
                lines.blank();
                place = Place::Body;
            }
            Place::FrontMatter => toml.push(line.to_owned()),
            Place::Fence { mark, toml } => {
                if closes(line, mark) {
                    lines.extend(toml.take().map(|toml| format_toml(&toml)).unwrap_or_default());
                    let is_top_level = !line.starts_with(' ');
                    lines.push(line.trim_end().to_owned());
                    if is_top_level {
                        lines.blank();
                    }
                    place = Place::Body;
                } else if let Some(toml) = toml {
                    toml.push(line.to_owned());
                } else {
                    lines.verbatim(line);
                }
            }
            Place::Body if index == 0 && line.trim_end() == "+++" => {
                lines.push("+++".to_owned());
                place = Place::FrontMatter;
            }
            Place::Body => place = body(line, &mut lines),
        }
    }
    match place {
        Place::FrontMatter => lines.extend(toml),
        Place::Fence { toml: Some(toml), .. } => lines.extend(toml),
        _ => {}
    }
    lines.finish()
}

fn body(line: &str, lines: &mut Lines) -> Place {
    if let Some((mark, info)) = opens(line) {
        let is_top_level = !line.starts_with(' ');
        if !is_top_level {
            lines.push(line.trim_end().to_owned());
            return Place::Fence { mark, toml: None };
        }
        lines.blank();
        let info: Vec<&str> = info.split_whitespace().collect();
        lines.push(format!("{mark}{}", info.join(" ")));
        let is_toml = matches!(info.first(), Some(&("check" | "quiz")));
        return Place::Fence { mark, toml: is_toml.then(Vec::new) };
    }
    let is_heading = line.starts_with('#') && line.trim_start_matches('#').starts_with(' ');
    if line.starts_with(":::") {
        let rest: Vec<&str> = line.trim_start_matches(':').split_whitespace().collect();
        lines.blank();
        lines.push(format!("::: {}", rest.join(" ")).trim_end().to_owned());
        lines.blank();
    } else if is_heading {
        lines.blank();
        lines.push(line.trim_end().to_owned());
        lines.blank();
    } else if line.trim().is_empty() {
        lines.blank();
    } else if line.ends_with("  ") {
        // Two blanks at the end of a line break it.
        lines.push(format!("{}  ", line.trim_end()));
    } else {
        lines.push(line.trim_end().to_owned());
    }
    Place::Body
}

/// The mark and the info string of a line that opens a fence.
fn opens(line: &str) -> Option<(String, &str)> {
    let inner = line.trim_start();
    let letter = inner.chars().next().filter(|letter| matches!(letter, '`' | '~'))?;
    let info = inner.trim_start_matches(letter);
    let mark = &inner[..inner.len() - info.len()];
    (mark.len() >= 3 && !info.contains('`')).then(|| (mark.to_owned(), info))
}

fn closes(line: &str, mark: &str) -> bool {
    let line = line.trim();
    line.len() >= mark.len() && line.chars().all(|letter| mark.starts_with(letter))
}

/// `key = value` with single blanks, an empty line before each table, none twice. Texts of several lines are kept.
fn format_toml(lines: &[String]) -> Vec<String> {
    let mut formatted: Vec<String> = Vec::new();
    let mut inside: Option<&str> = None;
    for line in lines {
        if let Some(quote) = inside {
            formatted.push(line.clone());
            if line.matches(quote).count() % 2 == 1 {
                inside = None;
            }
            continue;
        }
        let trimmed = line.trim_end();
        if trimmed.is_empty() {
            if formatted.last().is_some_and(|last| !last.is_empty()) {
                formatted.push(String::new());
            }
            continue;
        }
        inside = ["\"\"\"", "'''"].into_iter().find(|quote| line.matches(quote).count() % 2 == 1);
        if inside.is_some() {
            formatted.push(line.clone());
            continue;
        }
        if trimmed.starts_with('[') && formatted.last().is_some_and(|last| !last.is_empty() && !last.starts_with('#')) {
            formatted.push(String::new());
        }
        formatted.push(assignment(trimmed));
    }
    while formatted.last().is_some_and(String::is_empty) {
        formatted.pop();
    }
    formatted
}

/// Single blanks around the sign of a line `key = value` whose key is bare.
fn assignment(line: &str) -> String {
    let Some((key, value)) = line.split_once('=') else { return line.to_owned() };
    let bare = key.trim_end();
    let is_bare =
        !bare.is_empty() && bare.chars().all(|letter| letter.is_ascii_alphanumeric() || "_-.".contains(letter));
    if is_bare { format!("{bare} = {}", value.trim_start()) } else { line.to_owned() }
}

/// Lines under construction, without two empty ones in a row.
#[derive(Default)]
struct Lines(Vec<String>);

impl Lines {
    fn push(&mut self, line: String) {
        self.0.push(line);
    }
    fn verbatim(&mut self, line: &str) {
        self.0.push(line.to_owned());
    }
    fn extend(&mut self, lines: Vec<String>) {
        self.0.extend(lines);
    }
    fn blank(&mut self) {
        if self.0.last().is_some_and(|last| !last.is_empty()) {
            self.0.push(String::new());
        }
    }
    fn finish(mut self) -> String {
        while self.0.last().is_some_and(|last| last.trim().is_empty()) {
            self.0.pop();
        }
        let mut text = self.0.join("\n");
        text.push('\n');
        text
    }
}

#[cfg(test)]
mod tests {
    use super::format;

    #[test]
    fn blank_lines_fences_notes_and_toml_have_one_form() {
        let text = "+++\nid=\"a\"\ntitle   =  \"A\"\n+++\n# A\ntext \n\n\n## S\n```sh   run\nx  \n\n\ny\n```\n```check\n[[container]]\nname=\"a\"\n[[mistake]]\nwhen.container = {}\nsay='''\na=b\n'''\n```\n:::note  Title\n\nx\n\n:::\n\n\n";
        insta::assert_snapshot!(format(text), @r#"
        +++
        id = "a"
        title = "A"
        +++

        # A

        text

        ## S

        ```sh run
        x  


        y
        ```

        ```check
        [[container]]
        name = "a"

        [[mistake]]
        when.container = {}
        say='''
        a=b
        '''
        ```

        ::: note Title

        x

        :::
        "#);
    }

    #[test]
    fn a_line_break_and_what_stands_in_lists_are_kept() {
        let text = "+++\nid = \"a\"\ntitle = \"A\"\n+++\n\n## S\n\na  \nb\n\n- c\n\n  ```sh\n  d\n  ```\n  e\n";
        assert_eq!(format(text), text);
    }

    #[test]
    fn what_would_change_its_meaning_stays() {
        // The note line would become a note.
        let text = "## S\na\n::: note\nb\n";
        assert_eq!(format(text), text);
    }
}
