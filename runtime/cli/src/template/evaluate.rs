use serde_json::Value;

use super::{
    functions,
    parse::{Node, Operand, Pipeline},
};

struct Scope<'a> {
    root: &'a Value,
    variables: Vec<(String, Value)>,
    /// Rendering a header line: fields are column titles.
    headers: bool,
    output: String,
}

pub(super) fn execute(nodes: &[Node], data: &Value, headers: bool) -> Result<String, String> {
    let mut scope = Scope { root: data, variables: Vec::new(), headers, output: String::new() };
    scope.nodes(nodes, data)?;
    Ok(scope.output)
}

impl Scope<'_> {
    fn nodes(&mut self, nodes: &[Node], dot: &Value) -> Result<(), String> {
        for node in nodes {
            match node {
                Node::Text(text) => self.output.push_str(text),
                Node::Action(pipeline) => {
                    let value = self.pipeline(pipeline, dot)?;
                    if pipeline.variables.is_empty() {
                        let text = functions::print(&value);
                        self.output.push_str(&text);
                    } else {
                        self.bind(&pipeline.variables, [Value::Null, value]);
                    }
                }
                Node::If { condition, then, otherwise } => {
                    let known = self.variables.len();
                    let value = self.pipeline(condition, dot)?;
                    let truth = functions::is_true(&value);
                    self.bind(&condition.variables, [Value::Null, value]);
                    self.nodes(if truth { then } else { otherwise }, dot)?;
                    self.variables.truncate(known);
                }
                Node::With { value, then, otherwise } => {
                    let known = self.variables.len();
                    let inner = self.pipeline(value, dot)?;
                    self.bind(&value.variables, [Value::Null, inner.clone()]);
                    if functions::is_true(&inner) {
                        self.nodes(then, &inner)?;
                    } else {
                        self.nodes(otherwise, dot)?;
                    }
                    self.variables.truncate(known);
                }
                Node::Range { value, body, otherwise } => self.range(value, body, otherwise, dot)?,
            }
        }
        Ok(())
    }

    fn range(&mut self, value: &Pipeline, body: &[Node], otherwise: &[Node], dot: &Value) -> Result<(), String> {
        let list = self.pipeline(value, dot)?;
        let mut items: Vec<(Value, Value)> = match list {
            Value::Array(items) => {
                items.into_iter().enumerate().map(|(index, item)| (Value::from(index), item)).collect()
            }
            Value::Object(map) => {
                let mut items: Vec<_> = map.into_iter().map(|(key, item)| (Value::String(key), item)).collect();
                items.sort_by(|left, right| left.0.as_str().cmp(&right.0.as_str()));
                items
            }
            Value::Null => Vec::new(),
            other => return Err(format!("range can't iterate over {}", functions::print(&other))),
        };
        if items.is_empty() {
            return self.nodes(otherwise, dot);
        }
        for (key, item) in items.drain(..) {
            let known = self.variables.len();
            self.bind(&value.variables, [key, item.clone()]);
            self.nodes(body, &item)?;
            self.variables.truncate(known);
        }
        Ok(())
    }

    /// One name takes the value, two take key and value.
    fn bind(&mut self, names: &[String], [key, value]: [Value; 2]) {
        match names {
            [] => {}
            [name] => self.variables.push((name.clone(), value)),
            [first, second, ..] => {
                self.variables.push((first.clone(), key));
                self.variables.push((second.clone(), value));
            }
        }
    }

    fn pipeline(&self, pipeline: &Pipeline, dot: &Value) -> Result<Value, String> {
        let mut piped: Option<Value> = None;
        for command in &pipeline.commands {
            piped = Some(self.command(command, piped, dot)?);
        }
        Ok(piped.unwrap_or(Value::Null))
    }

    fn command(&self, command: &[Operand], piped: Option<Value>, dot: &Value) -> Result<Value, String> {
        let Some((first, rest)) = command.split_first() else { return Ok(Value::Null) };
        let mut arguments = rest.iter().map(|operand| self.operand(operand, dot)).collect::<Result<Vec<_>, _>>()?;
        arguments.extend(piped);
        match first {
            Operand::Function(name) => functions::call(name, arguments, self.headers),
            // `.Label "name"` is a method of listings.
            Operand::Field { path, .. } if !arguments.is_empty() && path.last().is_some_and(|name| name == "Label") => {
                let wanted = functions::print(&arguments[0]);
                if self.headers {
                    let last = wanted.rsplit('.').next().unwrap_or(&wanted);
                    return Ok(Value::from(last.replace(['-', '_'], " ").to_uppercase()));
                }
                let labels = dot.get("Labels").and_then(Value::as_str).unwrap_or_default();
                let found = labels.split(',').find_map(|label| label.strip_prefix(&format!("{wanted}=")));
                Ok(Value::from(found.unwrap_or_default()))
            }
            operand => self.operand(operand, dot),
        }
    }

    fn operand(&self, operand: &Operand, dot: &Value) -> Result<Value, String> {
        match operand {
            Operand::Literal(value) => Ok(value.clone()),
            Operand::Field { path, column } => self.fields(dot.clone(), path, *column, ""),
            Operand::Variable { name, path, column } => {
                let value = if name.is_empty() {
                    self.root.clone()
                } else {
                    let known = self.variables.iter().rev().find(|(known, _)| known == name);
                    known
                        .map(|(_, value)| value.clone())
                        .ok_or_else(|| format!("template: :1: undefined variable \"${name}\""))?
                };
                self.fields(value, path, *column, &format!("${name}"))
            }
            Operand::Group { pipeline, path, column } => self.fields(self.pipeline(pipeline, dot)?, path, *column, ""),
            Operand::Function(name) => functions::call(name, Vec::new(), self.headers),
        }
    }

    fn fields(&self, mut value: Value, path: &[String], column: usize, prefix: &str) -> Result<Value, String> {
        for name in path {
            let next = match &value {
                Value::Object(map) => map.get(name).cloned().or_else(|| {
                    // Go's field names differ from the JSON keys in case only (`.ID`, `.Id`).
                    map.iter().find(|(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, found)| found.clone())
                }),
                Value::Null => {
                    let chain = format!("{prefix}.{}", path.join("."));
                    return Err(format!(
                        "template: :1:{column}: executing \"\" at <{chain}>: nil pointer evaluating interface {{}}.{name}"
                    ));
                }
                _ => None,
            };
            value = match next {
                Some(next) => next,
                None if self.headers => return Ok(Value::from("")),
                None => {
                    let chain = format!("{prefix}.{}", path.join("."));
                    return Err(format!(
                        "template: :1:{column}: executing \"\" at <{chain}>: map has no entry for key {name:?}"
                    ));
                }
            };
        }
        Ok(value)
    }
}
