//! A whole lab as part of a chapter.

use std::path::Path;

use docklab_scenario::{Block, Check, Commands, Scenario, Step, parse};

use crate::{DirectiveError, escaped, quiz, quiz::inline, read};

pub(crate) fn read_scenario(path: &Path) -> Result<Scenario, DirectiveError> {
    let name = path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    let parsed = parse(&name, &read(path)?);
    if parsed.diagnostics.has_errors() {
        return Err(DirectiveError::Lab { path: path.to_owned(), faults: parsed.diagnostics.to_string() });
    }
    Ok(parsed.scenario)
}

/// The lab in Markdown with HTML blocks. `page` is the way to docklab's page, if the book stands beside one.
pub(crate) fn render(path: &Path, page: Option<&str>) -> Result<String, DirectiveError> {
    let scenario = read_scenario(path)?;
    let file = path.file_stem().map(|stem| stem.to_string_lossy().into_owned()).unwrap_or_default();
    let mut text = format!("# {}\n\n", scenario.meta.title);
    if let Some(page) = page {
        // The script of the book turns this into a button that opens the simulator beside the text.
        text.push_str(&format!(
            "<div class=\"docklab-lab\" data-page=\"{}\" data-lab=\"{}\"><p>About {} minutes. <a href=\"{0}#/lab/{1}\">Open this lab with its own terminal and diagram</a>.</p></div>\n\n",
            escaped(page),
            escaped(&file),
            scenario.meta.time,
        ));
    }
    for block in &scenario.introduction {
        text.push_str(&draw(block, None, 0));
    }
    for step in &scenario.steps {
        text.push_str(&format!("\n## {}\n\n", step.title));
        for (index, block) in step.blocks.iter().enumerate() {
            text.push_str(&draw(block, Some(step), index));
        }
    }
    Ok(text)
}

/// A block as one HTML block of Markdown: no blank line within, one after.
fn draw(block: &Block, step: Option<&Step>, index: usize) -> String {
    let slug = step.map(|step| step.slug.as_str()).unwrap_or_default();
    let html = match block {
        Block::Prose { html } => format!("<div>{}</div>", without_blank_lines(html)),
        Block::Run(commands) => run(commands, slug, index),
        Block::Output { text } => {
            format!("<pre class=\"docklab-output\"><samp>{}</samp></pre>", escaped(&elided(text)))
        }
        Block::File { path, content, .. } => format!(
            "<figure class=\"docklab-file\" data-step=\"{slug}\" data-block=\"{index}\"><figcaption><code>{}</code></figcaption><pre><code>{}</code></pre></figure>",
            escaped(path),
            escaped(content)
        ),
        Block::Check(check) => goals(check, slug),
        Block::Hint { html } => {
            format!("<details class=\"docklab-hint\"><summary>Hint</summary>{}</details>", without_blank_lines(html))
        }
        Block::Quiz(question) => quiz::render(question).trim_end().to_owned(),
        Block::Note { title, blocks, .. } => {
            // The page finds a step's blocks by their place in it, and those of a note have none.
            let inner: String = blocks.iter().map(|block| draw(block, None, index)).collect();
            let inner = without_blank_lines(&inner);
            format!("<aside class=\"docklab-note\"><p><strong>{}</strong></p>{inner}</aside>", escaped(title))
        }
        Block::Code { text, .. } => format!("<pre><code>{}</code></pre>", escaped(text)),
        // Routes that prove the checks; nothing to read.
        Block::Also(_) | Block::Wrong(_) => return String::new(),
    };
    format!("{html}\n\n")
}

fn run(commands: &Commands, slug: &str, index: usize) -> String {
    let node = commands.node.as_deref().map(|node| format!(" data-node=\"{}\"", escaped(node))).unwrap_or_default();
    format!(
        "<div class=\"docklab-run\" data-step=\"{slug}\" data-block=\"{index}\"{node}><pre><code>{}</code></pre></div>",
        escaped(commands.text.trim_end())
    )
}

fn goals(check: &Check, slug: &str) -> String {
    let goals: String =
        check.expectations.iter().map(|expectation| format!("<li>{}</li>", inline(&expectation.describe()))).collect();
    if goals.is_empty() {
        return String::new();
    }
    format!("<div class=\"docklab-check\" data-step=\"{slug}\"><p>Checked when you do it:</p><ul>{goals}</ul></div>")
}

/// As the page shows the signs with which tests leave out what differs.
fn elided(text: &str) -> String {
    let lines = text.lines().map(|line| if line.trim() == "..." { "⋮".to_owned() } else { line.replace("[..]", "…") });
    lines.collect::<Vec<_>>().join("\n")
}

fn without_blank_lines(html: &str) -> String {
    html.lines().filter(|line| !line.trim().is_empty()).collect::<Vec<_>>().join("\n")
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    const LAB: &str = r#"+++
id = "x"
title = "X"
summary = "A lab."
nodes = ["node1"]
images = ["nginx"]
time = 5
level = "beginner"
language = "en"
+++

Words.

## One

```sh run
docker run -d nginx && echo <done>
```

```output
...
[..]x
```

```check
[[container]]
image = "nginx"
```

```sh wrong
docker run nginx
```
"#;

    fn rendered(page: Option<&str>) -> String {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("01-x.md");
        fs::write(&file, LAB).unwrap();
        render(&file, page).unwrap()
    }

    #[test]
    fn a_lab_is_readable_without_scripts_and_shows_no_wrong_routes() {
        insta::assert_snapshot!(rendered(None), @r#"
        # X

        <div><p>Words.</p></div>


        ## One

        <div class="docklab-run" data-step="one" data-block="0"><pre><code>docker run -d nginx &amp;&amp; echo &lt;done&gt;</code></pre></div>

        <pre class="docklab-output"><samp>⋮&#10;…x</samp></pre>

        <div class="docklab-check" data-step="one"><p>Checked when you do it:</p><ul><li>a container with image <code>nginx</code></li></ul></div>
        "#);
    }

    #[test]
    fn beside_a_page_it_leads_there() {
        assert!(rendered(Some("../../")).contains(r#"data-page="../../" data-lab="01-x""#));
    }

    #[test]
    fn a_lab_with_faults_is_refused_with_them() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("x.md");
        fs::write(&file, LAB.replace("[[container]]", "[[contaner]]")).unwrap();
        let error = render(&file, None).unwrap_err().to_string();
        assert!(error.contains("contaner"), "{error}");
    }
}
