//! Running a parsed template, with the errors of Go's `text/template`.

use super::{
    functions::{self, Parameter},
    node::{Kind, Node, Operand, Pipeline, command_text},
    parse::Parsed,
    print::shown,
    value::{Element, Value},
};

/// How a template is run.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Mode {
    /// A header line: fields are titles, functions leave them alone.
    pub headers: bool,
    /// `missingkey=error`.
    pub missing_key_is_error: bool,
}

enum Flow {
    Next,
    Break,
    Continue,
}

type Outcome<T> = Result<T, String>;

/// Writes what the template makes of `data`.
pub(super) fn execute(
    name: &str,
    source: &str,
    parsed: &Parsed,
    data: &Value,
    mode: Mode,
    output: &mut String,
) -> Outcome<()> {
    let variables = vec![("$".to_owned(), data.clone())];
    let mut run = Run { name, source, parsed, mode, variables, place: (0, String::new()), depth: 0, output };
    run.list(&parsed.nodes, data).map(|_| ())
}

struct Run<'a> {
    name: &'a str,
    source: &'a str,
    parsed: &'a Parsed,
    mode: Mode,
    variables: Vec<(String, Value)>,
    /// The node that an error is reported at: its offset and text.
    place: (usize, String),
    depth: usize,
    output: &'a mut String,
}

