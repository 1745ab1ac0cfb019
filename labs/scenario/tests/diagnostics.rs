//! Authoring faults carry their place, what was expected, the nearest known word and a fix; reading never panics.

use docklab_scenario::parse;
use proptest::prelude::*;

const FRONT: &str = "+++\nid = \"lab\"\ntitle = \"Lab\"\n+++\n\n";

fn faults(body: &str) -> String {
    parse("lab.md", &format!("{FRONT}{body}")).diagnostics.to_string()
}

#[test]
fn every_fault_of_a_check_is_reported_in_one_run() {
    let text = faults(
        "## A step\n\n```check\n[[contaner]]\nimage = \"ubuntu\"\n\n[[container]]\niamge = \"ubuntu\"\nstate = \"runing\"\ntty = \"yes\"\nname = { regex = \"(\" }\nnode = \"node2\"\n```\n",
    );
    insta::assert_snapshot!(text, @r#"
error[unknown-kind]: nothing called `contaner` can be checked
 --> lab.md:9:3
  |
9 | [[contaner]]
  |   ^^^^^^^^ expected `container`, `image`, `layer`, `network`, `volume`, `service`, `task`, `node`, `http`, `file`, `exec`, `registry` or `mistake`
  = did you mean `container`?

error[unknown-field]: a container has no `iamge`
  --> lab.md:13:1
   |
13 | iamge = "ubuntu"
   | ^^^^^ expected `name`, `image`, `command`, `state`, `exit_code`, `error`, `publish`, `tty`, `stdin`, `env`, `label`, `network`, `alias`, `mount`, `restart`, `health`, `changed`, `node`, `count` or `none`
   = did you mean `image`?

error[unknown-word]: `runing` is not a value of this field
  --> lab.md:14:9
   |
14 | state = "runing"
   |         ^^^^^^^^ expected `created`, `running`, `paused`, `restarting`, `removing`, `exited` or `dead`
   = did you mean `running`?

error[wrong-type]: this is a string
  --> lab.md:15:7
   |
15 | tty = "yes"
   |       ^^^^^ expected `true` or `false`

error[regex]: this regular expression cannot be read: found open group without closing ')'
  --> lab.md:16:18
   |
16 | name = { regex = "(" }
   |                  ^^^

error[unknown-node]: the front matter has no node `node2`
  --> lab.md:17:8
   |
17 | node = "node2"
   |        ^^^^^^^ expected `node1`
   = did you mean `node1`?
"#);
}

#[test]
fn faults_of_blocks_name_the_word() {
    let text = faults(
        "## A step\n\n```sh rnu\nls\n```\n\n```sh run nod1\nls\n```\n\n```text\nx\n```\n\n```output\nx\n```\n\n```chekc\n```\n",
    );
    insta::assert_snapshot!(text, @r#"
error[unknown-role]: commands cannot be `rnu`
 --> lab.md:8:7
  |
8 | ```sh rnu
  |       ^^^ expected `run`, `also` or `wrong`
  = did you mean `run`?
  = fix: leave the word out if the commands are only to be read

error[unknown-word]: `nod1` is no node or mode
  --> lab.md:12:11
   |
12 | ```sh run nod1
   |           ^^^^ expected `node1`, `keep`, `interrupt` or `interactive`
   = did you mean `node1`?

error[output-without-commands]: no commands stand directly before this output
  --> lab.md:20:1
   |
20 | ```output
   | ^^^^^^^^^ expected a `sh run` block above it
   = fix: put the output right below its commands, or name the block `text` if it is only to be read

warning[unknown-block]: `chekc` is shown as plain code
  --> lab.md:24:4
   |
24 | ```chekc
   |    ^^^^^ expected `check`, `hint`, `output` or `quiz`
   = did you mean `check`?
   = fix: write `check` if it is to be verified
"#);
}

#[test]
fn a_missing_front_matter_says_how_to_write_one() {
    insta::assert_snapshot!(parse("lab.md", "# Hello\n").diagnostics.to_string(), @r#"
error[front-matter]: this scenario has no front matter
 --> lab.md:1:1
  |
1 | # Hello
  | ^^^^^^^ expected a first line `+++`
  = fix: begin the file with `+++`, the keys `id` and `title`, and `+++` again

error[no-step]: this scenario has no step
 --> lab.md:1:1
  |
1 | # Hello
  | ^
  = fix: begin each step with a `## ` heading
"#);
}

#[test]
fn diagnostics_have_a_json_form_with_line_column_and_length() {
    let diagnostics =
        parse("lab.md", &format!("{FRONT}## S\n\n```check\n[[container]]\nsate = \"running\"\n```\n")).diagnostics;
    insta::assert_json_snapshot!(diagnostics, @r#"
[
  {
    "severity": "error",
    "code": "unknown-field",
    "message": "a container has no `sate`",
    "file": "lab.md",
    "line": 10,
    "column": 1,
    "length": 4,
    "span": {
      "start": 63,
      "end": 67
    },
    "expected": "`name`, `image`, `command`, `state`, `exit_code`, `error`, `publish`, `tty`, `stdin`, `env`, `label`, `network`, `alias`, `mount`, `restart`, `health`, `changed`, `node`, `count` or `none`",
    "nearest": "state",
    "excerpt": "sate = \"running\""
  }
]
"#);
}

proptest! {
    #[test]
    fn reading_never_panics(text in "\\PC*") {
        let _ = parse("any.md", &text);
    }

    #[test]
    fn reading_never_panics_on_the_alphabet_of_scenarios(
        parts in prop::collection::vec(
            prop::sample::select(vec![
                "+++\n", "## ", "```check\n", "```sh run\n", "```output\n", "```quiz\n", "```\n", "[[container]]\n", "::: note\n", ":::\n",
                "state = \"running\"\n", "when.http = {", "}", "\n", "é", "\r\n", "> ", "  ", "- ", "\u{feff}", "id = ", "\"", "x = { not = { not = 1 } }\n",
            ]),
            0..40,
        )
    ) {
        let _ = docklab_scenario::lint("any.md", &parts.concat());
    }
}

#[test]
fn an_unknown_diagram_names_those_there_are() {
    let text = parse("lab.md", "+++\nid = \"lab\"\ntitle = \"Lab\"\ndiagram = \"layer\"\n+++\n\n# Lab\n").diagnostics;
    let text = text.to_string();
    assert!(text.contains("there is no diagram `layer`"), "{text}");
    assert!(text.contains("expected `host`, `layers` or `swarm`"), "{text}");
    assert!(text.contains("did you mean `layers`?"), "{text}");
}
