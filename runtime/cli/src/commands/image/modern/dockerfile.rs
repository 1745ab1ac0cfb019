//! What a Dockerfile says of its steps: enough to name them and to show the line of a fault.

/// An instruction, with the line it begins on.
#[derive(Debug)]
struct Instruction {
    line: usize,
    word: String,
    text: String,
}

/// The steps of a Dockerfile, named as the newer builder names them.
#[derive(Debug)]
pub(crate) struct Plan {
    lines: Vec<String>,
    instructions: Vec<Instruction>,
    /// For each instruction its name, if it is shown at all.
    names: Vec<Option<String>>,
}

/// Instructions that do something; the others only change the image's settings.
fn is_shown(word: &str) -> bool {
    matches!(word, "FROM" | "RUN" | "COPY" | "ADD" | "WORKDIR")
}

impl Plan {
    pub(crate) fn read(text: &str) -> Self {
        let lines: Vec<String> = text.split('\n').map(ToOwned::to_owned).collect();
        let mut instructions: Vec<Instruction> = Vec::new();
        let mut continued = false;
        for (index, line) in lines.iter().enumerate() {
            let trimmed = line.trim();
            if trimmed.is_empty() || trimmed.starts_with('#') {
                continue;
            }
            let piece = trimmed.trim_end_matches('\\').trim();
            match instructions.last_mut().filter(|_| continued) {
                Some(last) => {
                    last.text.push(' ');
                    last.text.push_str(piece);
                }
                None => {
                    let word = piece.split_whitespace().next().unwrap_or_default().to_uppercase();
                    instructions.push(Instruction { line: index + 1, word, text: piece.to_owned() });
                }
            }
            continued = trimmed.ends_with('\\');
        }
        let names = names(&instructions);
        Self { lines, instructions, names }
    }

    /// The name of the step with this number, counted from 1; none for steps that are not shown.
    pub(crate) fn name(&self, number: usize) -> Option<String> {
        self.names.get(number.checked_sub(1)?).cloned().flatten()
    }

    /// Base images that are not stages of this file.
    pub(crate) fn bases(&self) -> Vec<String> {
        let mut stages: Vec<String> = Vec::new();
        let mut bases: Vec<String> = Vec::new();
        for from in self.instructions.iter().filter(|instruction| instruction.word == "FROM") {
            let words: Vec<&str> = from.text.split_whitespace().filter(|word| !word.starts_with("--")).collect();
            if let Some(base) = words.get(1)
                && *base != "scratch"
                && !stages.iter().any(|stage| stage == base)
                && !bases.iter().any(|known| known == base)
            {
                bases.push((*base).to_owned());
            }
            stages.extend(words.get(3).map(|name| (*name).to_owned()));
        }
        bases
    }

    /// True when a step copies from the build context.
    pub(crate) fn reads_context(&self) -> bool {
        self.instructions
            .iter()
            .any(|step| matches!(step.word.as_str(), "COPY" | "ADD") && !step.text.contains("--from="))
    }

    /// The line of a step by its name.
    pub(crate) fn line_of(&self, name: &str) -> Option<usize> {
        let index = self.names.iter().position(|known| known.as_deref() == Some(name))?;
        self.instructions.get(index).map(|instruction| instruction.line)
    }

    /// The line that a parser's message names.
    pub(crate) fn fault(&self, message: &str) -> Option<usize> {
        let rest = message.split("line ").nth(1)?;
        rest.split(|letter: char| !letter.is_ascii_digit()).next()?.parse().ok()
    }

    /// The lines around a fault, with a mark at it.
    pub(crate) fn excerpt(&self, line: usize) -> String {
        let rule = "--------------------";
        let first = line.saturating_sub(2).max(1);
        let last = (line + 2).min(self.lines.len());
        let shown: String = (first..=last)
            .map(|number| {
                let mark = if number == line { ">>>" } else { "   " };
                format!("{number:>4} | {mark} {}\n", self.lines[number - 1])
            })
            .collect();
        format!("Dockerfile:{line}\n{rule}\n{shown}{rule}\n")
    }
}

/// `[2/3] RUN x`, or with a stage's name before the numbers when there are several stages.
fn names(instructions: &[Instruction]) -> Vec<Option<String>> {
    let mut stages: Vec<(String, usize)> = Vec::new();
    let mut places: Vec<Option<(usize, usize)>> = Vec::new();
    for instruction in instructions {
        if instruction.word == "FROM" {
            let words: Vec<&str> = instruction.text.split_whitespace().collect();
            let named = words.iter().position(|word| word.eq_ignore_ascii_case("as"));
            let name = named.and_then(|at| words.get(at + 1)).map(|name| (*name).to_owned());
            let number = stages.len();
            stages.push((name.unwrap_or_else(|| format!("stage-{number}")), 0));
        }
        let count = stages.len();
        places.push(match stages.last_mut().filter(|_| is_shown(&instruction.word)) {
            Some((_, steps)) => {
                *steps += 1;
                Some((count - 1, *steps))
            }
            None => None,
        });
    }
    instructions
        .iter()
        .zip(places)
        .map(|(instruction, place)| {
            let (stage, step) = place?;
            let (name, steps) = &stages[stage];
            let only = stages.len() == 1 && name == "stage-0";
            let prefix = if only { String::new() } else { format!("{name} ") };
            let text = match instruction.word.as_str() {
                "FROM" => base_text(&instruction.text),
                _ => instruction.text.clone(),
            };
            Some(format!("[{prefix}{step}/{steps}] {text}"))
        })
        .collect()
}

/// `FROM docker.io/library/python:3`, whatever the stage is called.
fn base_text(text: &str) -> String {
    let base = text.split_whitespace().filter(|word| !word.starts_with("--")).nth(1).unwrap_or_default();
    let full = docklab_api::Reference::parse(base)
        .map_or_else(|_| base.to_owned(), |name| name.with_default_tag().to_string());
    format!("FROM {full}")
}
