//! From words to nodes.

use std::collections::HashMap;

use super::{
    functions,
    lex::{Token, TokenKind, lex, line_of, parse_number},
    node::{Kind, Node, Operand, Pipeline},
};

/// A template's own nodes and those of the templates it defines.
pub(super) struct Parsed {
    pub nodes: Vec<Node>,
    pub defined: HashMap<String, Vec<Node>>,
}

type Outcome<T> = Result<T, String>;

/// How a list of nodes ended.
enum Stop {
    Source,
    End,
    Else,
}

/// Parses; errors carry Go's `template: NAME:LINE: ` in front.
pub(super) fn parse(name: &str, source: &str) -> Outcome<Parsed> {
    let tokens = lex(source).map_err(|(line, message)| format!("template: {name}:{line}: {message}"))?;
    let mut parser = Parser {
        name,
        source,
        tokens,
        position: 0,
        variables: vec!["$".to_owned()],
        defined: HashMap::new(),
        loops: 0,
    };
    let (nodes, end) = parser.list()?;
    match end {
        Stop::Source => Ok(Parsed { nodes, defined: parser.defined }),
        Stop::End => Err(parser.error("unexpected {{end}}")),
        Stop::Else => Err(parser.error("unexpected {{else}}")),
    }
}

struct Parser<'a> {
    name: &'a str,
    source: &'a str,
    tokens: Vec<Token>,
    position: usize,
    variables: Vec<String>,
    defined: HashMap<String, Vec<Node>>,
    loops: usize,
}

