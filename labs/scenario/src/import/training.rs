//! A page of Play with Docker's training: Markdown for Jekyll, with `.term1` on the blocks that its terminals run and
//! questions marked by `{:.quiz}`.

use super::{ImportError, Imported, Writer, heading};

/// Carries a page over; `name` is the file's, for errors.
///
/// # Errors
/// When the page has no heading that could begin a step.
pub fn from_training_page(name: &str, text: &str) -> Result<Imported, ImportError> {
    let (front, body) = front_matter(text);
    let value = |key: &str| {
        let line = front.lines().find_map(|line| line.strip_prefix(key)?.trim_start().strip_prefix(':'));
        line.map(|value| value.trim().trim_matches(['"', '\'']).to_owned())
    };
    let title = value("title").unwrap_or_else(|| name.trim_end_matches(".md").replace(['-', '_'], " "));
    let terminals = value("terms").and_then(|number| number.parse().ok()).unwrap_or_else(|| terminals(body));
    let step_level = step_level(body).ok_or_else(|| ImportError::NoStep(name.to_owned()))?;
    let mut page = Page { writer: Writer::default(), step_level, terminals, is_in_step: false, has_commands: false };
    page.writer.front_matter(&title, &value("description").unwrap_or_default(), terminals);
    page.read(body);
    page.end_step();
    Ok(page.writer.finish())
}

fn front_matter(text: &str) -> (&str, &str) {
    let Some(rest) = text.trim_start_matches('\u{feff}').strip_prefix("---\n") else { return ("", text) };
    match rest.find("\n---") {
        Some(end) => (&rest[..end], rest[end + 4..].trim_start_matches('\n')),
        None => ("", text),
    }
}

/// The largest number of a terminal that a block names.
fn terminals(body: &str) -> usize {
    (1..=9).rev().find(|number| body.contains(&format!(".term{number}"))).unwrap_or(1)
}

/// Headings of the second level are steps; where there are none, those of the first or the third.
fn step_level(body: &str) -> Option<usize> {
    let has = |wanted: usize| body.lines().filter_map(heading).any(|(level, _)| level == wanted);
    [2, 3, 1].into_iter().find(|level| has(*level))
}

struct Page {
    writer: Writer,
    step_level: usize,
    terminals: usize,
    is_in_step: bool,
    has_commands: bool,
}

impl Page {
    fn read(&mut self, body: &str) {
        let lines: Vec<&str> = body.lines().collect();
        let mut at = 0;
        while at < lines.len() {
            let line = lines[at];
            let trimmed = line.trim();
            if let Some(info) = trimmed.strip_prefix("```") {
                let end = (at + 1..lines.len()).find(|end| lines[*end].trim() == "```").unwrap_or(lines.len());
                let content: String =
                    lines[at + 1..end.min(lines.len())].iter().map(|line| format!("{line}\n")).collect();
                let behind = lines.get(end + 1).map_or("", |line| line.trim());
                self.block(info, behind, &content);
                at = end + 1 + usize::from(behind.starts_with("{:"));
            } else if is_quiz(trimmed) {
                at = self.quiz(&lines, at + 1);
            } else if let Some((level, title)) = heading(line) {
                self.heading(level, title);
                at += 1;
            } else {
                if trimmed.starts_with("{%") {
                    self.writer.note("`{% … %}` of the page's generator is left out");
                } else if !trimmed.starts_with("{:") {
                    self.writer.line(line);
                }
                at += 1;
            }
        }
    }

    fn heading(&mut self, level: usize, title: &str) {
        self.writer.blank();
        if level == self.step_level {
            self.end_step();
            self.is_in_step = true;
            self.writer.line(&format!("## {title}"));
        } else if level > self.step_level {
            self.writer.line(&format!("{} {title}", "#".repeat((level - self.step_level + 2).min(6))));
        } else {
            self.writer.line(&format!("**{title}**"));
        }
        self.writer.line("");
    }

    fn end_step(&mut self) {
        if self.is_in_step && self.has_commands {
            self.writer.stub(None);
        }
        self.has_commands = false;
    }

