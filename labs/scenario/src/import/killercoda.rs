//! A Killercoda scenario folder: `index.json` and a Markdown file a step. Commands are marked by `{{exec}}` behind a block or
//! an inline code.

use serde::Deserialize;

use super::{ImportError, Imported, Writer, heading};

#[derive(Deserialize)]
struct Index {
    title: String,
    #[serde(default)]
    description: String,
    details: Details,
}

#[derive(Deserialize)]
struct Details {
    #[serde(default)]
    intro: Option<Part>,
    #[serde(default)]
    steps: Vec<Part>,
    #[serde(default)]
    finish: Option<Part>,
    #[serde(default)]
    assets: serde_json::Value,
}

#[derive(Deserialize)]
struct Part {
    #[serde(default)]
    title: String,
    #[serde(default)]
    text: Option<String>,
    #[serde(default)]
    verify: Option<String>,
    #[serde(default)]
    background: Option<String>,
    #[serde(default)]
    foreground: Option<String>,
}

/// Carries a folder over. `read` gives a file's text by its path in the folder.
///
/// # Errors
/// When `index.json` is not there or not readable, or names a text that is not there.
pub fn from_killercoda(read: &dyn Fn(&str) -> Option<String>) -> Result<Imported, ImportError> {
    let missing = |file: &str| ImportError::Missing(file.to_owned());
    let text = read("index.json").ok_or_else(|| missing("index.json"))?;
    let index: Index = serde_json::from_str(&text)
        .map_err(|error| ImportError::Malformed { file: "index.json".to_owned(), reason: error.to_string() })?;
    let mut writer = Writer::default();
    writer.front_matter(&index.title, &index.description, 1);
    let text_of = |part: &Part| match &part.text {
        Some(file) => read(file).ok_or_else(|| missing(file)),
        None => Ok(String::new()),
    };
    if let Some(intro) = &index.details.intro {
        passage(&text_of(intro)?, &mut writer);
        scripts(intro, &mut writer);
    }
    if !index.details.assets.is_null() {
        writer.note("files that were copied onto the machine (`assets`) are to be written as `file=` blocks");
    }
    for (number, step) in index.details.steps.iter().enumerate() {
        let title = if step.title.trim().is_empty() { format!("Step {}", number + 1) } else { step.title.clone() };
        writer.blank();
        writer.line(&format!("## {title}"));
        writer.line("");
        passage(&text_of(step)?, &mut writer);
        scripts(step, &mut writer);
        let verify = step.verify.as_ref().map(|file| read(file).ok_or_else(|| missing(file))).transpose()?;
        writer.stub(verify.as_deref());
    }
    if let Some(finish) = &index.details.finish {
        writer.blank();
        writer.line("## What you have learned");
        writer.line("");
        passage(&text_of(finish)?, &mut writer);
    }
    Ok(writer.finish())
}

fn scripts(part: &Part, writer: &mut Writer) {
    for script in [&part.background, &part.foreground].into_iter().flatten() {
        writer.note(format!("the script `{script}`, which prepared the machine, is not carried over"));
    }
}

/// One Markdown file. Its headings stand below the step's.
fn passage(text: &str, writer: &mut Writer) {
    let mut lines = text.lines().peekable();
    let mut hint: Option<String> = None;
    while let Some(line) = lines.next() {
        let trimmed = line.trim();
        if let Some(info) = trimmed.strip_prefix("```") {
            let mut content = String::new();
            let mut mark = String::new();
            for line in lines.by_ref() {
                if let Some(rest) = line.trim().strip_prefix("```") {
                    mark = rest.to_owned();
                    break;
                }
                content.push_str(line);
                content.push('\n');
            }
            match (&mut hint, is_executed(&mark)) {
                (Some(hint), _) => hint.push_str(&format!("\n```\n{content}```\n")),
                (None, true) => writer.fence("sh run", &content),
                (None, false) => writer.fence(if info.trim().is_empty() { "text" } else { info.trim() }, &content),
            }
            continue;
        }
        if trimmed.starts_with("<details") {
            hint = Some(String::new());
            continue;
        }
        if trimmed.starts_with("</details") {
            if let Some(hint) = hint.take().filter(|hint| !hint.trim().is_empty()) {
                writer.fence("hint", hint.trim_matches('\n'));
            }
            continue;
        }
        if let Some(hint) = &mut hint {
            if !trimmed.starts_with("<summary") && trimmed != "<br>" {
                hint.push_str(line);
                hint.push('\n');
            }
            continue;
        }
        let (line, commands) = without_marks(line);
        match heading(&line) {
            Some((level, title)) => {
                writer.blank();
                writer.line(&format!("{} {title}", "#".repeat((level + 2).min(6))));
            }
            None if line.trim() == "<br>" => {}
            None => writer.line(&line),
        }
        if !commands.is_empty() {
            writer.fence("sh run", &commands.join("\n"));
        }
    }
    writer.blank();
}

