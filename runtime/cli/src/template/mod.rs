//! Go templates, as `--format` uses them: `text/template` over Docker's values, with Go's errors.

mod evaluate;
mod functions;
mod go_types;
mod lex;
mod node;
mod parse;
mod print;
mod value;

pub(crate) use go_types::typed;
pub(crate) use print::{duration as duration_text, plain as plain_text, time as time_text};
pub(crate) use value::{Element, Row as RowValue, Value};

/// A parsed template.
pub(crate) struct Template {
    name: String,
    source: String,
    parsed: parse::Parsed,
}

impl Template {
    /// Parses; the error is Go's text.
    pub(crate) fn parse(source: &str) -> Result<Self, String> {
        Self::named("", source)
    }
    /// Parses a template that errors call by a name.
    pub(crate) fn named(name: &str, source: &str) -> Result<Self, String> {
        let parsed = parse::parse(name, source)?;
        Ok(Self { name: name.to_owned(), source: source.to_owned(), parsed })
    }
    /// Renders `data`. A failed execution has still written what came before.
    pub(crate) fn execute(&self, data: &Value) -> Result<String, String> {
        let mut output = String::new();
        self.run(data, evaluate::Mode::default(), &mut output).map(|()| output)
    }
    /// Renders untyped JSON, of which a field that is not there is an error.
    pub(crate) fn execute_untyped(&self, data: &serde_json::Value) -> Result<String, String> {
        let mut output = String::new();
        let mode = evaluate::Mode { missing_key_is_error: true, ..Default::default() };
        self.run(&Value::untyped(data), mode, &mut output).map(|()| output)
    }
    /// Renders a table's header line: functions that change text leave it alone.
    pub(crate) fn execute_headers(&self, headers: &Value) -> Result<String, String> {
        let mut output = String::new();
        self.run(headers, evaluate::Mode { headers: true, ..Default::default() }, &mut output).map(|()| output)
    }
    fn run(&self, data: &Value, mode: evaluate::Mode, output: &mut String) -> Result<(), String> {
        evaluate::execute(&self.name, &self.source, &self.parsed, data, mode, output)
    }
}

#[cfg(test)]
mod tests;
