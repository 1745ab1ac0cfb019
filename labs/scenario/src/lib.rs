//! The scenario format: a lab is one Markdown file whose steps can be verified.
//!
//! [`parse()`] turns the text into a [`Scenario`] and reports every authoring fault with its place. An [`Evaluator`]
//! compares a step's [`Expectation`]s with what engines really hold, through [`docklab_api::DockerApi`] and the small
//! trait [`Workspace`]. [`test()`] plays a whole scenario through a [`Player`] and proves each check red before and
//! green after. [`lint()`] judges taste.
//!
//! The crate is pure: no clock, files or sockets, and it compiles to wasm32.

mod capture;
pub mod check;
mod diagnostic;
mod document;
mod evaluate;
mod facts;
mod format;
mod html;
mod import;
mod include;
mod junit;
mod lint;
mod mutants;
mod output;
mod parse;
mod plain;
mod progress;
mod report;
mod runner;
mod source;
mod submission;
mod template;
mod variables;
mod watch;
mod workspace;

pub use capture::Captured;
pub use check::{Check, Expectation, Field, FieldExpectation, FieldType, Kind, Matcher, Mistake, json_schema};
pub use diagnostic::{Diagnostic, Diagnostics, Severity};
pub use document::{Belongings, Block, Choice, Commands, Diagram, Level, Meta, Mode, NoteKind, Quiz, Scenario, Step};
pub use evaluate::{Candidate, Difference, Evaluator, ExpectationReport, StepReport};
pub use format::format;
pub use import::{ImportError, Imported, from_killercoda, from_training_page};
pub use include::{Expanded, IncludeError, expand, wanted};
pub use junit::junit;
pub use lint::{RULES, lint};
pub use mutants::{Mutant, MutantKind, mutants};
pub use output::{OutputMismatch, match_output};
pub use parse::{Parsed, parse};
pub use plain::plain;
pub use progress::{Progress, StepProgress};
pub use report::{Problem, ProblemKind, RouteKind, RouteReport, Tally, TestReport, table};
pub use runner::{
    Part, PlayError, Played, Player, Route, Scope, plan, plan_steps, play_before, play_part, play_step, test,
};
pub use source::{Position, Source, Span};
pub use submission::{SUBMISSION_FORMAT, SavedFile, Submission, TypedCommand};
pub use template::template;
pub use variables::{UnknownVariable, with_variables};
pub use watch::Watch;
pub use workspace::{HttpAnswer, HttpRequest, Workspace, WorkspaceError};

/// Lets a continuous integration server that reads problem matchers show what `docklab lint` prints beside the text.
pub const PROBLEM_MATCHER: &str = include_str!("../problem-matcher.json");
