//! A recursive-descent parser for the part of POSIX sh and bash that labs use.

use std::sync::Arc;

use super::syntax::{Command, Item, List, Piece, Pipeline, Redirect, Stage, Word};

/// Why a text is not a program.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum ParseError {
    /// More lines are needed.
    Incomplete,
    /// The token that cannot stand there.
    Unexpected(String),
}

type Parsed<T> = Result<T, ParseError>;

pub(super) fn parse(text: &str) -> Parsed<List> {
    let mut parser = Parser { text: text.chars().collect(), at: 0, here: Vec::new() };
    let list = parser.list(&[])?;
    parser.blanks(true)?;
    match parser.peek() {
        None => Ok(list),
        Some(_) => Err(ParseError::Unexpected(parser.token())),
    }
}

/// A word such as a here-document's text or the operand of `${name:-word}`.
fn parse_text(text: &str) -> Parsed<Word> {
    let mut parser = Parser { text: text.chars().collect(), at: 0, here: Vec::new() };
    let mut word = Word::new();
    parser.double_quoted(&mut word, None)?;
    Ok(word)
}

struct Parser {
    text: Vec<char>,
    at: usize,
    /// Here-documents whose text begins after the next newline: delimiter, literal, strip tabs, number.
    here: Vec<(String, bool, bool, usize)>,
}

const RESERVED: &[&str] = &["then", "else", "elif", "fi", "do", "done", "esac", "}"];

impl Parser {
    fn peek(&self) -> Option<char> {
        self.text.get(self.at).copied()
    }
    fn looking_at(&self, text: &str) -> bool {
        text.chars().enumerate().all(|(offset, c)| self.text.get(self.at + offset) == Some(&c))
    }
    fn eat(&mut self, text: &str) -> bool {
        let found = self.looking_at(text);
        if found {
            self.at += text.chars().count();
        }
        found
    }
    /// What stands here, for a message.
    fn token(&self) -> String {
        match self.peek() {
            None | Some('\n') => "newline".to_owned(),
            Some(first) if ";&|()<>".contains(first) => {
                let double = self.text.get(self.at + 1) == Some(&first) && first != '(' && first != ')';
                first.to_string().repeat(if double { 2 } else { 1 })
            }
            Some(_) => self.bare_word(),
        }
    }
    /// Blanks, continued lines and comments; newlines too when asked.
    fn blanks(&mut self, newlines: bool) -> Parsed<()> {
        loop {
            match self.peek() {
                Some(' ' | '\t') => self.at += 1,
                Some('\\') if self.text.get(self.at + 1) == Some(&'\n') => self.at += 2,
                Some('\\') if self.at + 1 == self.text.len() => return Err(ParseError::Incomplete),
                Some('#') => {
                    while self.peek().is_some_and(|c| c != '\n') {
                        self.at += 1;
                    }
                }
                Some('\n') if newlines => {
                    self.at += 1;
                    if !self.here.is_empty() {
                        return Ok(());
                    }
                }
                _ => return Ok(()),
            }
        }
    }
    fn bare_word(&self) -> String {
        let rest = &self.text[self.at..];
        rest.iter().take_while(|c| !c.is_whitespace() && !";&|()<>".contains(**c)).collect()
    }
    fn keyword(&mut self, word: &str) -> Parsed<bool> {
        self.blanks(true)?;
        if self.bare_word() == word {
            self.at += word.chars().count();
            return Ok(true);
        }
        Ok(false)
    }
    fn expect(&mut self, word: &str) -> Parsed<()> {
        if self.keyword(word)? {
            return Ok(());
        }
        Err(if self.peek().is_none() { ParseError::Incomplete } else { ParseError::Unexpected(self.token()) })
    }

