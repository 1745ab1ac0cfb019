//! Variables: a lab is written with ordinary values, so that it reads well anywhere; a run may replace them.

use thiserror::Error;

/// A replacement that the lab has no place for.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("the lab has no variable `{name}`; it has {}", known.join(", "))]
pub struct UnknownVariable {
    pub name: String,
    /// Those of the front matter; "none" when there is none.
    pub known: Vec<String>,
}

/// The text of a lab with values of its `variables` replaced everywhere: in prose, commands, files and checks.
///
/// The front matter gives each variable the text that stands for it, so that `variables = { repository = "student/app" }`
/// and a replacement `("repository", "localhost:5000/me/app")` turn every `student/app` into the other.
/// All replacements happen at once: none is applied to the result of another.
///
/// # Errors
/// When the front matter has no variable of a given name.
pub fn with_variables(text: &str, replacements: &[(String, String)]) -> Result<String, UnknownVariable> {
    let variables = crate::parse("", text).scenario.meta.variables;
    let mut pairs = Vec::new();
    for (name, value) in replacements {
        let Some((_, written)) = variables.iter().find(|(known, _)| known == name) else {
            let mut known: Vec<String> = variables.into_iter().map(|(known, _)| format!("`{known}`")).collect();
            if known.is_empty() {
                known.push("none".to_owned());
            }
            return Err(UnknownVariable { name: name.clone(), known });
        };
        pairs.push((written.as_str(), value.as_str()));
    }
    // The longer one wins where one value begins with another.
    pairs.sort_by_key(|(written, _)| std::cmp::Reverse(written.len()));
    let mut replaced = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(letter) = rest.chars().next() {
        if let Some((written, value)) = pairs.iter().find(|(written, _)| rest.starts_with(written)) {
            replaced.push_str(value);
            rest = &rest[written.len()..];
        } else {
            replaced.push(letter);
            rest = &rest[letter.len_utf8()..];
        }
    }
    Ok(replaced)
}

#[cfg(test)]
mod tests {
    use super::with_variables;

    const LAB: &str = "+++\nid = \"a\"\ntitle = \"A\"\nvariables = { user = \"student\", image = \"student/app\" }\n+++\n\npush student/app as student\n";

    fn body(replacements: &[(&str, &str)]) -> String {
        let replacements: Vec<_> =
            replacements.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        match with_variables(LAB, &replacements) {
            Ok(text) => text.rsplit("+++\n").next().unwrap_or_default().trim().to_owned(),
            Err(error) => error.to_string(),
        }
    }

    #[test]
    fn the_longest_value_is_replaced_and_results_are_not_replaced_again() {
        assert_eq!(
            body(&[("user", "student/app"), ("image", "localhost:5000/student")]),
            "push localhost:5000/student as student/app"
        );
    }

    #[test]
    fn an_unknown_variable_is_refused_with_those_there_are() {
        assert_eq!(body(&[("usr", "x")]), "the lab has no variable `usr`; it has `user`, `image`");
    }
}
