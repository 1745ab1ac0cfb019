//! The shell's syntax tree.

use std::sync::Arc;

/// A part of a word.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Piece {
    /// Text in which `*`, `?` and `[` are patterns.
    Bare(String),
    /// Text as it is.
    Quoted(String),
    Parameter {
        name: String,
        operation: Option<(String, Word)>,
        quoted: bool,
    },
    Command {
        list: List,
        quoted: bool,
    },
    Arithmetic {
        expression: Word,
        quoted: bool,
    },
}

pub(super) type Word = Vec<Piece>;
pub(super) type List = Vec<Item>;

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Redirect {
    Read {
        target: Word,
    },
    Write {
        descriptor: u8,
        target: Word,
        append: bool,
    },
    /// `2>&1`
    Duplicate {
        descriptor: u8,
        from: u8,
    },
    /// `&>file`
    Both {
        target: Word,
        append: bool,
    },
    Here {
        text: Word,
    },
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Command {
    Simple { assignments: Vec<(String, Word)>, words: Vec<Word> },
    Group(List),
    Subshell(List),
    If { branches: Vec<(List, List)>, otherwise: List },
    Loop { condition: List, body: List, until: bool },
    For { name: String, words: Option<Vec<Word>>, body: List },
    Case { word: Word, arms: Vec<(Vec<Word>, List)> },
    Function { name: String, body: Arc<Stage> },
}

/// A command with its redirections.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Stage {
    pub(super) command: Command,
    pub(super) redirects: Vec<Redirect>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Pipeline {
    pub(super) negated: bool,
    pub(super) stages: Vec<Stage>,
}

/// Pipelines joined by `&&` (true) and `||` (false).
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Item {
    pub(super) first: Pipeline,
    pub(super) rest: Vec<(bool, Pipeline)>,
    pub(super) background: bool,
    /// As it was written, for `jobs` and `ps`.
    pub(super) source: String,
}