    /// Items until one of `ends` (a reserved word or `)`) or the end of the text.
    fn list(&mut self, ends: &[&str]) -> Parsed<List> {
        let mut list = List::new();
        loop {
            self.blanks(true)?;
            let Some(next) = self.peek() else {
                return if ends.is_empty() { Ok(list) } else { Err(ParseError::Incomplete) };
            };
            let word = self.bare_word();
            if ends.iter().any(|end| *end == word) || (matches!(next, ')') || self.looking_at(";;")) {
                return if ends.is_empty() { Err(ParseError::Unexpected(self.token())) } else { Ok(list) };
            }
            if RESERVED.contains(&word.as_str()) || ";&|".contains(next) {
                return Err(ParseError::Unexpected(self.token()));
            }
            let start = self.at;
            let first = self.pipeline()?;
            let mut rest = Vec::new();
            loop {
                self.blanks(false)?;
                let and = if self.eat("&&") {
                    true
                } else if self.eat("||") {
                    false
                } else {
                    break;
                };
                self.blanks(true)?;
                if self.peek().is_none() {
                    return Err(ParseError::Incomplete);
                }
                rest.push((and, self.pipeline()?));
            }
            let source = self.text[start..self.at].iter().collect::<String>().trim().to_owned();
            let background = !self.looking_at("&&") && self.eat("&");
            if !background && !self.looking_at(";;") {
                self.eat(";");
            }
            let number = list.len();
            list.push(Item { first, rest, background, source });
            self.blanks(false)?;
            if self.peek() == Some('\n') && !self.here.is_empty() {
                self.at += 1;
                self.here_documents(&mut list[number])?;
            } else if self.peek().is_none() && !self.here.is_empty() {
                return Err(ParseError::Incomplete);
            }
        }
    }
    fn here_documents(&mut self, item: &mut Item) -> Parsed<()> {
        for (delimiter, literal, strip, number) in std::mem::take(&mut self.here) {
            let mut text = String::new();
            loop {
                if self.peek().is_none() {
                    return Err(ParseError::Incomplete);
                }
                let line: String = self.text[self.at..].iter().take_while(|c| **c != '\n').collect();
                self.at = (self.at + line.chars().count() + 1).min(self.text.len());
                let line = if strip { line.trim_start_matches('\t') } else { &line };
                if line == delimiter {
                    break;
                }
                text += line;
                text.push('\n');
            }
            let word = if literal { vec![Piece::Quoted(text)] } else { parse_text(&text)? };
            let pipelines = std::iter::once(&mut item.first).chain(item.rest.iter_mut().map(|(_, rest)| rest));
            pipelines.flat_map(|pipeline| pipeline.stages.iter_mut()).for_each(|stage| fill(stage, number, &word));
        }
        Ok(())
    }

