//! What created a layer, as a line of a Dockerfile.

/// Turns the text of an image's history into the line that it came from. The classic builder writes commands for its shell
/// (`/bin/sh -c #(nop) …` where nothing ran), BuildKit the instruction itself. The names of copied files are lost in the
/// classic builder's text; `…` stands for them.
pub(super) fn instruction(created_by: &str, comment: &str) -> String {
    let text = created_by.split_whitespace().collect::<Vec<_>>().join(" ");
    let text = text.strip_suffix("# buildkit").unwrap_or(&text).trim();
    if text.is_empty() {
        let comment = comment.trim();
        return if comment.is_empty() { "(its line is not known)".to_owned() } else { format!("({comment})") };
    }
    if let Some((_, instruction)) = text.split_once("#(nop) ") {
        return without_hash(instruction.trim());
    }
    if let Some(command) = text.strip_prefix("RUN ") {
        return format!("RUN {}", shell_command(command).unwrap_or(command));
    }
    match shell_command(text) {
        Some(command) => format!("RUN {command}"),
        None => text.to_owned(),
    }
}

/// The command behind the shell, and behind the build arguments that it may read.
fn shell_command(text: &str) -> Option<&str> {
    if text.starts_with('|') {
        return text.split_once("/bin/sh -c ").map(|(_, command)| command);
    }
    text.strip_prefix("/bin/sh -c ")
}

/// `COPY file:0f3a… in /app.py` as `COPY … /app.py`.
fn without_hash(instruction: &str) -> String {
    let mut words: Vec<&str> = instruction.split(' ').collect();
    let is_copy = matches!(words.first(), Some(&("COPY" | "ADD")));
    let hash = words.iter().position(|word| {
        ["file:", "dir:", "multi:"].iter().any(|kind| {
            word.strip_prefix(kind).is_some_and(|digits| digits.bytes().all(|digit| digit.is_ascii_hexdigit()))
        })
    });
    if let (true, Some(hash)) = (is_copy, hash)
        && words.get(hash + 1) == Some(&"in")
    {
        words[hash] = "…";
        words.remove(hash + 1);
    }
    words.join(" ")
}

/// The instruction's own word, and the rest.
pub(super) fn split_verb(line: &str) -> (&str, &str) {
    let (verb, rest) = line.split_once(' ').unwrap_or((line, ""));
    if !verb.is_empty() && verb.bytes().all(|letter| letter.is_ascii_uppercase()) { (verb, rest) } else { ("", line) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_builders_lines_read_as_in_the_dockerfile() {
        let line = |text| instruction(text, "");
        assert_eq!(line("/bin/sh -c #(nop)  CMD [\"python3\"]"), "CMD [\"python3\"]");
        assert_eq!(line("/bin/sh -c pip install flask"), "RUN pip install flask");
        assert_eq!(line("|2 A=1 B=2 /bin/sh -c echo $A"), "RUN echo $A");
        assert_eq!(line("RUN /bin/sh -c pip install flask # buildkit"), "RUN pip install flask");
        assert_eq!(line("RUN |1 A=1 /bin/sh -c echo $A # buildkit"), "RUN echo $A");
        assert_eq!(line("COPY app.py /app.py # buildkit"), "COPY app.py /app.py");
        assert_eq!(line("/bin/sh -c set -ex  \t&& apk add x"), "RUN set -ex && apk add x");
        assert_eq!(line("bash"), "bash");
        assert_eq!(instruction("", "Imported from -"), "(Imported from -)");
    }

    #[test]
    fn the_hash_of_copied_files_is_left_out() {
        let line = |text| instruction(text, "");
        assert_eq!(line("/bin/sh -c #(nop) COPY file:0f3a9c in /app.py "), "COPY … /app.py");
        assert_eq!(line("/bin/sh -c #(nop) COPY --chown=1:1 multi:0f in /srv/ "), "COPY --chown=1:1 … /srv/");
        assert_eq!(line("/bin/sh -c #(nop) ADD file:4eedf861fb567fffb in / "), "ADD … /");
        assert_eq!(line("/bin/sh -c #(nop) LABEL a=file:00 in x"), "LABEL a=file:00 in x");
    }

    #[test]
    fn a_verb_is_in_capitals() {
        assert_eq!(split_verb("RUN pip install"), ("RUN", "pip install"));
        assert_eq!(split_verb("bash -c x"), ("", "bash -c x"));
    }
}
