//! The parsed form of a template, and its text as Go's errors quote it.

use std::fmt;

/// A piece of a template. `at` is the byte offset that errors turn into line and column.
#[derive(Debug)]
pub(super) enum Node {
    Text(String),
    Action(Pipeline),
    If {
        condition: Pipeline,
        then: Vec<Node>,
        otherwise: Vec<Node>,
    },
    With {
        value: Pipeline,
        then: Vec<Node>,
        otherwise: Vec<Node>,
    },
    Range {
        value: Pipeline,
        body: Vec<Node>,
        otherwise: Vec<Node>,
    },
    Break,
    Continue,
    /// `{{template "name" pipeline}}`.
    Call {
        at: usize,
        name: String,
        argument: Option<Pipeline>,
    },
}

/// `$a, $b := command | command`.
#[derive(Debug)]
pub(super) struct Pipeline {
    pub at: usize,
    pub variables: Vec<String>,
    /// `=` changes variables, `:=` makes them.
    pub assigns: bool,
    pub commands: Vec<Vec<Operand>>,
}

/// One word of a command.
#[derive(Debug)]
pub(super) struct Operand {
    pub at: usize,
    pub kind: Kind,
}

#[derive(Debug)]
pub(super) enum Kind {
    Dot,
    Nil,
    Bool(bool),
    Int {
        value: i64,
        text: String,
    },
    Float {
        value: f64,
        text: String,
    },
    Text {
        value: String,
        quoted: String,
    },
    /// `.A.B`
    Field(Vec<String>),
    /// `$`, `$name`, `$name.A`.
    Variable(Vec<String>),
    Function(String),
    Group(Box<Pipeline>),
    /// `(pipeline).A.B`
    Chain(Box<Operand>, Vec<String>),
}

impl fmt::Display for Pipeline {
    fn fmt(&self, output: &mut fmt::Formatter<'_>) -> fmt::Result {
        if !self.variables.is_empty() {
            write!(output, "{} {} ", self.variables.join(", "), if self.assigns { "=" } else { ":=" })?;
        }
        for (index, command) in self.commands.iter().enumerate() {
            if index > 0 {
                output.write_str(" | ")?;
            }
            write_command(output, command)?;
        }
        Ok(())
    }
}

fn write_command(output: &mut fmt::Formatter<'_>, command: &[Operand]) -> fmt::Result {
    for (index, word) in command.iter().enumerate() {
        if index > 0 {
            output.write_str(" ")?;
        }
        write!(output, "{word}")?;
    }
    Ok(())
}

/// A whole command, for errors that quote a function with its arguments.
pub(super) fn command_text(command: &[Operand]) -> String {
    command.iter().map(ToString::to_string).collect::<Vec<_>>().join(" ")
}

impl fmt::Display for Operand {
    fn fmt(&self, output: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.kind {
            Kind::Dot => output.write_str("."),
            Kind::Nil => output.write_str("nil"),
            Kind::Bool(value) => write!(output, "{value}"),
            Kind::Int { text, .. } | Kind::Float { text, .. } => output.write_str(text),
            Kind::Text { quoted, .. } => output.write_str(quoted),
            Kind::Field(path) => write!(output, ".{}", path.join(".")),
            Kind::Variable(path) => output.write_str(&path.join(".")),
            Kind::Function(name) => output.write_str(name),
            Kind::Group(pipeline) => write!(output, "({pipeline})"),
            Kind::Chain(inner, path) => write!(output, "{inner}.{}", path.join(".")),
        }
    }
}
