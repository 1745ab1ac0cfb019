//! Go templates, as far as `--format` is used: fields, pipelines, variables, `if`, `range`, `with`, functions.

mod evaluate;
mod functions;
mod parse;

use serde_json::Value;

use parse::Node;

/// A parsed template.
pub(crate) struct Template {
    nodes: Vec<Node>,
}

impl Template {
    /// Parses; the error is Go's text for the most common mistakes.
    pub(crate) fn parse(source: &str) -> Result<Self, String> {
        parse::parse(source).map(|nodes| Self { nodes })
    }
    /// Renders `data`.
    pub(crate) fn execute(&self, data: &Value) -> Result<String, String> {
        evaluate::execute(&self.nodes, data, false)
    }
    /// Renders a table's header line: functions that change text leave it alone.
    pub(crate) fn execute_headers(&self, headers: &Value) -> String {
        evaluate::execute(&self.nodes, headers, true).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn render(source: &str) -> String {
        let data = json!({"Name": "/web", "Config": {"Labels": {"a.b": "c"}, "Cmd": ["x", "y"]}, "N": 3, "Ok": true,
            "Ports": {"80/tcp": [{"HostPort": "8080"}]}, "None": null});
        match Template::parse(source) {
            Ok(template) => template.execute(&data).unwrap_or_else(|error| error),
            Err(error) => error,
        }
    }

    #[test]
    fn what_people_write_works() {
        let cases = [
            ("{{.Name}} {{.N}} {{.Ok}}", "/web 3 true"),
            ("{{json .Config.Cmd}}", "[\"x\",\"y\"]"),
            ("{{.Config.Cmd}} {{.Config.Labels}}", "[x y] map[a.b:c]"),
            ("{{index .Config.Labels \"a.b\"}}", "c"),
            ("{{range .Config.Cmd}}<{{.}}>{{end}}", "<x><y>"),
            ("{{range $i, $e := .Config.Cmd}}{{$i}}={{$e}} {{end}}", "0=x 1=y "),
            ("{{range $p, $c := .Ports}}{{$p}}->{{(index $c 0).HostPort}}{{end}}", "80/tcp->8080"),
            ("{{if eq .N 3}}three{{else}}no{{end}}", "three"),
            ("{{if and .Ok (gt .N 5)}}a{{else if .Ok}}b{{end}}", "b"),
            ("{{with .Config}}{{join .Cmd \",\"}}{{end}}", "x,y"),
            ("{{.Name | upper | printf \"%s!\"}}", "/WEB!"),
            ("a {{- .N -}} b", "a3b"),
            ("{{len .Config.Cmd}}{{println .N}}", "23\n"),
            ("{{.None}}", "<no value>"),
        ];
        for (source, expected) in cases {
            assert_eq!(render(source), expected, "{source}");
        }
    }

    #[test]
    fn a_missing_field_is_an_error() {
        insta::assert_snapshot!(render("{{.Config.Nope}}"), @r#"template: :1:9: executing "" at <.Config.Nope>: map has no entry for key "Nope""#);
    }
}