    fn pipeline(&mut self) -> Parsed<Pipeline> {
        let negated = self.keyword("!")?;
        let mut stages = vec![self.stage()?];
        loop {
            self.blanks(false)?;
            if self.looking_at("||") || !self.eat("|") {
                return Ok(Pipeline { negated, stages });
            }
            if self.eat("&")
                && let Some(stage) = stages.last_mut()
            {
                stage.redirects.push(Redirect::Duplicate { descriptor: 2, from: 1 });
            }
            self.blanks(true)?;
            if self.peek().is_none() {
                return Err(ParseError::Incomplete);
            }
            stages.push(self.stage()?);
        }
    }
    fn stage(&mut self) -> Parsed<Stage> {
        self.blanks(true)?;
        let word = self.bare_word();
        let command = match word.as_str() {
            "if" => self.if_command()?,
            "while" | "until" => {
                self.at += 5;
                let condition = self.list(&["do"])?;
                self.expect("do")?;
                let body = self.list(&["done"])?;
                self.expect("done")?;
                Command::Loop { condition, body, until: word == "until" }
            }
            "for" => self.for_command()?,
            "case" => self.case_command()?,
            "{" => {
                self.at += 1;
                let list = self.list(&["}"])?;
                self.expect("}")?;
                Command::Group(list)
            }
            "function" => {
                self.at += 8;
                self.blanks(false)?;
                let name = self.bare_word();
                self.at += name.chars().count();
                self.blanks(false)?;
                if self.eat("(") {
                    self.eat(")");
                }
                Command::Function { name, body: Arc::new(self.stage()?) }
            }
            _ if self.peek() == Some('(') => {
                self.at += 1;
                let list = self.list(&[")"])?;
                if !self.eat(")") {
                    return Err(ParseError::Unexpected(self.token()));
                }
                Command::Subshell(list)
            }
            _ => return self.simple(),
        };
        let mut redirects = Vec::new();
        loop {
            self.blanks(false)?;
            match self.redirect()? {
                Some(redirect) => redirects.push(redirect),
                None => return Ok(Stage { command, redirects }),
            }
        }
    }
    fn if_command(&mut self) -> Parsed<Command> {
        self.at += 2;
        let mut branches = Vec::new();
        loop {
            let condition = self.list(&["then"])?;
            self.expect("then")?;
            let body = self.list(&["elif", "else", "fi"])?;
            branches.push((condition, body));
            if self.keyword("elif")? {
                continue;
            }
            let otherwise = if self.keyword("else")? { self.list(&["fi"])? } else { List::new() };
            self.expect("fi")?;
            return Ok(Command::If { branches, otherwise });
        }
    }
    fn for_command(&mut self) -> Parsed<Command> {
        self.at += 3;
        self.blanks(false)?;
        let name = self.bare_word();
        self.at += name.chars().count();
        let words = if self.keyword("in")? {
            let mut words = Vec::new();
            loop {
                self.blanks(false)?;
                match self.peek() {
                    None => return Err(ParseError::Incomplete),
                    Some(';' | '\n') => break,
                    Some(_) => words.push(self.word()?),
                }
            }
            Some(words)
        } else {
            None
        };
        self.blanks(false)?;
        self.eat(";");
        self.expect("do")?;
        let body = self.list(&["done"])?;
        self.expect("done")?;
        Ok(Command::For { name, words, body })
    }
    fn case_command(&mut self) -> Parsed<Command> {
        self.at += 4;
        self.blanks(false)?;
        let word = self.word()?;
        self.expect("in")?;
        let mut arms = Vec::new();
        while !self.keyword("esac")? {
            self.eat("(");
            let mut patterns = Vec::new();
            loop {
                self.blanks(false)?;
                if self.peek().is_none() {
                    return Err(ParseError::Incomplete);
                }
                patterns.push(self.word()?);
                self.blanks(false)?;
                if self.eat(")") {
                    break;
                }
                if !self.eat("|") {
                    return Err(ParseError::Unexpected(self.token()));
                }
            }
            let body = self.list(&["esac"])?;
            self.blanks(true)?;
            self.eat(";;");
            arms.push((patterns, body));
        }
        Ok(Command::Case { word, arms })
    }
    fn simple(&mut self) -> Parsed<Stage> {
        let (mut assignments, mut words, mut redirects) = (Vec::new(), Vec::new(), Vec::new());
        loop {
            self.blanks(false)?;
            if let Some(redirect) = self.redirect()? {
                redirects.push(redirect);
                continue;
            }
            let Some(next) = self.peek() else { break };
            if "\n;&|()".contains(next) {
                break;
            }
            let bare = self.bare_word();
            if words.is_empty()
                && let Some((name, _)) = bare.split_once('=')
                && is_name(name)
            {
                self.at += name.chars().count() + 1;
                let value = if self.peek().is_none_or(|c| c.is_whitespace() || ";&|".contains(c)) {
                    Word::new()
                } else {
                    self.word()?
                };
                assignments.push((name.to_owned(), value));
                continue;
            }
            words.push(self.word()?);
            if words.len() == 1 && assignments.is_empty() && self.looking_at("()") && is_name(&bare) {
                self.at += 2;
                self.blanks(true)?;
                let body = Arc::new(self.stage()?);
                return Ok(Stage { command: Command::Function { name: bare, body }, redirects });
            }
        }
        if words.is_empty() && assignments.is_empty() && redirects.is_empty() {
            return Err(if self.peek().is_none() {
                ParseError::Incomplete
            } else {
                ParseError::Unexpected(self.token())
            });
        }
        Ok(Stage { command: Command::Simple { assignments, words }, redirects })
    }
    fn redirect(&mut self) -> Parsed<Option<Redirect>> {
        let start = self.at;
        let descriptor = match self.peek().and_then(|c| c.to_digit(10)) {
            Some(digit) if matches!(self.text.get(self.at + 1), Some('<' | '>')) => {
                self.at += 1;
                Some(digit as u8)
            }
            _ => None,
        };
        if self.eat("&>") {
            let append = self.eat(">");
            self.blanks(false)?;
            return Ok(Some(Redirect::Both { target: self.word()?, append }));
        }
        if self.eat("<<<") {
            self.blanks(false)?;
            let mut text = self.word()?;
            text.push(Piece::Quoted("\n".into()));
            return Ok(Some(Redirect::Here { text }));
        }
        if self.eat("<<") {
            let strip = self.eat("-");
            self.blanks(false)?;
            let raw = self.bare_word();
            self.at += raw.chars().count();
            let literal = raw.contains(['\'', '"', '\\']);
            let delimiter = raw.replace(['\'', '"', '\\'], "");
            let number = self.at;
            self.here.push((delimiter, literal, strip, number));
            return Ok(Some(Redirect::Here {
                text: vec![Piece::Parameter { name: format!("\0{number}"), operation: None, quoted: true }],
            }));
        }
        let (write, append) = match () {
            () if self.eat(">>") => (true, true),
            () if self.eat(">|") || self.eat(">") => (true, false),
            () if self.eat("<") => (false, false),
            () => {
                self.at = start;
                return Ok(None);
            }
        };
        if self.eat("&") {
            let from = self.peek().and_then(|c| c.to_digit(10)).map(|digit| digit as u8);
            let Some(from) = from else { return Err(ParseError::Unexpected(self.token())) };
            self.at += 1;
            return Ok(Some(Redirect::Duplicate { descriptor: descriptor.unwrap_or(u8::from(write)), from }));
        }
        self.blanks(false)?;
        let target = self.word()?;
        Ok(Some(if write {
            Redirect::Write { descriptor: descriptor.unwrap_or(1), target, append }
        } else {
            Redirect::Read { target }
        }))
    }

