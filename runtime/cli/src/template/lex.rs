//! From a template's text to words, with Go's trimming rules.

/// A word of a template; `at` is its byte offset.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Token {
    pub at: usize,
    pub kind: TokenKind,
}

#[derive(Debug, Clone, PartialEq)]
pub(super) enum TokenKind {
    Text(String),
    Open,
    Close,
    /// White space between words, which decides whether `.A` continues a chain.
    Space,
    Dot,
    Field(String),
    Variable(String),
    Identifier(String),
    Number(String),
    Letter(char, String),
    /// Its value and how it was written.
    Quoted(String, String),
    Pipe,
    Comma,
    Declare,
    Assign,
    OpenGroup,
    CloseGroup,
}

/// Splits into words. The error is Go's, without `template: NAME:LINE: `, and the line it is on.
pub(super) fn lex(source: &str) -> Result<Vec<Token>, (usize, String)> {
    let mut lexer = Lexer { source, at: 0, tokens: Vec::new() };
    lexer.run().map_err(|message| (line_of(source, lexer.at), message))?;
    Ok(lexer.tokens)
}

/// One-based line of a byte offset.
pub(super) fn line_of(source: &str, at: usize) -> usize {
    1 + source.as_bytes()[..at.min(source.len())].iter().filter(|byte| **byte == b'\n').count()
}

struct Lexer<'a> {
    source: &'a str,
    at: usize,
    tokens: Vec<Token>,
}

impl Lexer<'_> {
    fn rest(&self) -> &str {
        &self.source[self.at..]
    }

    fn push(&mut self, at: usize, kind: TokenKind) {
        self.tokens.push(Token { at, kind });
    }

    fn run(&mut self) -> Result<(), String> {
        let mut trim = false;
        loop {
            let rest = self.rest();
            let open = rest.find("{{");
            let mut text = &rest[..open.unwrap_or(rest.len())];
            let length = text.len();
            if trim {
                text = text.trim_start();
            }
            let after = open.map(|open| &rest[open + 2..]);
            let trims_left = after.is_some_and(|after| after.starts_with("- ") || after.starts_with("-\n"));
            if trims_left {
                text = text.trim_end();
            }
            if !text.is_empty() {
                let text = text.to_owned();
                self.push(self.at, TokenKind::Text(text));
            }
            self.at += length;
            if open.is_none() {
                return Ok(());
            }
            let start = self.at;
            self.at += if trims_left { 3 } else { 2 };
            let comment = self.rest().trim_start().starts_with("/*");
            if comment {
                let end = self.rest().find("*/").ok_or("unclosed comment")?;
                self.at += end + 2;
                trim = self.rest().starts_with(" -}}");
                if !trim && !self.rest().starts_with("}}") {
                    return Err("comment ends before closing delimiter".to_owned());
                }
                self.at += if trim { 4 } else { 2 };
                continue;
            }
            self.push(start, TokenKind::Open);
            trim = self.action()?;
        }
    }

    /// Reads until `}}`; true when white space after it is trimmed.
    fn action(&mut self) -> Result<bool, String> {
        let mut depth = 0_usize;
        loop {
            let rest = self.rest();
            let at = self.at;
            if rest.starts_with("}}") || rest.starts_with(" -}}") {
                if depth > 0 {
                    return Err("unclosed left paren".to_owned());
                }
                let trims = rest.starts_with(' ');
                self.at += if trims { 4 } else { 2 };
                self.push(at, TokenKind::Close);
                return Ok(trims);
            }
            let Some(letter) = rest.chars().next() else { return Err("unclosed action".to_owned()) };
            match letter {
                ' ' | '\t' | '\r' | '\n' => {
                    let mut length = rest.len() - rest.trim_start_matches([' ', '\t', '\r', '\n']).len();
                    // The last space may belong to a trim marker.
                    if rest[length..].starts_with("-}}") {
                        length -= 1;
                    }
                    if length > 0 {
                        self.at += length;
                        self.push(at, TokenKind::Space);
                    }
                }
                '|' => self.single(TokenKind::Pipe),
                ',' => self.single(TokenKind::Comma),
                '(' => {
                    depth += 1;
                    self.single(TokenKind::OpenGroup);
                }
                ')' => {
                    depth = depth.checked_sub(1).ok_or("unexpected right paren")?;
                    self.single(TokenKind::CloseGroup);
                }
                ':' => {
                    if !rest.starts_with(":=") {
                        return Err("expected :=".to_owned());
                    }
                    self.at += 2;
                    self.push(at, TokenKind::Declare);
                }
                '=' => self.single(TokenKind::Assign),
                '"' => self.quoted()?,
                '`' => {
                    let end = rest[1..].find('`').ok_or("unterminated raw quoted string")?;
                    let (value, whole) = (rest[1..=end].to_owned(), rest[..end + 2].to_owned());
                    self.at += whole.len();
                    self.push(at, TokenKind::Quoted(value, whole));
                }
                '\'' => self.letter()?,
                '.' if !rest[1..].starts_with(|next: char| next.is_ascii_digit()) => {
                    let name = word(&rest[1..]);
                    let kind = if name.is_empty() { TokenKind::Dot } else { TokenKind::Field(name.to_owned()) };
                    self.at += 1 + name.len();
                    self.push(at, kind);
                    self.terminated()?;
                }
                '$' => {
                    let name = format!("${}", word(&rest[1..]));
                    self.at += name.len();
                    self.push(at, TokenKind::Variable(name));
                    self.terminated()?;
                }
                '+' | '-' | '.' | '0'..='9' => self.number()?,
                letter if letter == '_' || letter.is_alphanumeric() => {
                    let name = word(rest).to_owned();
                    self.at += name.len();
                    self.push(at, TokenKind::Identifier(name));
                    self.terminated()?;
                }
                letter => return Err(format!("unrecognized character in action: U+{:04X} '{letter}'", letter as u32)),
            }
        }
    }

    fn single(&mut self, kind: TokenKind) {
        self.push(self.at, kind);
        self.at += 1;
    }

    /// A name must be followed by something that cannot be part of one.
    fn terminated(&self) -> Result<(), String> {
        match self.rest().chars().next() {
            None | Some(' ' | '\t' | '\r' | '\n' | '.' | ',' | '|' | ':' | '=' | ')' | '(' | '}') => Ok(()),
            Some(letter) => Err(format!("bad character U+{:04X} '{letter}'", letter as u32)),
        }
    }

    fn number(&mut self) -> Result<(), String> {
        let rest = self.rest();
        let body = rest.strip_prefix(['+', '-']).unwrap_or(rest);
        let hexadecimal = body.starts_with("0x") || body.starts_with("0X");
        let mut length = rest.len() - body.len();
        let mut previous = ' ';
        for letter in body.chars() {
            let exponent = !hexadecimal && matches!(previous, 'e' | 'E') && matches!(letter, '+' | '-');
            if !(letter.is_ascii_alphanumeric() || matches!(letter, '.' | '_') || exponent) {
                break;
            }
            length += letter.len_utf8();
            previous = letter;
        }
        let text = rest[..length].to_owned();
        if parse_number(&text).is_none() {
            return Err(format!("bad number syntax: {}", crate::format::quote(&text)));
        }
        let at = self.at;
        self.at += length;
        self.push(at, TokenKind::Number(text));
        Ok(())
    }

    fn letter(&mut self) -> Result<(), String> {
        let rest = self.rest();
        let mut letters = rest[1..].chars();
        let mut length = 1;
        let mut value = letters.next().ok_or("unterminated character constant")?;
        length += value.len_utf8();
        if value == '\\' {
            let escaped = letters.next().ok_or("unterminated character constant")?;
            length += escaped.len_utf8();
            value = unescaped(escaped);
        }
        if letters.next() != Some('\'') {
            return Err("unterminated character constant".to_owned());
        }
        length += 1;
        let (at, text) = (self.at, rest[..length].to_owned());
        self.at += length;
        self.push(at, TokenKind::Letter(value, text));
        Ok(())
    }

    fn quoted(&mut self) -> Result<(), String> {
        let rest = self.rest();
        let mut value = String::new();
        let mut letters = rest.char_indices().skip(1);
        while let Some((index, letter)) = letters.next() {
            match letter {
                '"' => {
                    let (at, whole) = (self.at, rest[..=index].to_owned());
                    self.at += whole.len();
                    self.push(at, TokenKind::Quoted(value, whole));
                    return Ok(());
                }
                '\n' => break,
                '\\' => {
                    let Some((_, escaped)) = letters.next() else { break };
                    value.push(unescaped(escaped));
                }
                letter => value.push(letter),
            }
        }
        Err("unterminated quoted string".to_owned())
    }
}