impl Parser<'_> {
    fn error(&self, message: impl AsRef<str>) -> String {
        let at = self.tokens.get(self.position.saturating_sub(1)).map_or(0, |token| token.at);
        format!("template: {}:{}: {}", self.name, line_of(self.source, at), message.as_ref())
    }
    fn peek(&self) -> Option<&TokenKind> {
        self.tokens.get(self.position).map(|token| &token.kind)
    }
    fn at(&self) -> usize {
        self.tokens.get(self.position).map_or(self.source.len(), |token| token.at)
    }
    fn next(&mut self) -> Option<TokenKind> {
        let token = self.tokens.get(self.position).cloned();
        self.position += 1;
        token.map(|token| token.kind)
    }
    fn skip_space(&mut self) {
        while self.peek() == Some(&TokenKind::Space) {
            self.position += 1;
        }
    }
    fn unexpected(&self, token: Option<&TokenKind>, context: &str) -> String {
        self.error(format!("unexpected {} in {context}", describe(token)))
    }
    fn close(&mut self, context: &str) -> Outcome<()> {
        self.skip_space();
        match self.next() {
            Some(TokenKind::Close) => Ok(()),
            other => Err(self.unexpected(other.as_ref(), context)),
        }
    }

    fn list(&mut self) -> Outcome<(Vec<Node>, Stop)> {
        let mut nodes = Vec::new();
        while let Some(token) = self.next() {
            match token {
                TokenKind::Text(text) => nodes.push(Node::Text(text)),
                _ => {
                    self.skip_space();
                    let keyword = match self.peek() {
                        Some(TokenKind::Identifier(word)) => word.clone(),
                        _ => String::new(),
                    };
                    match keyword.as_str() {
                        "end" => {
                            self.position += 1;
                            self.close("end")?;
                            return Ok((nodes, Stop::End));
                        }
                        // What follows the word is the caller's to read.
                        "else" => {
                            self.position += 1;
                            return Ok((nodes, Stop::Else));
                        }
                        _ => nodes.extend(self.action(&keyword)?),
                    }
                }
            }
        }
        Ok((nodes, Stop::Source))
    }

    fn action(&mut self, keyword: &str) -> Outcome<Option<Node>> {
        match keyword {
            "if" | "with" | "range" => {
                self.position += 1;
                self.control(keyword).map(Some)
            }
            "break" | "continue" => {
                self.position += 1;
                if self.loops == 0 {
                    return Err(self.error(format!("{{{{{keyword}}}}} outside {{{{range}}}}")));
                }
                self.close(&format!("{{{{{keyword}}}}}"))?;
                Ok(Some(if keyword == "break" { Node::Break } else { Node::Continue }))
            }
            "define" | "block" => {
                self.position += 1;
                self.define(keyword == "block")
            }
            "template" => {
                self.position += 1;
                self.skip_space();
                let at = self.at();
                let name = self.template_name("template clause")?;
                self.skip_space();
                let argument = if self.peek() == Some(&TokenKind::Close) {
                    self.position += 1;
                    None
                } else {
                    Some(self.pipeline("template clause", &TokenKind::Close)?)
                };
                Ok(Some(Node::Call { at, name, argument }))
            }
            _ => Ok(Some(Node::Action(self.pipeline("command", &TokenKind::Close)?))),
        }
    }

    fn template_name(&mut self, context: &str) -> Outcome<String> {
        match self.next() {
            Some(TokenKind::Quoted(name, _)) => Ok(name),
            other => Err(self.unexpected(other.as_ref(), context)),
        }
    }

    fn define(&mut self, is_block: bool) -> Outcome<Option<Node>> {
        self.skip_space();
        let at = self.at();
        let name = self.template_name(if is_block { "block clause" } else { "define clause" })?;
        let argument = if is_block {
            Some(self.pipeline("block clause", &TokenKind::Close)?)
        } else {
            self.close("define clause")?;
            None
        };
        let outer = std::mem::replace(&mut self.variables, vec!["$".to_owned()]);
        let (nodes, end) = self.list()?;
        self.variables = outer;
        if !matches!(end, Stop::End) {
            return Err(self.error("unexpected EOF"));
        }
        self.defined.insert(name.clone(), nodes);
        Ok(is_block.then_some(Node::Call { at, name, argument }))
    }

    fn control(&mut self, word: &str) -> Outcome<Node> {
        let known = self.variables.len();
        let value = self.pipeline(word, &TokenKind::Close)?;
        self.loops += usize::from(word == "range");
        let (then, end) = self.list()?;
        self.loops -= usize::from(word == "range");
        let otherwise = match end {
            Stop::End => Vec::new(),
            Stop::Source => return Err(self.error("unexpected EOF")),
            Stop::Else => self.otherwise(word)?,
        };
        self.variables.truncate(known);
        Ok(match word {
            "if" => Node::If { condition: value, then, otherwise },
            "with" => Node::With { value, then, otherwise },
            _ => Node::Range { value, body: then, otherwise },
        })
    }

    /// After `{{else`: another `if` or `with`, or nodes up to `{{end}}`.
    fn otherwise(&mut self, word: &str) -> Outcome<Vec<Node>> {
        self.skip_space();
        if let Some(TokenKind::Identifier(next)) = self.peek()
            && next == word
            && word != "range"
        {
            self.position += 1;
            return Ok(vec![self.control(word)?]);
        }
        self.close("else")?;
        let (nodes, end) = self.list()?;
        match end {
            Stop::End => Ok(nodes),
            Stop::Else => Err(self.error("expected end; found {{else}}")),
            Stop::Source => Err(self.error("unexpected EOF")),
        }
    }

    fn pipeline(&mut self, context: &str, end: &TokenKind) -> Outcome<Pipeline> {
        self.skip_space();
        let at = self.at();
        let (variables, assigns) = self.declarations(context)?;
        let mut commands: Vec<Vec<Operand>> = Vec::new();
        loop {
            self.skip_space();
            if self.peek() == Some(end) {
                self.position += 1;
                if commands.is_empty() {
                    return Err(self.error(format!("missing value for {context}")));
                }
                for command in &commands[1..] {
                    if let Some(first) = command.first()
                        && matches!(
                            first.kind,
                            Kind::Bool(_)
                                | Kind::Dot
                                | Kind::Nil
                                | Kind::Int { .. }
                                | Kind::Float { .. }
                                | Kind::Text { .. }
                        )
                    {
                        return Err(self.error("non executable command in pipeline stage 2"));
                    }
                }
                for name in &variables {
                    if assigns && !self.variables.contains(name) {
                        return Err(self.error(format!("undefined variable {}", crate::format::quote(name))));
                    }
                    self.variables.push(name.clone());
                }
                return Ok(Pipeline { at, variables, assigns, commands });
            }
            let command = self.command(context)?;
            commands.push(command);
        }
    }

    fn declarations(&mut self, context: &str) -> Outcome<(Vec<String>, bool)> {
        let start = self.position;
        let mut names = Vec::new();
        loop {
            self.skip_space();
            let Some(TokenKind::Variable(name)) = self.peek().cloned() else { break };
            self.position += 1;
            self.skip_space();
            names.push(name);
            match self.peek() {
                Some(TokenKind::Declare | TokenKind::Assign) => {
                    let assigns = self.peek() == Some(&TokenKind::Assign);
                    self.position += 1;
                    return Ok((names, assigns));
                }
                Some(TokenKind::Comma) if context == "range" && names.len() < 2 => self.position += 1,
                Some(TokenKind::Comma) => {
                    self.position += 1;
                    return Err(self.error(format!("too many declarations in {context}")));
                }
                _ => break,
            }
        }
        self.position = start;
        Ok((Vec::new(), false))
    }

    fn command(&mut self, context: &str) -> Outcome<Vec<Operand>> {
        let mut operands = Vec::new();
        loop {
            self.skip_space();
            match self.peek() {
                Some(TokenKind::Pipe) => {
                    self.position += 1;
                    self.skip_space();
                    if operands.is_empty() || matches!(self.peek(), Some(TokenKind::Close | TokenKind::CloseGroup)) {
                        return Err(self.error(format!("missing value for {context}")));
                    }
                    return Ok(operands);
                }
                Some(TokenKind::Close | TokenKind::CloseGroup) => return Ok(operands),
                None => return Err(self.error("unclosed action")),
                Some(_) => operands.push(self.operand(context)?),
            }
        }
    }

    fn operand(&mut self, context: &str) -> Outcome<Operand> {
        let at = self.at();
        let token = self.next();
        let kind = match token {
            Some(TokenKind::Dot) => Kind::Dot,
            Some(TokenKind::Field(name)) => Kind::Field(vec![name]),
            Some(TokenKind::Variable(name)) => {
                if !self.variables.contains(&name) {
                    return Err(self.error(format!("undefined variable {}", crate::format::quote(&name))));
                }
                Kind::Variable(vec![name])
            }
            Some(TokenKind::Number(text)) => match parse_number(&text) {
                Some(Ok(value)) => Kind::Int { value, text },
                Some(Err(value)) => Kind::Float { value, text },
                None => return Err(self.error(format!("bad number syntax: {}", crate::format::quote(&text)))),
            },
            Some(TokenKind::Letter(value, text)) => Kind::Int { value: i64::from(u32::from(value)), text },
            Some(TokenKind::Quoted(value, quoted)) => Kind::Text { value, quoted },
            Some(TokenKind::Identifier(name)) => match name.as_str() {
                "true" => Kind::Bool(true),
                "false" => Kind::Bool(false),
                "nil" => Kind::Nil,
                _ if functions::exists(&name) => Kind::Function(name),
                _ if matches!(name.as_str(), "end" | "else" | "if" | "range" | "with" | "define" | "template") => {
                    return Err(self.error(format!("unexpected <{name}> in {context}")));
                }
                _ => return Err(self.error(format!("function {} not defined", crate::format::quote(&name)))),
            },
            Some(TokenKind::OpenGroup) => {
                Kind::Group(Box::new(self.pipeline("parenthesized pipeline", &TokenKind::CloseGroup)?))
            }
            other => {
                return Err(self.unexpected(other.as_ref(), context));
            }
        };
        self.chain(Operand { at, kind })
    }

    /// Fields right behind an operand.
    fn chain(&mut self, operand: Operand) -> Outcome<Operand> {
        let chain_at = self.at();
        let mut path = Vec::new();
        while let Some(TokenKind::Field(name)) = self.peek() {
            path.push(name.clone());
            self.position += 1;
        }
        if path.is_empty() {
            if !matches!(
                self.peek(),
                None | Some(TokenKind::Space | TokenKind::Pipe | TokenKind::Close | TokenKind::CloseGroup)
            ) {
                let token = self.peek().cloned();
                return Err(self.error(format!("unexpected {} in operand", describe(token.as_ref()))));
            }
            return Ok(operand);
        }
        Ok(match operand.kind {
            // Go reports a chain's place as that of its second part.
            Kind::Field(mut names) => {
                names.extend(path);
                Operand { at: chain_at, kind: Kind::Field(names) }
            }
            Kind::Variable(mut names) => {
                names.extend(path);
                Operand { at: chain_at, kind: Kind::Variable(names) }
            }
            Kind::Bool(_) | Kind::Text { .. } | Kind::Int { .. } | Kind::Float { .. } | Kind::Nil | Kind::Dot => {
                return Err(
                    self.error(format!("unexpected . after term {}", crate::format::quote(&operand.to_string())))
                );
            }
            _ => Operand { at: chain_at, kind: Kind::Chain(Box::new(operand), path) },
        })
    }
}