    fn word(&mut self) -> Parsed<Word> {
        let mut word = Word::new();
        let mut bare = String::new();
        while let Some(c) = self.peek() {
            if c.is_whitespace() || ";&|()<>".contains(c) {
                break;
            }
            self.at += 1;
            match c {
                '\'' => {
                    flush(&mut word, &mut bare);
                    let mut text = String::new();
                    loop {
                        let Some(c) = self.peek() else { return Err(ParseError::Incomplete) };
                        self.at += 1;
                        if c == '\'' {
                            break;
                        }
                        text.push(c);
                    }
                    word.push(Piece::Quoted(text));
                }
                '"' => {
                    flush(&mut word, &mut bare);
                    word.push(Piece::Quoted(String::new()));
                    self.double_quoted(&mut word, Some('"'))?;
                }
                '\\' => {
                    flush(&mut word, &mut bare);
                    let Some(c) = self.peek() else { return Err(ParseError::Incomplete) };
                    self.at += 1;
                    if c != '\n' {
                        word.push(Piece::Quoted(c.to_string()));
                    }
                }
                '$' | '`' => {
                    flush(&mut word, &mut bare);
                    self.dollar(c, &mut word, false)?;
                }
                c => bare.push(c),
            }
        }
        flush(&mut word, &mut bare);
        if word.is_empty() {
            return Err(if self.peek().is_none() {
                ParseError::Unexpected("newline".into())
            } else {
                ParseError::Unexpected(self.token())
            });
        }
        Ok(word)
    }
    /// Up to `end`, or to the end of the text.
    fn double_quoted(&mut self, word: &mut Word, end: Option<char>) -> Parsed<()> {
        let mut text = String::new();
        loop {
            let Some(c) = self.peek() else {
                if end.is_some() {
                    return Err(ParseError::Incomplete);
                }
                break;
            };
            self.at += 1;
            match c {
                c if Some(c) == end => break,
                '\\' if self.peek().is_some_and(|next| "$`\"\\\n".contains(next)) => {
                    if let Some(next) = self.peek().filter(|next| *next != '\n') {
                        text.push(next);
                    }
                    self.at += 1;
                }
                '$' | '`' => {
                    if !text.is_empty() {
                        word.push(Piece::Quoted(std::mem::take(&mut text)));
                    }
                    self.dollar(c, word, true)?;
                }
                c => text.push(c),
            }
        }
        if !text.is_empty() {
            word.push(Piece::Quoted(text));
        }
        Ok(())
    }
    fn until_close(&mut self, open: char, close: char) -> Parsed<String> {
        let mut depth = 1;
        let mut text = String::new();
        let mut quote = None;
        loop {
            let Some(c) = self.peek() else { return Err(ParseError::Incomplete) };
            self.at += 1;
            match quote {
                Some(end) if c == end => quote = None,
                Some(_) => {}
                None if c == '\'' || c == '"' => quote = Some(c),
                None if c == open => depth += 1,
                None if c == close => {
                    depth -= 1;
                    if depth == 0 {
                        return Ok(text);
                    }
                }
                None => {}
            }
            text.push(c);
            if c == '\\'
                && let Some(next) = self.peek()
            {
                text.push(next);
                self.at += 1;
            }
        }
    }
    /// After a `$` or a backquote.
    fn dollar(&mut self, sign: char, word: &mut Word, quoted: bool) -> Parsed<()> {
        if sign == '`' {
            let mut text = String::new();
            loop {
                let Some(c) = self.peek() else { return Err(ParseError::Incomplete) };
                self.at += 1;
                match c {
                    '`' => break,
                    '\\' if matches!(self.peek(), Some('`' | '\\' | '$')) => {}
                    c => text.push(c),
                }
            }
            word.push(Piece::Command { list: parse(&text)?, quoted });
            return Ok(());
        }
        if self.eat("((") {
            let text = self.until_close('(', ')')?;
            if !self.eat(")") {
                return Err(ParseError::Incomplete);
            }
            word.push(Piece::Arithmetic { expression: parse_text(&text)?, quoted });
        } else if self.eat("(") {
            let text = self.until_close('(', ')')?;
            word.push(Piece::Command { list: parse(&text)?, quoted });
        } else if self.eat("{") {
            let text = self.until_close('{', '}')?;
            word.push(braced(&text, quoted)?);
        } else {
            let name: String = match self.peek() {
                Some(c) if "?#@*$!-".contains(c) || c.is_ascii_digit() => c.to_string(),
                _ => {
                    let rest = &self.text[self.at..];
                    rest.iter().take_while(|c| c.is_ascii_alphanumeric() || **c == '_').collect()
                }
            };
            if name.is_empty() {
                word.push(Piece::Quoted("$".into()));
            } else {
                self.at += name.chars().count();
                word.push(Piece::Parameter { name, operation: None, quoted });
            }
        }
        Ok(())
    }
}

