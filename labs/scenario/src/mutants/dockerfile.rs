//! Slips in a Dockerfile: an instruction left out, two in the wrong order, another base.

use std::ops::Range;

use super::{MutantKind, docker::other_image};

/// Every changed Dockerfile with what was changed.
pub(super) fn slips(text: &str, images: &[String]) -> Vec<(MutantKind, String, String)> {
    let instructions = instructions(text);
    let mut changed = Vec::new();
    for (index, range) in instructions.iter().enumerate() {
        let line = text[range.clone()].trim_end();
        let name = line.split_whitespace().next().unwrap_or("").to_ascii_uppercase();
        if name == "FROM" {
            if let Some(base) = line.split_whitespace().nth(1) {
                let other = other_image(base, images);
                changed.push((MutantKind::Image, line.replace(base, &other), text.replacen(base, &other, 1)));
            }
            continue;
        }
        changed.push((MutantKind::Drop, line.to_owned(), format!("{}{}", &text[..range.start], &text[range.end..])));
        // What is written into the image and what is run may not change places; the others may.
        let next = instructions[index + 1..].iter().find(|next| matters(&text[(*next).clone()]));
        if let Some(next) = next.filter(|_| matters(line)) {
            let (above, below) = (&text[range.clone()], &text[next.clone()]);
            let between = &text[range.end..next.start];
            let end = if below.ends_with('\n') { "" } else { "\n" };
            let swapped = format!("{}{below}{end}{between}{above}{}", &text[..range.start], &text[next.end..]);
            let below = below.trim_end();
            changed.push((MutantKind::Order, format!("{below} above {line}"), swapped));
        }
    }
    changed
}

fn matters(instruction: &str) -> bool {
    ["RUN", "COPY", "ADD", "WORKDIR", "USER"].iter().any(|name| instruction.to_ascii_uppercase().starts_with(name))
}

/// Instructions with their continuation lines and line ends; comments and empty lines belong to none.
fn instructions(text: &str) -> Vec<Range<usize>> {
    let mut found = Vec::new();
    let (mut at, mut start) = (0, None);
    for line in text.split_inclusive('\n') {
        let begin = at;
        at += line.len();
        let trimmed = line.trim();
        if start.is_none() && (trimmed.is_empty() || trimmed.starts_with('#')) {
            continue;
        }
        start.get_or_insert(begin);
        if !trimmed.ends_with('\\')
            && let Some(start) = start.take()
        {
            found.push(start..at);
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::slips;

    #[test]
    fn instructions_are_dropped_and_swapped_and_the_base_is_changed() {
        let text = "# recipe\nFROM python:3.6\nRUN pip \\\n  install flask\nCOPY app.py /\nCMD python app.py\n";
        let changed: Vec<String> =
            slips(text, &[]).into_iter().map(|(kind, what, _)| format!("{kind}: {what}")).collect();
        insta::assert_debug_snapshot!(changed, @r#"
        [
            "wrong image: FROM busybox",
            "without: RUN pip \\\n  install flask",
            "wrong order: COPY app.py / above RUN pip \\\n  install flask",
            "without: COPY app.py /",
            "without: CMD python app.py",
        ]
        "#);
        assert!(slips(text, &[])[2].2.contains("COPY app.py /\nRUN pip"));
    }
}
