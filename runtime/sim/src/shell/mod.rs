//! The shell: parser, evaluator, line editor.

mod arithmetic;
mod builtins;
mod editor;
mod evaluate;
mod expand;
mod handle;
mod parser;
mod pattern;
mod redirect;
mod syntax;

pub(crate) use builtins::test_expression;
pub(crate) use evaluate::run;
pub use handle::NodeShell;
pub(crate) use pattern::matches;
