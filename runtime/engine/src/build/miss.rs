//! Why the cache had no image of a step: what differs from the step that was built last on top of the same image.

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    sync::PoisonError,
};

use docklab_api::CacheMiss;

use crate::Engine;

/// Files that COPY or ADD reads, with a short hash of each.
pub(crate) type Files = Vec<(String, u64)>;

/// Instructions whose files are remembered.
const REMEMBERED_COPIES: usize = 24;
/// Of one instruction; of a larger one it is only known that something changed.
const REMEMBERED_FILES: usize = 2000;
/// Images of which the line is remembered.
const REMEMBERED_LINES: usize = 500;

/// What an engine remembers of its builds to explain the next one. Nothing depends on it: without it a reason is vaguer.
#[derive(Default)]
pub(crate) struct Memory {
    /// By the hash of all the files together.
    copies: VecDeque<(String, Files)>,
    /// By image ID, as written in the Dockerfile.
    lines: VecDeque<(String, String)>,
}

fn keep<T>(list: &mut VecDeque<(String, T)>, limit: usize, key: &str, value: T) {
    list.retain(|(known, _)| known != key);
    if list.len() == limit {
        list.pop_front();
    }
    list.push_back((key.to_owned(), value));
}

impl Memory {
    pub(crate) fn keep_files(&mut self, hash: &str, files: &Files) {
        if files.len() <= REMEMBERED_FILES {
            keep(&mut self.copies, REMEMBERED_COPIES, hash, files.clone());
        }
    }
    pub(crate) fn keep_line(&mut self, image: &str, line: &str) {
        keep(&mut self.lines, REMEMBERED_LINES, image, line.to_owned());
    }
    fn files(&self, hash: &str) -> Option<&Files> {
        self.copies.iter().find(|(known, _)| known == hash).map(|(_, files)| files)
    }
    fn line(&self, image: &str) -> Option<&str> {
        self.lines.iter().find(|(known, _)| known == image).map(|(_, line)| line.as_str())
    }
}

impl Engine {
    pub(super) fn remember_files(&self, hash: &str, files: &Files) {
        self.build_memory.lock().unwrap_or_else(PoisonError::into_inner).keep_files(hash, files);
    }
    pub(super) fn remember_line(&self, image: &str, line: &str) {
        self.build_memory.lock().unwrap_or_else(PoisonError::into_inner).keep_line(image, line);
    }
}

/// A step as its image's configuration describes it.
#[derive(Debug, PartialEq, Eq)]
struct Step {
    /// `KEY=value` of the build arguments that a RUN may read.
    arguments: BTreeMap<String, String>,
    /// Without the hash of a COPY or ADD.
    line: String,
    /// Of a COPY or ADD.
    hash: Option<String>,
}

impl Step {
    fn read(words: &[String]) -> Self {
        let count = words.first().and_then(|word| word.strip_prefix('|')?.parse::<usize>().ok());
        let (arguments, words) = match count {
            Some(count) if count < words.len() => words[1..].split_at(count),
            _ => (&[][..], words),
        };
        let arguments = arguments
            .iter()
            .map(|argument| argument.split_once('=').unwrap_or((argument, "")))
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .collect();
        let all = words.join(" ");
        let Some((_, instruction)) = all.split_once("#(nop) ") else {
            let shell = words.len() == 3 && words[1] == "-c";
            let line = if shell { format!("RUN {}", words[2]) } else { format!("RUN {all}") };
            return Self { arguments, line, hash: None };
        };
        let instruction = instruction.trim();
        let is_copy = instruction.starts_with("COPY ") || instruction.starts_with("ADD ");
        let hash = instruction
            .rsplit_once(" in ")
            .filter(|_| is_copy)
            .and_then(|(front, _)| front.rsplit(' ').next())
            .map(ToOwned::to_owned);
        let line = match &hash {
            Some(hash) => instruction.replacen(&format!("{hash} in "), "… ", 1),
            None => instruction.to_owned(),
        };
        Self { arguments, line, hash }
    }

    fn verb(&self) -> &str {
        self.line.split(' ').next().unwrap_or_default()
    }
}

/// Finds the reason. `former` are the images that were built on top of the same image, newest first: ID and the words of
/// what created it. `line` is the step as written; `files` are what it reads.
pub(crate) fn why(
    memory: &Memory,
    former: &[(&str, &[String])],
    line: &str,
    step: &[String],
    files: &Files,
) -> CacheMiss {
    let step = Step::read(step);
    let steps: Vec<(&str, Step)> = former.iter().map(|(image, words)| (*image, Step::read(words))).collect();
    // COPY of other sources to the same place is another line.
    let is_this_line = |image: &str| memory.line(image).is_none_or(|before| before == line);
    let copied =
        |(image, before): &&(&str, Step)| before.hash.is_some() && before.line == step.line && is_this_line(image);
    if let Some((_, before)) = steps.iter().find(copied) {
        return compared(before.hash.as_deref().and_then(|hash| memory.files(hash)), before, &step, files);
    }
    if let Some((_, before)) = steps.iter().find(|(_, before)| before.hash.is_none() && before.line == step.line) {
        return argument(before, &step);
    }
    match steps.first() {
        Some((image, before)) if before.verb() == step.verb() => {
            let before = memory.line(image).map_or_else(|| before.line.clone(), ToOwned::to_owned);
            CacheMiss::Instruction { before }
        }
        _ => CacheMiss::New,
    }
}