    fn block(&mut self, info: &str, behind: &str, content: &str) {
        let class = [info, behind].into_iter().find_map(|text| text.split_once(".term").map(|(_, rest)| rest));
        let terminal = class.map(|rest| rest.chars().take_while(char::is_ascii_digit).collect::<String>());
        let Some(terminal) = terminal else {
            let info = info.trim();
            let is_bare = info.is_empty() || info.starts_with('{') || info.starts_with('.');
            return self.writer.fence(if is_bare { "text" } else { info }, content);
        };
        if !self.is_in_step {
            // Commands before the first heading would stand outside of any step.
            self.heading(self.step_level, "Getting ready");
        }
        self.has_commands = true;
        let node = if self.terminals > 1 && !terminal.is_empty() { format!(" node{terminal}") } else { String::new() };
        self.writer.fence(&format!("sh run{node}"), content);
    }

    /// A question and its choices; returns the line behind them.
    fn quiz(&mut self, lines: &[&str], mut at: usize) -> usize {
        let (mut question, mut choices, mut right) = (Vec::new(), Vec::new(), Vec::new());
        while let Some(line) = lines.get(at).map(|line| line.trim()) {
            let choice =
                ["- (x)", "- [x]", "- ( )", "- [ ]"].into_iter().find(|mark| line.to_lowercase().starts_with(mark));
            match choice {
                Some(mark) => {
                    choices.push(line[mark.len()..].trim().to_owned());
                    if mark.contains('x') {
                        right.push(choices.len().to_string());
                    }
                }
                None if line.is_empty() && choices.is_empty() => {}
                None if choices.is_empty() && !line.starts_with("```") && heading(line).is_none() => {
                    question.push(line);
                }
                None => break,
            }
            at += 1;
        }
        if choices.len() < 2 || right.is_empty() {
            self.writer.note("a question without a right choice is left out");
            return at;
        }
        let quoted = |text: &str| format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\""));
        let choices: Vec<String> = choices.iter().map(|choice| quoted(choice)).collect();
        let content = format!(
            "question = {}\nchoices = [{}]\nright = [{}]\nexplain = \"To be written: why?\"\n",
            quoted(&question.join(" ")),
            choices.join(", "),
            right.join(", ")
        );
        self.writer.fence("quiz", &content);
        at
    }
}

fn is_quiz(line: &str) -> bool {
    line.starts_with("{:") && line.contains("quiz")
}

#[cfg(test)]
mod tests {
    use super::from_training_page;
    use crate::{ImportError, lint};

    #[test]
    fn terminals_steps_and_questions_are_carried_over() {
        let page = "---\nlayout: post\ntitle:  \"Swarm for beginners\"\nterms: 2\n---\n\nIntroduction.\n\n{% include x.html %}\n\n## Init\n\n```.term1\ndocker swarm init\n```\n\n### More\n\n```\nToken: abc\n```\n\n```\ndocker ps\n```\n{:.term2}\n\n{:.quiz}\nWhat is a `node`?\n- ( ) A service\n- (x) A \"machine\"\n\n## End\n\nBye.\n";
        let imported = from_training_page("swarm.md", page).unwrap();
        insta::assert_snapshot!(imported.text, @r#"
        +++
        id = "swarm-for-beginners"
        title = "Swarm for beginners"
        nodes = ["node1", "node2"]
        language = "en"
        +++

        # Swarm for beginners

        Introduction.

        ## Init

        ```sh run node1
        docker swarm init
        ```

        ### More

        ```text
        Token: abc
        ```

        ```sh run node2
        docker ps
        ```

        ```quiz
        question = "What is a `node`?"
        choices = ["A service", "A \"machine\""]
        right = [2]
        explain = "To be written: why?"
        ```

        ```check
        # To be written: what must be true when this step is done? `docklab schema` lists what can be checked.
        ```

        ## End

        Bye.
        "#);
        assert_eq!(imported.notes, ["`{% … %}` of the page's generator is left out"]);
        let faults = lint("a.md", &imported.text);
        assert!(!faults.has_errors() && faults.iter().any(|fault| fault.code == "stub"), "\n{faults}");
    }

    #[test]
    fn a_page_without_headings_has_no_step() {
        assert_eq!(from_training_page("a.md", "text\n"), Err(ImportError::NoStep("a.md".to_owned())));
    }
}
