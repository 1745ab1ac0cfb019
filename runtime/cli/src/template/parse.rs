use serde_json::{Number, Value};

/// A piece of a template.
#[derive(Debug)]
pub(super) enum Node {
    Text(String),
    Action(Pipeline),
    If { condition: Pipeline, then: Vec<Node>, otherwise: Vec<Node> },
    With { value: Pipeline, then: Vec<Node>, otherwise: Vec<Node> },
    Range { value: Pipeline, body: Vec<Node>, otherwise: Vec<Node> },
}

/// `$a, $b := command | command`.
#[derive(Debug)]
pub(super) struct Pipeline {
    pub variables: Vec<String>,
    pub commands: Vec<Vec<Operand>>,
}

#[derive(Debug)]
pub(super) enum Operand {
    Literal(Value),
    /// `.A.B`; empty is the dot itself.
    Field {
        path: Vec<String>,
        column: usize,
    },
    /// `$`, `$name`, then fields.
    Variable {
        name: String,
        path: Vec<String>,
        column: usize,
    },
    Function(String),
    /// `(pipeline).A.B`.
    Group {
        pipeline: Pipeline,
        path: Vec<String>,
        column: usize,
    },
}

enum Piece {
    Text(String),
    Action { text: String, column: usize },
}

pub(super) fn parse(source: &str) -> Result<Vec<Node>, String> {
    let pieces = split(source)?;
    let mut position = 0;
    let (nodes, end) = block(&pieces, &mut position)?;
    match end {
        None => Ok(nodes),
        Some(word) => Err(format!("template: :1: unexpected {{{{{word}}}}}")),
    }
}

fn split(source: &str) -> Result<Vec<Piece>, String> {
    let mut pieces = Vec::new();
    let mut rest = source;
    let mut column = 0;
    let mut trim_next = false;
    while let Some(start) = rest.find("{{") {
        let mut text = &rest[..start];
        let after = &rest[start + 2..];
        let end = after.find("}}").ok_or("template: :1: unclosed action")?;
        let mut action = &after[..end];
        if trim_next {
            text = text.trim_start();
        }
        if action.starts_with("- ") {
            action = &action[1..];
            text = text.trim_end();
        }
        trim_next = action.ends_with(" -");
        if trim_next {
            action = &action[..action.len() - 1];
        }
        if !text.is_empty() {
            pieces.push(Piece::Text(text.to_owned()));
        }
        if !action.trim_start().starts_with("/*") {
            pieces.push(Piece::Action { text: action.to_owned(), column: column + start + 2 });
        }
        column += start + 2 + end + 2;
        rest = &after[end + 2..];
    }
    let rest = if trim_next { rest.trim_start() } else { rest };
    if !rest.is_empty() {
        pieces.push(Piece::Text(rest.to_owned()));
    }
    Ok(pieces)
}

type Block = (Vec<Node>, Option<String>);

/// Reads until `end` or `else`, which is returned.
fn block(pieces: &[Piece], position: &mut usize) -> Result<Block, String> {
    let mut nodes = Vec::new();
    while let Some(piece) = pieces.get(*position) {
        *position += 1;
        match piece {
            Piece::Text(text) => nodes.push(Node::Text(text.clone())),
            Piece::Action { text, column } => {
                let trimmed = text.trim();
                let (word, rest) = trimmed.split_once(char::is_whitespace).unwrap_or((trimmed, ""));
                match word {
                    "end" | "else" => return Ok((nodes, Some(trimmed.to_owned()))),
                    "if" | "with" | "range" => nodes.push(control(word, rest, *column, pieces, position)?),
                    _ => nodes.push(Node::Action(pipeline(text, *column)?)),
                }
            }
        }
    }
    Ok((nodes, None))
}

fn control(word: &str, rest: &str, column: usize, pieces: &[Piece], position: &mut usize) -> Result<Node, String> {
    let value = pipeline(rest, column + word.len() + 1)?;
    let (then, mut end) = block(pieces, position)?;
    let mut otherwise = Vec::new();
    if let Some(more) = end.as_deref().and_then(|end| end.strip_prefix("else")) {
        let more = more.trim();
        if let Some((word @ ("if" | "with"), rest)) = more.split_once(char::is_whitespace) {
            otherwise.push(control(word, rest, column, pieces, position)?);
            end = Some("end".to_owned());
        } else {
            (otherwise, end) = block(pieces, position)?;
        }
    }
    if end.as_deref() != Some("end") {
        return Err("template: :1: unexpected EOF".to_owned());
    }
    Ok(match word {
        "if" => Node::If { condition: value, then, otherwise },
        "with" => Node::With { value, then, otherwise },
        _ => Node::Range { value, body: then, otherwise },
    })
}

struct Reader<'a> {
    text: &'a str,
    at: usize,
    column: usize,
}

