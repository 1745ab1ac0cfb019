//! `$((…))`.

/// Evaluates an expression over integers; `lookup` gives the value of a name.
pub(super) fn evaluate(text: &str, lookup: &dyn Fn(&str) -> i64) -> Result<i64, String> {
    let mut parser = Parser { text: text.chars().filter(|c| !c.is_whitespace()).collect(), at: 0, lookup };
    let value = if parser.text.is_empty() { 0 } else { parser.binary(0)? };
    if parser.at < parser.text.len() {
        return Err(format!("{text}: syntax error in expression"));
    }
    Ok(value)
}

struct Parser<'a> {
    text: Vec<char>,
    at: usize,
    lookup: &'a dyn Fn(&str) -> i64,
}

const LEVELS: &[&[&str]] =
    &[&["||"], &["&&"], &["|"], &["^"], &["&"], &["==", "!="], &["<=", ">=", "<", ">"], &["+", "-"], &["*", "/", "%"]];

impl Parser<'_> {
    fn eat(&mut self, text: &str) -> bool {
        let found = text.chars().enumerate().all(|(offset, c)| self.text.get(self.at + offset) == Some(&c));
        // `a & b` is not the beginning of `a && b`.
        let next = self.text.get(self.at + text.len()).copied();
        if !found || (matches!(text, "|" | "&") && next == text.chars().next()) {
            return false;
        }
        self.at += text.len();
        true
    }
    fn binary(&mut self, level: usize) -> Result<i64, String> {
        let Some(operators) = LEVELS.get(level) else { return self.unary() };
        let mut left = self.binary(level + 1)?;
        while let Some(operator) = operators.iter().copied().find(|operator| self.eat(operator)) {
            let right = self.binary(level + 1)?;
            left = match operator {
                "||" => i64::from(left != 0 || right != 0),
                "&&" => i64::from(left != 0 && right != 0),
                "|" => left | right,
                "^" => left ^ right,
                "&" => left & right,
                "==" => i64::from(left == right),
                "!=" => i64::from(left != right),
                "<=" => i64::from(left <= right),
                ">=" => i64::from(left >= right),
                "<" => i64::from(left < right),
                ">" => i64::from(left > right),
                "+" => left.wrapping_add(right),
                "-" => left.wrapping_sub(right),
                "*" => left.wrapping_mul(right),
                _ if right == 0 => return Err("division by 0".into()),
                "/" => left.wrapping_div(right),
                _ => left.wrapping_rem(right),
            };
        }
        Ok(left)
    }
    fn unary(&mut self) -> Result<i64, String> {
        if self.eat("-") {
            return Ok(self.unary()?.wrapping_neg());
        }
        if self.eat("+") {
            return self.unary();
        }
        if self.eat("!") {
            return Ok(i64::from(self.unary()? == 0));
        }
        if self.eat("(") {
            let value = self.binary(0)?;
            return if self.eat(")") { Ok(value) } else { Err("missing `)'".into()) };
        }
        let rest = &self.text[self.at..];
        let token: String = rest.iter().take_while(|c| c.is_ascii_alphanumeric() || **c == '_').collect();
        self.at += token.len();
        match token.chars().next() {
            Some(c) if c.is_ascii_digit() => token.parse().map_err(|_| format!("{token}: value too great for base")),
            Some(_) => Ok((self.lookup)(&token)),
            None => Err("syntax error: operand expected".into()),
        }
    }
}
