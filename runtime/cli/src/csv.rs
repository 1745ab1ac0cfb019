//! One record of comma-separated values, as Go's `encoding/csv` reads it: fields may stand in double quotes.

/// The fields of a line; the error is Go's.
pub(crate) fn fields(line: &str) -> Result<Vec<String>, String> {
    if line.is_empty() {
        return Err("EOF".to_owned());
    }
    let mut fields = Vec::new();
    let mut rest = line;
    loop {
        let column = line.len() - rest.len();
        let Some(quoted) = rest.strip_prefix('"') else {
            let end = rest.find(',').unwrap_or(rest.len());
            let field = &rest[..end];
            if let Some(quote) = field.find('"') {
                return Err(format!(
                    "parse error on line 1, column {}: bare \" in non-quoted-field",
                    column + quote + 1
                ));
            }
            fields.push(field.to_owned());
            match rest.get(end + 1..) {
                Some(more) => rest = more,
                None => return Ok(fields),
            }
            continue;
        };
        let (field, after) = until_quote(quoted).ok_or_else(|| {
            format!("parse error on line 1, column {}: extraneous or missing \" in quoted-field", line.len() + 1)
        })?;
        fields.push(field);
        match after.strip_prefix(',') {
            Some(more) => rest = more,
            None if after.is_empty() => return Ok(fields),
            None => {
                let column = line.len() - after.len();
                return Err(format!(
                    "parse error on line 1, column {column}: extraneous or missing \" in quoted-field"
                ));
            }
        }
    }
}

/// A field up to its closing quote, two quotes being one of its own, and what follows.
fn until_quote(text: &str) -> Option<(String, &str)> {
    let mut field = String::new();
    let mut rest = text;
    loop {
        let end = rest.find('"')?;
        field.push_str(&rest[..end]);
        rest = &rest[end + 1..];
        match rest.strip_prefix('"') {
            Some(more) => {
                field.push('"');
                rest = more;
            }
            None => return Some((field, rest)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quotes_keep_commas_together() {
        assert_eq!(fields("a=b,\"src=/a,b\",c"), Ok(vec!["a=b".into(), "src=/a,b".into(), "c".into()]));
        assert_eq!(fields("\"a\"\"b\""), Ok(vec!["a\"b".into()]));
        assert_eq!(fields("a,"), Ok(vec!["a".into(), String::new()]));
        assert_eq!(
            fields("type=bind,\"src"),
            Err("parse error on line 1, column 15: extraneous or missing \" in quoted-field".into())
        );
        assert!(fields("").is_err());
        assert!(fields("a\"b").is_err());
    }
}