fn pipeline(text: &str, column: usize) -> Result<Pipeline, String> {
    let mut reader = Reader { text, at: 0, column };
    let parsed = reader.pipeline()?;
    if reader.peek().is_some() {
        return Err(format!("template: :1: unexpected {:?} in operand", &reader.text[reader.at..]));
    }
    Ok(parsed)
}

impl Reader<'_> {
    fn peek(&self) -> Option<char> {
        self.text[self.at..].chars().next()
    }
    fn skip(&mut self) {
        while let Some(letter) = self.peek().filter(|letter| letter.is_whitespace()) {
            self.at += letter.len_utf8();
        }
    }
    fn name(&mut self) -> String {
        let rest = &self.text[self.at..];
        let end = rest.find(|letter: char| !letter.is_alphanumeric() && letter != '_').unwrap_or(rest.len());
        self.at += end;
        rest[..end].to_owned()
    }
    fn path(&mut self) -> Vec<String> {
        let mut path = Vec::new();
        while self.peek() == Some('.') {
            self.at += 1;
            let name = self.name();
            if !name.is_empty() {
                path.push(name);
            }
        }
        path
    }
    fn pipeline(&mut self) -> Result<Pipeline, String> {
        let mut variables = Vec::new();
        let declared = self.text[self.at..].find(":=").map(|end| (end, self.text[self.at..self.at + end].to_owned()));
        if let Some((end, names)) = declared
            && names.trim_start().starts_with('$')
        {
            variables = names.split(',').map(|name| name.trim().trim_start_matches('$').to_owned()).collect();
            self.at += end + 2;
        }
        let mut commands = Vec::new();
        loop {
            let command = self.command()?;
            if command.is_empty() {
                return Err("template: :1: missing value for command".to_owned());
            }
            commands.push(command);
            if self.peek() == Some('|') {
                self.at += 1;
            } else {
                return Ok(Pipeline { variables, commands });
            }
        }
    }
    fn command(&mut self) -> Result<Vec<Operand>, String> {
        let mut operands = Vec::new();
        loop {
            self.skip();
            match self.peek() {
                None | Some('|' | ')') => return Ok(operands),
                Some(_) => operands.push(self.operand()?),
            }
        }
    }
    fn operand(&mut self) -> Result<Operand, String> {
        let start = self.at;
        let column = self.column + start;
        match self.peek() {
            Some('.') => {
                let path = self.path();
                Ok(Operand::Field { column: column + self.last_field(start), path })
            }
            Some('$') => {
                self.at += 1;
                let name = self.name();
                let path = self.path();
                Ok(Operand::Variable { name, path, column })
            }
            Some('(') => {
                self.at += 1;
                let pipeline = self.pipeline()?;
                if self.peek() != Some(')') {
                    return Err("template: :1: unclosed left paren".to_owned());
                }
                self.at += 1;
                let path = self.path();
                Ok(Operand::Group { pipeline, path, column })
            }
            Some('"') => self.quoted(),
            Some('`') => {
                let rest = &self.text[start + 1..];
                let end = rest.find('`').ok_or("template: :1: unterminated raw quoted string")?;
                self.at += end + 2;
                Ok(Operand::Literal(Value::from(&rest[..end])))
            }
            Some(letter) if letter.is_ascii_digit() || letter == '-' => {
                let rest = &self.text[start..];
                let end = rest[1..]
                    .find(|letter: char| !letter.is_ascii_digit() && letter != '.')
                    .map_or(rest.len(), |end| end + 1);
                self.at += end;
                let number: Number =
                    rest[..end].parse().map_err(|_| format!("template: :1: bad number syntax: {rest:?}"))?;
                Ok(Operand::Literal(Value::Number(number)))
            }
            Some(letter) if letter.is_alphabetic() => {
                let name = self.name();
                Ok(match name.as_str() {
                    "true" => Operand::Literal(Value::Bool(true)),
                    "false" => Operand::Literal(Value::Bool(false)),
                    "nil" => Operand::Literal(Value::Null),
                    _ if super::functions::exists(&name) => Operand::Function(name),
                    _ => return Err(format!("template: :1: function {name:?} not defined")),
                })
            }
            letter => Err(format!("template: :1: unexpected {letter:?} in command")),
        }
    }
    /// Go reports the column of the last field of a chain.
    fn last_field(&self, start: usize) -> usize {
        self.text[start..self.at].rfind('.').unwrap_or(0)
    }
    fn quoted(&mut self) -> Result<Operand, String> {
        let mut value = String::new();
        self.at += 1;
        while let Some(letter) = self.peek() {
            self.at += letter.len_utf8();
            match letter {
                '"' => return Ok(Operand::Literal(Value::String(value))),
                '\\' => {
                    let Some(escaped) = self.peek() else { break };
                    self.at += escaped.len_utf8();
                    value.push(match escaped {
                        'n' => '\n',
                        't' => '\t',
                        'r' => '\r',
                        other => other,
                    });
                }
                letter => value.push(letter),
            }
        }
        Err("template: :1: unterminated quoted string".to_owned())
    }
}
