use serde_json::json;

use super::*;

fn render(source: &str) -> String {
    let data = json!({"Name": "/web", "Config": {"Labels": {"a.b": "c"}, "Cmd": ["x", "y"]}, "N": 3, "Ok": true,
        "Ports": {"80/tcp": [{"HostPort": "8080"}]}, "None": null});
    match Template::parse(source) {
        Ok(template) => template.execute_untyped(&data).unwrap_or_else(|error| error),
        Err(error) => error,
    }
}

fn container(source: &str) -> String {
    let data = json!({"Id": "a1", "Name": "/web", "State": {"Status": "running", "Running": true, "Pid": 7},
        "Config": {"Env": ["A=1", "B=2"], "Labels": {"k": "v"}},
        "NetworkSettings": {"Ports": {"80/tcp": [{"HostIp": "0.0.0.0", "HostPort": "8080"}]}}});
    match Template::parse(source) {
        Ok(template) => template.execute(&typed("container.InspectResponse", &data)).unwrap_or_else(|error| error),
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
        ("{{with .Config}}{{join .Cmd \",\"}}{{end}}", "x,y"),
        ("{{.Name | upper | printf \"%s!\"}}", "/WEB!"),
        ("a {{- .N -}} b", "a3b"),
        ("{{len .Config.Cmd}}{{println .N}}", "23\n"),
        ("{{.None}}", "<no value>"),
        ("{{range .Config.Cmd}}{{if eq . \"x\"}}{{continue}}{{end}}{{.}}{{break}}{{end}}", "y"),
        ("{{define \"t\"}}[{{.}}]{{end}}{{template \"t\" .Name}}", "[/web]"),
        ("{{$n := 1}}{{range .Config.Cmd}}{{$n = 2}}{{end}}{{$n}}", "2"),
        ("{{/* note */ -}}   x", "x"),
    ];
    for (source, expected) in cases {
        assert_eq!(render(source), expected, "{source}");
    }
}

#[test]
fn typed_values_print_and_encode_as_gos_structs_do() {
    let cases = [
        ("{{.ID}} {{.State.Pid}} {{.HostConfig}}", "a1 7 <nil>"),
        ("{{.State}}", "{running true false false false false 7 0    <nil>}"),
        ("{{.Config.ExposedPorts}} {{.Config.Env}}", "map[] [A=1 B=2]"),
        ("{{index .Config.Labels \"k\"}}-{{index .Config.Labels \"no\"}}", "v-"),
        ("{{json .Config.Labels}}", "{\"k\":\"v\"}"),
        ("{{(index (index .NetworkSettings.Ports \"80/tcp\") 0).HostPort}}", "8080"),
        (
            "{{if eq .State.Pid 7}}yes{{end}} {{printf \"%05d|%-4s|%q\" .State.Pid .ID .Name}}",
            "yes 00007|a1  |\"/web\"",
        ),
        ("{{slice .ID 0 1}} {{len .Config.Env}} {{title \"a bc\"}} {{pad .ID 1 2}}|", "a 2 A Bc  a1  |"),
    ];
    for (source, expected) in cases {
        assert_eq!(container(source), expected, "{source}");
    }
}

#[test]
fn errors_have_gos_words() {
    let errors = [
        "{{.Nope}}",
        "{{.State.Nope}}",
        "{{.State.Health.Status}}",
        "{{index .Config.Env 2}}",
        "{{index .Config.Env 9}}",
        "{{upper 1}}",
        "{{upper .State.Pid}}",
        "{{len}}",
        "{{eq .ID 1}}",
        "{{lt true false}}",
        "{{range .ID}}{{end}}",
        "{{nil}}",
        "{{.ID.X}}",
        "a\nb {{.Nope}}",
        "{{template \"x\"}}",
        "{{.ID",
        "{{nope}}",
        "{{end}}",
        "{{if .ID}}",
        "{{$x}}",
        "{{\"open}}",
        "{{}}",
        "{{.ID | }}",
        "{{(.ID}}",
        "{{1x}}",
        "{{call .ID}}",
        "{{break}}",
    ];
    let texts: Vec<String> = errors.iter().map(|source| container(source)).collect();
    insta::assert_snapshot!(texts.join("\n"), @r##"
    template: :1:2: executing "" at <.Nope>: can't evaluate field Nope in type container.InspectResponse
    template: :1:8: executing "" at <.State.Nope>: can't evaluate field Nope in type container.State
    template: :1:8: executing "" at <.State.Health.Status>: nil pointer evaluating *container.Health.Status
    template: :1:2: executing "" at <index .Config.Env 2>: error calling index: reflect: slice index out of range
    template: :1:2: executing "" at <index .Config.Env 9>: error calling index: index out of range: 9
    template: :1:8: executing "" at <1>: expected string; found 1
    template: :1:14: executing "" at <.State.Pid>: wrong type for value; expected string; got int
    template: :1:2: executing "" at <len>: wrong number of args for len: want 1 got 0
    template: :1:2: executing "" at <eq .ID 1>: error calling eq: incompatible types for comparison
    template: :1:2: executing "" at <lt true false>: error calling lt: invalid type for comparison
    template: :1:8: executing "" at <.ID>: range can't iterate over a1
    template: :1:2: executing "" at <nil>: nil is not a command
    template: :1:5: executing "" at <.ID.X>: can't evaluate field X in type string
    template: :2:4: executing "" at <.Nope>: can't evaluate field Nope in type container.InspectResponse
    template: :1:11: executing "" at <{{template "x"}}>: template "x" not defined
    template: :1: unclosed action
    template: :1: function "nope" not defined
    template: :1: unexpected {{end}}
    template: :1: unexpected EOF
    template: :1: undefined variable "$x"
    template: :1: unterminated quoted string
    template: :1: missing value for command
    template: :1: missing value for command
    template: :1: unclosed left paren
    template: :1: bad number syntax: "1x"
    template: :1:2: executing "" at <call .ID>: error calling call: non-function .ID of type string
    template: :1: {{break}} outside {{range}}
    "##);
}
