//! Mutants: solutions that are broken in one place, made from a step's own. A check that stays green for one does not
//! look at what the step is about.

mod docker;
mod dockerfile;
mod shell;

use std::fmt;

use serde::{Deserialize, Serialize};

pub(crate) use docker::{given_names, named_images, only_reads, pulled_images};

use crate::document::{Block, Commands, Mode, Scenario, Step};

/// What was done to the solution.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum MutantKind {
    /// A command, a file or an instruction of a Dockerfile is missing.
    Drop,
    /// An option is missing.
    Option,
    Name,
    Port,
    Image,
    Count,
    /// Two commands or instructions have changed places.
    Order,
}

impl fmt::Display for MutantKind {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Drop => "without",
            Self::Option => "missing option",
            Self::Name => "wrong name",
            Self::Port => "wrong port",
            Self::Image => "wrong image",
            Self::Count => "wrong number",
            Self::Order => "wrong order",
        })
    }
}

/// A broken solution of one step.
#[derive(Debug, Clone, PartialEq)]
pub struct Mutant {
    pub kind: MutantKind,
    /// One line: the changed command, or what is missing.
    pub description: String,
    /// The step with the change.
    pub step: Step,
    /// The file that was changed. What comes of it counts, not its text.
    pub file: Option<String>,
}

/// Every broken solution of a step that can be verified, in the order of its text.
pub fn mutants(scenario: &Scenario, index: usize) -> Vec<Mutant> {
    let Some(step) = scenario.steps.get(index).filter(|step| step.is_verifiable()) else { return Vec::new() };
    let images = &scenario.meta.images;
    let mut found = Vec::new();
    let blocks = step.all_blocks();
    for (at, block) in blocks.iter().enumerate() {
        match block {
            Block::Run(commands) => of_commands(step, at, commands, images, &mut found),
            Block::File { path, content, .. } => of_file(step, at, path, content, images, &mut found),
            _ => {}
        }
    }
    orders_of_blocks(step, &blocks, &mut found);
    found
}

fn of_commands(step: &Step, at: usize, commands: &Commands, images: &[String], found: &mut Vec<Mutant>) {
    let text = &commands.text;
    let mut push = |kind, description: &str, text: String| {
        let is_empty = text.trim().is_empty();
        let changed = (!is_empty).then(|| Block::Run(Commands { text, ..commands.clone() }));
        found.push(Mutant { kind, description: line(description), step: with_block(step, at, changed), file: None });
    };
    let parts = shell::commands(text);
    let is_interactive = commands.mode == Mode::Interactive;
    for (index, range) in parts.iter().enumerate() {
        let command = &text[range.clone()];
        // Without its first line there is nothing to type into, and without its last one nothing ends.
        let frames = is_interactive && (index == 0 || index + 1 == parts.len());
        if frames || docker::only_reads(command) {
            continue;
        }
        push(MutantKind::Drop, command, format!("{}{}", &text[..range.start], &text[range.end..]));
        for slip in docker::slips(command, images) {
            let changed = format!("{}{}{}", &command[..slip.range.start], slip.instead, &command[slip.range.end..]);
            push(slip.kind, &changed, format!("{}{changed}{}", &text[..range.start], &text[range.end..]));
        }
        if let Some(next) =
            parts.get(index + 1).filter(|next| !is_interactive && !docker::only_reads(&text[(*next).clone()]))
        {
            let (first, second) = (with_line_end(command), with_line_end(&text[next.clone()]));
            let swapped = format!("{}{second}{first}{}", &text[..range.start], &text[next.end..]);
            push(MutantKind::Order, &format!("{} before {}", second.trim(), first.trim()), swapped);
        }
    }
}

fn of_file(step: &Step, at: usize, path: &str, content: &str, images: &[String], found: &mut Vec<Mutant>) {
    let dropped = with_block(step, at, None);
    found.push(Mutant { kind: MutantKind::Drop, description: format!("file {path}"), step: dropped, file: None });
    let is_dockerfile = path.rsplit('/').next().is_some_and(|name| name.contains("Dockerfile"));
    if !is_dockerfile {
        return;
    }
    for (kind, description, content) in dockerfile::slips(content, images) {
        let step = edited(step, at, |block| {
            if let Block::File { content: held, .. } = block {
                *held = content;
            }
        });
        let description = format!("{path}: {}", line(&description));
        found.push(Mutant { kind, description, step, file: Some(path.to_owned()) });
    }
}