fn unescaped(letter: char) -> char {
    match letter {
        'n' => '\n',
        't' => '\t',
        'r' => '\r',
        other => other,
    }
}

/// Letters, digits and underscores from the start.
fn word(text: &str) -> &str {
    let end = text.find(|letter: char| letter != '_' && !letter.is_alphanumeric()).unwrap_or(text.len());
    &text[..end]
}

/// Go's notations of numbers: an integer, or else a float.
pub(super) fn parse_number(text: &str) -> Option<Result<i64, f64>> {
    let plain = text.replace('_', "");
    let (sign, digits) = match plain.strip_prefix('-') {
        Some(digits) => (-1, digits),
        None => (1, plain.strip_prefix('+').unwrap_or(&plain)),
    };
    let radix = |prefix: &str, radix: u32| {
        let digits = digits.get(..2).filter(|head| head.eq_ignore_ascii_case(prefix)).map(|_| &digits[2..])?;
        i64::from_str_radix(digits, radix).ok()
    };
    let integer = radix("0x", 16)
        .or_else(|| radix("0o", 8))
        .or_else(|| radix("0b", 2))
        .or_else(|| digits.parse::<i64>().ok().filter(|_| digits.starts_with(|first: char| first.is_ascii_digit())));
    if let Some(integer) = integer {
        return Some(Ok(sign * integer));
    }
    let float = digits.parse::<f64>().ok().filter(|_| !digits.starts_with(|first: char| first.is_alphabetic()))?;
    #[allow(clippy::cast_possible_truncation)] // checked to be whole
    let whole = float as i64;
    #[allow(clippy::cast_precision_loss)] // compared with what it came from
    if whole as f64 == float && !digits.contains('.') {
        return Some(Ok(sign * whole));
    }
    #[allow(clippy::cast_precision_loss)] // the sign alone
    Some(Err(sign as f64 * float))
}
