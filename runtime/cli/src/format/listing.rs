use std::sync::Arc;

use crate::{
    error::{CliError, CliResult},
    format::align,
    template::{RowValue, Template, Value},
};

/// One object of a listing: its fields by the names that templates use. A field `Label` holds the map that the method
/// of that name looks in.
pub(crate) type Row<V = String> = Vec<(&'static str, V)>;

/// What a listing can show and how it looks by default.
pub(crate) struct Listing {
    /// Go's type of a row, as errors name it: `*formatter.ContainerContext`.
    pub type_name: &'static str,
    /// Field and column header, for every field that a template may name.
    pub headers: &'static [(&'static str, &'static str)],
    /// Columns of the default table.
    pub columns: Vec<&'static str>,
    /// The field that `--quiet` prints.
    pub quiet: &'static str,
    /// What `--format raw` stands for; empty where Docker has no such form.
    pub raw: &'static str,
}

impl Listing {
    /// The template that `--format` and `--quiet` ask for, and whether it is a table's.
    fn source(&self, format: &str, quiet: bool) -> (bool, String) {
        // A column is a field, or a template of its own.
        let column =
            |field: &&str| if field.contains("{{") { (*field).to_owned() } else { format!("{{{{.{field}}}}}") };
        let default = self.columns.iter().map(column).collect::<Vec<_>>().join("\t");
        let source = match format {
            "" | "table" if quiet => format!("{{{{.{}}}}}", self.quiet),
            "" | "table" => format!("table {default}"),
            "json" => "{{json .}}".to_owned(),
            "raw" if quiet && !self.raw.is_empty() => self.raw.split('\n').next().unwrap_or_default().to_owned(),
            "raw" if !self.raw.is_empty() => self.raw.to_owned(),
            other => other.to_owned(),
        };
        let (is_table, body) = match source.strip_prefix("table") {
            Some(body) => (true, body),
            None => (false, source.as_str()),
        };
        (is_table, body.trim_matches(' ').replace("\\t", "\t").replace("\\n", "\n"))
    }

    /// Renders all rows as `--format` and `--quiet` ask for.
    pub(crate) fn render<V: Clone + Into<Value>>(
        &self,
        format: &str,
        quiet: bool,
        rows: &[Row<V>],
    ) -> CliResult<String> {
        let (is_table, body) = self.source(format, quiet);
        let wrong = |error: String| CliError::new(format!("template parsing error: {error}"));
        let template = Template::parse(&body).map_err(wrong)?;
        let mut output = String::new();
        if is_table {
            let headers = self.headers.iter().map(|(field, header)| (*field, Value::from(*header))).collect();
            let headers = RowValue {
                type_name: "formatter.SubHeaderContext",
                fields: headers,
                labels: Some(std::collections::BTreeMap::new()),
            };
            output.push_str(&template.execute_headers(&Value::Row(Arc::new(headers))).unwrap_or_default());
            output.push('\n');
        }
        for row in rows {
            output.push_str(&template.execute(&row_value(self.type_name, row)).map_err(wrong)?);
            output.push('\n');
        }
        Ok(if is_table { align(&output, 10, 3) } else { output })
    }

    /// Whether a template that was given can be rendered at all, judged on a row whose fields are empty.
    pub(crate) fn check(&self, format: &str, has_labels: bool) -> CliResult<()> {
        if matches!(format, "" | "table" | "json" | "raw") {
            return Ok(());
        }
        let (_, body) = self.source(format, false);
        let template =
            Template::parse(&body).map_err(|error| CliError::new(format!("failed to parse template: {error}")))?;
        let mut row: Row<Value> = self.headers.iter().map(|(field, _)| (*field, Value::from(""))).collect();
        if has_labels {
            row.push(("Label", Value::Map(None, crate::template::Element::Text)));
        }
        template
            .execute(&row_value(self.type_name, &row))
            .map(|_| ())
            .map_err(|error| CliError::new(format!("failed to execute template: {error}")))
    }
}

/// A row as templates see it.
pub(crate) fn row_value<V: Clone + Into<Value>>(type_name: &'static str, row: &Row<V>) -> Value {
    let mut fields = Vec::with_capacity(row.len());
    let mut labels = None;
    for (name, value) in row {
        match value.clone().into() {
            Value::Map(entries, _) if *name == "Label" => {
                let entries = entries.unwrap_or_default();
                labels =
                    Some(entries.into_iter().map(|(key, value)| (key, crate::template::plain_text(&value))).collect());
            }
            value => fields.push((*name, value)),
        }
    }
    Value::Row(Arc::new(RowValue { type_name, fields, labels }))
}