/// Neighbouring run blocks that change something, the later one first.
fn orders_of_blocks(step: &Step, blocks: &[&Block], found: &mut Vec<Mutant>) {
    let changing: Vec<(usize, &Commands)> = blocks
        .iter()
        .enumerate()
        .filter_map(|(at, block)| match block {
            Block::Run(commands) if !docker::only_reads(&commands.text) => Some((at, commands)),
            _ => None,
        })
        .collect();
    for pair in changing.windows(2) {
        let [(first_at, first), (second_at, second)] = pair else { continue };
        let swapped = with_block(step, *first_at, Some(Block::Run((*second).clone())));
        let swapped = with_block(&swapped, *second_at, Some(Block::Run((*first).clone())));
        let description = format!("{} before {}", line(&second.text), line(&first.text));
        found.push(Mutant { kind: MutantKind::Order, description, step: swapped, file: None });
    }
}

fn with_line_end(command: &str) -> String {
    if command.ends_with('\n') { command.to_owned() } else { format!("{command}\n") }
}

fn line(text: &str) -> String {
    let words: Vec<&str> = text.split_whitespace().collect();
    words.join(" ")
}

/// The step with the block at a place of [`Step::all_blocks`] exchanged; without one, an empty remark stands there, so
/// that the others keep their places.
fn with_block(step: &Step, at: usize, instead: Option<Block>) -> Step {
    edited(step, at, |block| *block = instead.unwrap_or_else(|| Block::Prose { html: String::new() }))
}

fn edited(step: &Step, at: usize, edit: impl FnOnce(&mut Block)) -> Step {
    fn find<'b>(blocks: &'b mut [Block], left: &mut usize) -> Option<&'b mut Block> {
        for block in blocks {
            if *left == 0 {
                return Some(block);
            }
            *left -= 1;
            if let Block::Note { blocks, .. } = block
                && let Some(found) = find(blocks, left)
            {
                return Some(found);
            }
        }
        None
    }
    let mut step = step.clone();
    let mut left = at;
    if let Some(block) = find(&mut step.blocks, &mut left) {
        edit(block);
    }
    step
}

#[cfg(test)]
mod tests {
    use super::mutants;
    use crate::parse;

    fn of(body: &str) -> Vec<String> {
        let text = format!("+++\nid = \"a\"\ntitle = \"A\"\nimages = [\"ubuntu\"]\n+++\n\n## S\n\n{body}");
        let scenario = parse("a.md", &text).scenario;
        mutants(&scenario, 0).iter().map(|mutant| format!("{}: {}", mutant.kind, mutant.description)).collect()
    }

    const CHECK: &str = "```check\n[[container]]\n```\n";

    #[test]
    fn commands_that_only_look_make_no_mutant() {
        let body =
            format!("```sh run\ndocker container ls\n```\n\n```sh run\ndocker stop a\ndocker rm a\n```\n\n{CHECK}");
        insta::assert_debug_snapshot!(of(&body), @r#"
        [
            "without: docker stop a",
            "wrong order: docker rm a before docker stop a",
            "without: docker rm a",
        ]
        "#);
    }

    #[test]
    fn what_opens_and_closes_a_session_stays() {
        let body = format!("```sh run interactive\ndocker exec -it a bash\ntouch /x\nexit\n```\n\n{CHECK}");
        insta::assert_debug_snapshot!(of(&body), @r#"
        [
            "without: touch /x",
        ]
        "#);
    }

    #[test]
    fn a_step_that_nothing_verifies_has_none() {
        assert!(of("```sh run\ndocker stop a\n```\n").is_empty());
    }

    #[test]
    fn blocks_inside_notes_are_changed_in_their_place() {
        let body =
            format!("::: note A\n\n```sh run\ndocker stop a\n```\n\n:::\n\n```sh run\ndocker rm a\n```\n\n{CHECK}");
        let text = format!("+++\nid = \"a\"\ntitle = \"A\"\n+++\n\n## S\n\n{body}");
        let scenario = parse("a.md", &text).scenario;
        let first = &mutants(&scenario, 0)[0];
        let texts: Vec<_> = first
            .step
            .all_blocks()
            .into_iter()
            .filter_map(|block| match block {
                crate::Block::Run(commands) => Some(commands.text.clone()),
                _ => None,
            })
            .collect();
        assert_eq!(texts, ["docker rm a\n"]);
    }
}
