use serde_json::{Map, Value};

use crate::{
    error::{CliError, CliResult},
    format::align,
    template::Template,
};

/// One object of a listing: its fields by the names that templates use.
pub(crate) type Row = Vec<(&'static str, String)>;

/// What a listing can show and how it looks by default.
pub(crate) struct Listing {
    /// Field and column header, for every field that a template may name.
    pub headers: &'static [(&'static str, &'static str)],
    /// Columns of the default table.
    pub columns: Vec<&'static str>,
    /// The field that `--quiet` prints.
    pub quiet: &'static str,
}

impl Listing {
    /// Renders all rows as `--format` and `--quiet` ask for.
    pub(crate) fn render(&self, format: &str, quiet: bool, rows: &[Row]) -> CliResult<String> {
        let default = self.columns.iter().map(|field| format!("{{{{.{field}}}}}")).collect::<Vec<_>>().join("\t");
        let source = match format {
            "" | "table" if quiet => format!("{{{{.{}}}}}", self.quiet),
            "" | "table" => format!("table {default}"),
            "json" => "{{json .}}".to_owned(),
            "raw" => self.columns.iter().map(|field| format!("{}: {{{{.{field}}}}}\n", field.to_lowercase())).collect(),
            other => other.to_owned(),
        };
        let source = source.replace("\\t", "\t").replace("\\n", "\n");
        let (is_table, body) = match source.strip_prefix("table") {
            Some(body) => (true, body.trim().to_owned()),
            None => (false, source),
        };
        let template =
            Template::parse(&body).map_err(|error| CliError::new(format!("template parsing error: {error}")))?;
        let mut output = String::new();
        if is_table {
            let headers: Map<String, Value> =
                self.headers.iter().map(|(field, header)| ((*field).to_owned(), Value::from(*header))).collect();
            output.push_str(&template.execute_headers(&Value::Object(headers)));
            output.push('\n');
        }
        for row in rows {
            let mut fields: Vec<(&str, &str)> = row.iter().map(|(field, value)| (*field, value.as_str())).collect();
            fields.sort_unstable();
            let object: Map<String, Value> =
                fields.into_iter().map(|(field, value)| (field.to_owned(), Value::from(value))).collect();
            let line = template.execute(&Value::Object(object)).map_err(CliError::new)?;
            output.push_str(&line);
            output.push('\n');
        }
        Ok(if is_table { align(&output, 10, 3) } else { output })
    }
}