fn flush(word: &mut Word, bare: &mut String) {
    if !bare.is_empty() {
        word.push(Piece::Bare(std::mem::take(bare)));
    }
}

pub(super) fn is_name(text: &str) -> bool {
    !text.is_empty()
        && !text.starts_with(|c: char| c.is_ascii_digit())
        && text.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
}

/// What stands in `${…}`.
fn braced(text: &str, quoted: bool) -> Parsed<Piece> {
    if let Some(name) = text.strip_prefix('#').filter(|name| is_name(name)) {
        let operation = Some(("length".to_owned(), Word::new()));
        return Ok(Piece::Parameter { name: name.to_owned(), operation, quoted });
    }
    let end = text.find(|c: char| !(c.is_ascii_alphanumeric() || c == '_')).unwrap_or(text.len());
    let end = if end == 0 { text.chars().next().map_or(0, char::len_utf8) } else { end };
    let (name, rest) = text.split_at(end);
    if name.is_empty() {
        return Err(ParseError::Unexpected("${}".into()));
    }
    let operators = [":-", ":=", ":+", ":?", "##", "%%", "//", "-", "=", "+", "?", "#", "%", "/", ":"];
    let operation = match operators.iter().find(|operator| rest.starts_with(**operator)) {
        None if rest.is_empty() => None,
        None => return Err(ParseError::Unexpected(format!("${{{text}}}"))),
        Some(operator) => Some(((*operator).to_owned(), parse_text(&rest[operator.len()..])?)),
    };
    Ok(Piece::Parameter { name: name.to_owned(), operation, quoted })
}

/// Puts a here-document's text where its mark stands, in nested commands too.
fn fill(stage: &mut Stage, number: usize, text: &Word) {
    let mark = format!("\0{number}");
    for redirect in &mut stage.redirects {
        if let Redirect::Here { text: old } = redirect
            && matches!(old.first(), Some(Piece::Parameter { name, .. }) if *name == mark)
        {
            old.clone_from(text);
        }
    }
}