fn is_executed(mark: &str) -> bool {
    mark.trim_start().starts_with("{{exec")
}

/// A line without the platform's marks, and the inline commands that it let students run.
fn without_marks(line: &str) -> (String, Vec<String>) {
    let mut text = String::new();
    let mut commands = Vec::new();
    let mut rest = line;
    while let Some(start) = rest.find("{{") {
        let Some(end) = rest[start..].find("}}").map(|end| start + end + 2) else { break };
        let mark = &rest[start..end];
        text.push_str(&rest[..start]);
        if is_executed(mark) && text.ends_with('`') {
            let inner = &text[..text.len() - 1];
            if let Some(open) = inner.rfind('`') {
                commands.push(inner[open + 1..].to_owned());
            }
        } else if let Some(port) =
            mark.strip_prefix("{{TRAFFIC_HOST").and_then(|rest| rest.trim_end_matches("}}").split_once('_'))
        {
            text.push_str(&format!("http://localhost:{}", port.1));
        }
        rest = &rest[end..];
    }
    text.push_str(rest);
    (text, commands)
}

#[cfg(test)]
mod tests {
    use super::from_killercoda;
    use crate::{ImportError, lint};

    #[test]
    fn steps_commands_hints_and_scripts_are_carried_over() {
        let read = |file: &str| {
            let text = match file {
                "index.json" => {
                    r#"{"title": "First \"steps\"", "description": "A start", "details": {
                        "intro": {"text": "intro.md", "background": "setup.sh"},
                        "steps": [{"title": "Run it", "text": "step1.md", "verify": "verify.sh"}],
                        "finish": {"text": "finish.md"}}, "backend": {"imageid": "ubuntu"}}"#
                }
                "intro.md" => "<br>\n\n# Welcome\nHello.\n",
                "step1.md" => {
                    "## Task\nStart `nginx`, e.g. with `docker run -d nginx`{{exec}} and look at [it]({{TRAFFIC_HOST1_80}}).\n\n```plain\ndocker ps\n```{{exec}}\n\n```yaml\na: b\n```\n\n<details><summary>Tip</summary>\n\nUse `-d`.\n\n</details>\n"
                }
                "verify.sh" => "#!/bin/bash\ndocker ps | grep nginx\n",
                "finish.md" => "Well done.\n",
                _ => return None,
            };
            Some(text.to_owned())
        };
        let imported = from_killercoda(&read).unwrap();
        insta::assert_snapshot!(imported.text, @r#"
        +++
        id = "first-steps"
        title = "First \"steps\""
        summary = "A start"
        nodes = ["node1"]
        language = "en"
        +++

        # First "steps"

        ### Welcome

        Hello.

        ## Run it

        #### Task

        Start `nginx`, e.g. with `docker run -d nginx` and look at [it](http://localhost:80).

        ```sh run
        docker run -d nginx
        ```

        ```sh run
        docker ps
        ```

        ```yaml
        a: b
        ```

        ```hint
        Use `-d`.
        ```

        ```check
        # To be written: what must be true when this step is done? `docklab schema` lists what can be checked.
        # It was verified by this script:
        #   #!/bin/bash
        #   docker ps | grep nginx
        ```

        ## What you have learned

        Well done.
        "#);
        assert_eq!(imported.notes, ["the script `setup.sh`, which prepared the machine, is not carried over"]);
        let faults = lint("a.md", &imported.text);
        assert!(!faults.has_errors() && faults.iter().any(|fault| fault.code == "stub"), "\n{faults}");
    }

    #[test]
    fn a_text_that_is_not_there_is_named() {
        let read = |file: &str| {
            (file == "index.json").then(|| r#"{"title": "A", "details": {"steps": [{"text": "one.md"}]}}"#.to_owned())
        };
        assert_eq!(from_killercoda(&read), Err(ImportError::Missing("one.md".to_owned())));
    }
}
