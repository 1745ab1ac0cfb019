//! Checks: typed expectations on engine state, and the mistakes that explain a red one.

mod json_schema;
mod matcher;
pub(crate) mod read;
mod schema;

use serde::Serialize;

pub use json_schema::json_schema;
pub use matcher::{Actual, Matcher, NumberRange};
pub use schema::{Field, FieldType, Kind};

use crate::source::Span;

/// One ` ```check ` block.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct Check {
    pub expectations: Vec<Expectation>,
    pub mistakes: Vec<Mistake>,
    #[serde(skip)]
    pub span: Span,
}

/// What must be true of at least one object of a kind (or of exactly `count` of them).
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Expectation {
    pub kind: Kind,
    pub fields: Vec<FieldExpectation>,
    /// How many objects must fit; `None` is at least one.
    pub count: Option<NumberRange>,
    #[serde(skip)]
    pub span: Span,
}

/// A field with what its value must be. Fields that steer the observation itself (`url`, `requests`, `command` of an
/// exec) hold it as an equal matcher.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct FieldExpectation {
    pub field: String,
    pub matcher: Matcher,
}

/// A known wrong turn: when all of `when` holds in a red step, `say` is shown.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Mistake {
    pub when: Vec<Expectation>,
    pub say: String,
    #[serde(skip)]
    pub span: Span,
}

impl Expectation {
    /// The matcher of a field.
    pub fn field(&self, name: &str) -> Option<&Matcher> {
        self.fields.iter().find(|field| field.field == name).map(|field| &field.matcher)
    }
    /// The one text a steering field holds.
    pub(crate) fn text(&self, name: &str) -> Option<&str> {
        match self.field(name) {
            Some(Matcher::Equal { text }) => Some(text),
            _ => None,
        }
    }
    /// One line for people: ``a container with image `ubuntu` and state `running` ``.
    pub fn describe(&self) -> String {
        let conditions: Vec<String> = self
            .fields
            .iter()
            .filter(|field| !self.kind.steers(&field.field))
            .map(|field| format!("{} {}", field.field.replace('_', " "), field.matcher))
            .collect();
        let with = match conditions.split_last() {
            None => String::new(),
            Some((last, [])) => format!(" with {last}"),
            Some((last, rest)) => format!(" with {} and {last}", rest.join(", ")),
        };
        let noun = match self.kind {
            Kind::Http => format!(
                "an answer from {}{}",
                self.text("url").unwrap_or("?"),
                self.text("from").map(|node| format!(" as seen from {node}")).unwrap_or_default()
            ),
            Kind::Exec => format!("`{}` in a container", self.text("run").unwrap_or("?")),
            Kind::File => format!("the file `{}`", self.text("path").unwrap_or("?")),
            Kind::Registry => format!("`{}` in its registry", self.text("image").unwrap_or("?")),
            Kind::Layer => format!("the layers of `{}`", self.text("image").unwrap_or("?")),
            _ => format!("{} {}", self.kind.article(), self.kind.noun()),
        };
        match self.count {
            None => format!("{noun}{with}"),
            Some(range) if range == NumberRange::exactly(0) => format!("no {}{with}", self.kind.noun()),
            Some(range) => format!("{range} {}s{with}", self.kind.noun()),
        }
    }
}