fn compared(known: Option<&Files>, before: &Step, step: &Step, files: &Files) -> CacheMiss {
    let is_one_file = |step: &Step| step.hash.as_ref().is_some_and(|hash| hash.starts_with("file:"));
    let (mut changed, mut added, mut removed) = (Vec::new(), Vec::new(), Vec::new());
    match known {
        Some(known) => {
            let old: BTreeMap<&str, u64> = known.iter().map(|(path, hash)| (path.as_str(), *hash)).collect();
            let new: BTreeMap<&str, u64> = files.iter().map(|(path, hash)| (path.as_str(), *hash)).collect();
            for (path, hash) in &new {
                match old.get(path) {
                    None => added.push((*path).to_owned()),
                    Some(former) if former != hash => changed.push((*path).to_owned()),
                    Some(_) => {}
                }
            }
            removed.extend(old.keys().filter(|path| !new.contains_key(*path)).map(|path| (*path).to_owned()));
        }
        // One file then, one file now, under the same line.
        None if is_one_file(before) && is_one_file(step) => changed.extend(files.iter().map(|(path, _)| path.clone())),
        None => {}
    }
    CacheMiss::Files { changed, added, removed }
}

fn argument(before: &Step, step: &Step) -> CacheMiss {
    let names: BTreeSet<&String> = before.arguments.keys().chain(step.arguments.keys()).collect();
    for name in names {
        let (old, new) = (before.arguments.get(name), step.arguments.get(name));
        if old != new {
            return CacheMiss::Argument { name: name.clone(), before: old.cloned(), now: new.cloned() };
        }
    }
    CacheMiss::New
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(words: &[&str]) -> Vec<String> {
        words.iter().map(|word| (*word).to_owned()).collect()
    }
    fn run(line: &str) -> Vec<String> {
        words(&["/bin/sh", "-c", line])
    }
    fn copy(hash: &str) -> Vec<String> {
        run(&format!("#(nop) COPY {hash} in /app/ "))
    }
    fn reason(memory: &Memory, former: &[Vec<String>], step: &[String], files: &[(&str, u64)]) -> String {
        let former: Vec<(&str, &[String])> = former.iter().map(|words| ("sha256:1", words.as_slice())).collect();
        let files = files.iter().map(|(path, hash)| ((*path).to_owned(), *hash)).collect();
        why(memory, &former, "COPY . /app/", step, &files).to_string()
    }

    #[test]
    fn a_changed_file_is_named() {
        let memory = Memory::default();
        assert_eq!(reason(&memory, &[copy("file:1")], &copy("file:2"), &[("app.py", 2)]), "app.py changed");
    }

    #[test]
    fn files_of_a_directory_are_compared_with_what_is_remembered() {
        let mut memory = Memory::default();
        let files = |files: &[(&str, u64)]| files.iter().map(|(path, hash)| ((*path).to_owned(), *hash)).collect();
        memory.keep_files("dir:1", &files(&[("app.py", 1), ("old.py", 1), ("same.py", 1)]));
        let now = [("app.py", 2), ("new.py", 1), ("same.py", 1)];
        let text = reason(&memory, &[copy("dir:1")], &copy("dir:2"), &now);
        assert_eq!(text, "app.py changed; new.py added; old.py removed");
        let text = reason(&Memory::default(), &[copy("dir:1")], &copy("dir:2"), &now);
        assert_eq!(text, "a file that it copies changed");
    }

    #[test]
    fn another_line_on_the_same_image_is_quoted_as_it_was_written() {
        let mut memory = Memory::default();
        let text = reason(&memory, &[run("pip install flask")], &run("pip install flask gunicorn"), &[]);
        assert_eq!(text, "the line changed; before, it was RUN pip install flask");
        memory.keep_line("sha256:1", "COPY app.py /srv/");
        let other = run("#(nop) COPY file:1 in /srv/ ");
        let text = reason(&memory, &[other], &copy("file:1"), &[("app.py", 1)]);
        assert_eq!(text, "the line changed; before, it was COPY app.py /srv/");
    }

    #[test]
    fn a_build_argument_is_named() {
        let with = |value: &str| words(&["|1", value, "/bin/sh", "-c", "echo $A"]);
        let text = reason(&Memory::default(), &[with("A=1")], &with("A=2"), &[]);
        assert_eq!(text, "A is 2; before, it was 1");
        assert_eq!(reason(&Memory::default(), &[run("echo $A")], &with("A=2"), &[]), "A is 2; before, it was not set");
    }

    #[test]
    fn a_line_of_another_kind_is_no_former_version() {
        let text = reason(&Memory::default(), &[run("pip install flask")], &copy("file:1"), &[("a", 1)]);
        assert_eq!(text, "this line was not built on this image before");
    }
}