/// A word as Go's errors print it.
fn describe(token: Option<&TokenKind>) -> String {
    let quote = crate::format::quote;
    match token {
        None => "EOF".to_owned(),
        Some(TokenKind::Text(text) | TokenKind::Number(text) | TokenKind::Variable(text)) => quote(text),
        Some(TokenKind::Letter(_, text) | TokenKind::Quoted(_, text)) => quote(text),
        Some(TokenKind::Identifier(word)) => {
            let keyword = matches!(
                word.as_str(),
                "define"
                    | "block"
                    | "if"
                    | "else"
                    | "end"
                    | "range"
                    | "with"
                    | "template"
                    | "nil"
                    | "break"
                    | "continue"
            );
            if keyword { format!("<{word}>") } else { quote(word) }
        }
        Some(TokenKind::Field(name)) => format!("<.{name}>"),
        Some(TokenKind::Open) => quote("{{"),
        Some(TokenKind::Close) => quote("}}"),
        Some(TokenKind::Space) => quote(" "),
        Some(TokenKind::Dot) => "<.>".to_owned(),
        Some(TokenKind::Pipe) => quote("|"),
        Some(TokenKind::Comma) => quote(","),
        Some(TokenKind::Declare) => quote(":="),
        Some(TokenKind::Assign) => quote("="),
        Some(TokenKind::OpenGroup) => quote("("),
        Some(TokenKind::CloseGroup) => quote(")"),
    }
}