impl Run<'_> {
    fn at(&mut self, operand: &Operand) {
        self.place = (operand.at, operand.to_string());
    }

    fn fail<T>(&self, message: impl AsRef<str>) -> Outcome<T> {
        let (at, text) = &self.place;
        let before = &self.source[..(*at).min(self.source.len())];
        let line = 1 + before.matches('\n').count();
        let column = before.rfind('\n').map_or(*at, |newline| at - newline - 1);
        Err(format!(
            "template: {}:{line}:{column}: executing {} at <{text}>: {}",
            self.name,
            crate::format::quote(self.name),
            message.as_ref()
        ))
    }

    fn list(&mut self, nodes: &[Node], dot: &Value) -> Outcome<Flow> {
        for node in nodes {
            match self.node(node, dot)? {
                Flow::Next => {}
                stop => return Ok(stop),
            }
        }
        Ok(Flow::Next)
    }

    fn node(&mut self, node: &Node, dot: &Value) -> Outcome<Flow> {
        let known = self.variables.len();
        match node {
            Node::Text(text) => self.output.push_str(text),
            Node::Break => return Ok(Flow::Break),
            Node::Continue => return Ok(Flow::Continue),
            Node::Action(pipeline) => {
                let value = self.pipeline(pipeline, dot)?;
                if pipeline.variables.is_empty() {
                    self.output.push_str(&shown(&value));
                }
            }
            Node::If { condition, then, otherwise } => {
                let value = self.pipeline(condition, dot)?;
                let flow = self.list(if value.is_true() { then } else { otherwise }, dot)?;
                self.variables.truncate(known);
                return Ok(flow);
            }
            Node::With { value, then, otherwise } => {
                let inner = self.pipeline(value, dot)?;
                let flow = if inner.is_true() { self.list(then, &inner)? } else { self.list(otherwise, dot)? };
                self.variables.truncate(known);
                return Ok(flow);
            }
            Node::Range { value, body, otherwise } => {
                self.range(value, body, otherwise, dot)?;
                self.variables.truncate(known);
            }
            Node::Call { at, name, argument } => self.call_template(*at, name, argument.as_ref(), dot)?,
        }
        Ok(Flow::Next)
    }

    fn call_template(&mut self, at: usize, name: &str, argument: Option<&Pipeline>, dot: &Value) -> Outcome<()> {
        let quoted = crate::format::quote(name);
        let shown = match argument {
            Some(argument) => format!("{{{{template {quoted} {argument}}}}}"),
            None => format!("{{{{template {quoted}}}}}"),
        };
        self.place = (at, shown);
        let Some(nodes) = self.parsed.defined.get(name) else {
            return self.fail(format!("template {quoted} not defined"));
        };
        if self.depth >= 1000 {
            return self.fail("exceeded maximum template depth (1000)");
        }
        let inner = match argument {
            Some(argument) => self.pipeline(argument, dot)?,
            None => Value::Nothing,
        };
        let outer = std::mem::replace(&mut self.variables, vec![("$".to_owned(), inner.clone())]);
        self.depth += 1;
        self.list(nodes, &inner)?;
        self.depth -= 1;
        self.variables = outer;
        Ok(())
    }

    fn range(&mut self, value: &Pipeline, body: &[Node], otherwise: &[Node], dot: &Value) -> Outcome<()> {
        let known = self.variables.len();
        let over = self.pipeline_value(value, dot)?;
        let items: Vec<(Value, Value)> = match over {
            Value::List(items) => items
                .into_iter()
                .flatten()
                .enumerate()
                .map(|(index, item)| (Value::Int(i64::try_from(index).unwrap_or(0)), item))
                .collect(),
            Value::Map(entries, _) => {
                entries.into_iter().flatten().map(|(key, item)| (Value::Text(key), item)).collect()
            }
            Value::Int(count) => (0..count).map(|index| (Value::Int(index), Value::Int(index))).collect(),
            Value::Nothing | Value::NilPointer(_) => Vec::new(),
            other => return self.fail(format!("range can't iterate over {}", super::print::plain(&other))),
        };
        if items.is_empty() {
            self.list(otherwise, dot)?;
            return Ok(());
        }
        for (key, item) in items {
            match value.variables.as_slice() {
                [] => {}
                [name] => self.bind(name, item.clone(), value.assigns),
                [first, second, ..] => {
                    self.bind(first, key, value.assigns);
                    self.bind(second, item.clone(), value.assigns);
                }
            }
            let flow = self.list(body, &item)?;
            self.variables.truncate(known);
            if matches!(flow, Flow::Break) {
                break;
            }
        }
        Ok(())
    }

    fn bind(&mut self, name: &str, value: Value, assigns: bool) {
        if assigns && let Some(known) = self.variables.iter_mut().rev().find(|(known, _)| known == name) {
            known.1 = value;
            return;
        }
        self.variables.push((name.to_owned(), value));
    }

    fn pipeline(&mut self, pipeline: &Pipeline, dot: &Value) -> Outcome<Value> {
        let value = self.pipeline_value(pipeline, dot)?;
        for name in &pipeline.variables {
            self.bind(name, value.clone(), pipeline.assigns);
        }
        Ok(value)
    }

    /// The value alone, without setting variables.
    fn pipeline_value(&mut self, pipeline: &Pipeline, dot: &Value) -> Outcome<Value> {
        self.place = (pipeline.at, pipeline.to_string());
        let mut piped = None;
        for command in &pipeline.commands {
            piped = Some(self.command(command, piped, dot)?);
        }
        Ok(piped.unwrap_or(Value::Nothing))
    }

    fn command(&mut self, command: &[Operand], piped: Option<Value>, dot: &Value) -> Outcome<Value> {
        let Some((first, rest)) = command.split_first() else { return Ok(Value::Nothing) };
        match &first.kind {
            Kind::Field(_) | Kind::Variable(_) | Kind::Chain(..) => self.access(first, rest, piped, dot),
            Kind::Function(name) => self.function(first, name, command, piped, dot),
            kind => {
                self.at(first);
                if !rest.is_empty() || piped.is_some() {
                    return self.fail(format!("can't give argument to non-function {first}"));
                }
                if matches!(kind, Kind::Nil) {
                    return self.fail("nil is not a command");
                }
                self.operand(first, dot)
            }
        }
    }

    /// A value on its own, without arguments.
    fn operand(&mut self, operand: &Operand, dot: &Value) -> Outcome<Value> {
        Ok(match &operand.kind {
            Kind::Dot => dot.clone(),
            Kind::Nil => Value::Nothing,
            Kind::Bool(value) => Value::Bool(*value),
            Kind::Int { value, .. } => Value::Int(*value),
            Kind::Float { value, .. } => Value::Float(*value),
            Kind::Text { value, .. } => Value::Text(value.clone()),
            Kind::Group(pipeline) => return self.pipeline(pipeline, dot),
            Kind::Function(name) => return self.function(operand, name, std::slice::from_ref(operand), None, dot),
            Kind::Field(_) | Kind::Variable(_) | Kind::Chain(..) => return self.access(operand, &[], None, dot),
        })
    }

    /// Fields of the dot, of a variable or of a pipeline; the last may be a method with arguments.
    fn access(
        &mut self,
        operand: &Operand,
        arguments: &[Operand],
        piped: Option<Value>,
        dot: &Value,
    ) -> Outcome<Value> {
        self.at(operand);
        let (mut value, path): (Value, &[String]) = match &operand.kind {
            Kind::Field(path) => (dot.clone(), path),
            Kind::Variable(path) => {
                let name = path.first().map(String::as_str).unwrap_or_default();
                let known = self.variables.iter().rev().find(|(known, _)| known == name);
                let Some((_, value)) = known else { return self.fail(format!("undefined variable: {name}")) };
                (value.clone(), &path[1..])
            }
            Kind::Chain(inner, path) => {
                if matches!(inner.kind, Kind::Nil) {
                    return self.fail(format!("indirection through explicit nil in {operand}"));
                }
                (self.operand(inner, dot)?, path)
            }
            _ => return Ok(Value::Nothing),
        };
        let Some((last, before)) = path.split_last() else {
            if !arguments.is_empty() || piped.is_some() {
                return self.fail(format!("can't give argument to non-function {operand}"));
            }
            return Ok(value);
        };
        for name in before {
            value = self.field(&value, name, &[], None, dot)?;
        }
        self.field(&value, last, arguments, piped, dot)
    }

    fn field(
        &mut self,
        value: &Value,
        name: &str,
        arguments: &[Operand],
        piped: Option<Value>,
        dot: &Value,
    ) -> Outcome<Value> {
        let has_arguments = !arguments.is_empty() || piped.is_some();
        match value {
            Value::Row(row) => {
                if name == "Label" && row.labels.is_some() {
                    return self.label(row, arguments, piped, dot);
                }
                let found = row.fields.iter().find(|(known, _)| *known == name);
                let Some((_, found)) = found else {
                    if self.mode.headers {
                        return Ok(Value::Nothing);
                    }
                    return self.fail(format!("can't evaluate field {name} in type {}", row.type_name));
                };
                if has_arguments {
                    let given = arguments.len() + usize::from(piped.is_some());
                    return self.fail(format!("wrong number of args for {name}: want 0 got {given}"));
                }
                Ok(found.clone())
            }
            Value::Struct(object) => match object.field(name) {
                Some(_) if has_arguments => {
                    self.fail(format!("{name} has arguments but cannot be invoked as function"))
                }
                Some(found) => Ok(found),
                None => {
                    // Docker runs this one template on a pointer.
                    let star = if object.name == "events.Message" { "*" } else { "" };
                    self.fail(format!("can't evaluate field {name} in type {star}{}", object.name))
                }
            },
            Value::Map(_, _) if has_arguments => self.fail(format!("{name} is not a method but has arguments")),
            Value::Map(entries, element) => match entries.as_ref().and_then(|entries| entries.get(name)) {
                Some(found) => Ok(found.clone()),
                None if self.mode.missing_key_is_error => {
                    self.fail(format!("map has no entry for key {}", crate::format::quote(name)))
                }
                None if *element == Element::Text => Ok(Value::Nothing),
                None => Ok(Value::Nothing),
            },
            Value::Nothing if self.mode.missing_key_is_error => {
                self.fail(format!("nil pointer evaluating interface {{}}.{name}"))
            }
            Value::Nothing => Ok(Value::Nothing),
            Value::NilPointer(kind) => self.fail(format!("nil pointer evaluating *{kind}.{name}")),
            other => self.fail(format!("can't evaluate field {name} in type {}", other.type_name())),
        }
    }

    /// `.Label "name"`, the one method of listings that takes an argument.
    fn label(
        &mut self,
        row: &super::value::Row,
        arguments: &[Operand],
        piped: Option<Value>,
        dot: &Value,
    ) -> Outcome<Value> {
        let given = arguments.len() + usize::from(piped.is_some());
        if given != 1 {
            return self.fail(format!("wrong number of args for Label: want 1 got {given}"));
        }
        let wanted = match piped {
            Some(value) => value,
            None => self.argument(&arguments[0], Parameter::Text, dot)?,
        };
        let wanted = super::print::plain(&wanted);
        if self.mode.headers {
            let last = wanted.rsplit('.').next().unwrap_or(&wanted);
            return Ok(Value::Text(last.replace(['-', '_'], " ")));
        }
        let found = row.labels.as_ref().and_then(|labels| labels.get(&wanted)).cloned();
        Ok(Value::Text(found.unwrap_or_default()))
    }

    fn function(
        &mut self,
        operand: &Operand,
        name: &str,
        command: &[Operand],
        piped: Option<Value>,
        dot: &Value,
    ) -> Outcome<Value> {
        self.at(operand);
        let arguments = command.get(1..).unwrap_or_default();
        let Some(signature) = functions::signature(name) else {
            return self.fail(format!("{} is not a defined function", crate::format::quote(name)));
        };
        let given = arguments.len() + usize::from(piped.is_some());
        let wanted = signature.fixed.len();
        if signature.variadic && given < wanted {
            return self.fail(format!("wrong number of args for {name}: want at least {wanted} got {given}"));
        }
        if !signature.variadic && given != wanted {
            return self.fail(format!("wrong number of args for {name}: want {wanted} got {given}"));
        }
        let parameter = |index: usize| signature.fixed.get(index).copied().unwrap_or(Parameter::Any);
        if matches!(name, "and" | "or") {
            return self.short_circuit(name == "and", arguments, piped, dot);
        }
        let mut values = Vec::with_capacity(given);
        for (index, argument) in arguments.iter().enumerate() {
            values.push(self.argument(argument, parameter(index), dot)?);
        }
        if let Some(piped) = piped {
            values.push(self.checked(piped, parameter(values.len()))?);
        }
        functions::call(name, &values, self.mode.headers).or_else(|message| {
            self.place = (operand.at, command_text(command));
            let message = if name == "call" {
                message.replacen("{}", &arguments.first().map(ToString::to_string).unwrap_or_default(), 1)
            } else {
                message
            };
            self.fail(format!("error calling {name}: {message}"))
        })
    }

    /// `and` and `or` evaluate no more than they need.
    fn short_circuit(&mut self, all: bool, arguments: &[Operand], piped: Option<Value>, dot: &Value) -> Outcome<Value> {
        let mut value = Value::Nothing;
        for argument in arguments {
            value = self.argument(argument, Parameter::Any, dot)?;
            if value.is_true() != all {
                return Ok(value);
            }
        }
        Ok(piped.unwrap_or(value))
    }

    fn argument(&mut self, operand: &Operand, wanted: Parameter, dot: &Value) -> Outcome<Value> {
        self.at(operand);
        match (&operand.kind, wanted) {
            (_, Parameter::Any) | (Kind::Text { .. }, Parameter::Text) | (Kind::Int { .. }, Parameter::Int) => {
                self.operand(operand, dot)
            }
            (Kind::Nil, Parameter::Texts) => Ok(Value::List(None)),
            (Kind::Nil, wanted) => self.fail(format!("cannot assign nil to {}", kind_name(wanted))),
            (Kind::Bool(_) | Kind::Int { .. } | Kind::Float { .. }, Parameter::Text) => {
                self.fail(format!("expected string; found {operand}"))
            }
            (Kind::Text { .. } | Kind::Bool(_) | Kind::Float { .. }, Parameter::Int) => {
                self.fail(format!("expected integer; found {operand}"))
            }
            (Kind::Text { .. } | Kind::Bool(_) | Kind::Int { .. } | Kind::Float { .. }, Parameter::Texts) => {
                self.fail(format!("can't handle {operand} for arg of type []string"))
            }
            (_, wanted) => {
                let value = self.operand(operand, dot)?;
                self.checked(value, wanted)
            }
        }
    }

    fn checked(&self, value: Value, wanted: Parameter) -> Outcome<Value> {
        let fits = match (wanted, &value) {
            (Parameter::Any, _) => true,
            (Parameter::Text, Value::Text(_)) | (Parameter::Int, Value::Int(_)) => true,
            (Parameter::Texts, Value::List(items)) => items.iter().flatten().all(|item| matches!(item, Value::Text(_))),
            _ => false,
        };
        if fits {
            return Ok(value);
        }
        if matches!(value, Value::Nothing) {
            return self.fail(format!("invalid value; expected {}", kind_name(wanted)));
        }
        self.fail(format!("wrong type for value; expected {}; got {}", kind_name(wanted), value.type_name()))
    }
}

fn kind_name(parameter: Parameter) -> &'static str {
    match parameter {
        Parameter::Text => "string",
        Parameter::Int => "int",
        Parameter::Texts => "[]string",
        Parameter::Any => "interface {}",
    }
}
