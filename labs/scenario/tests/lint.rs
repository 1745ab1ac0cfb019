//! Rules of taste: each finds what it is for, in one run, and leaves the rest alone.

use docklab_scenario::{Diagnostics, PROBLEM_MATCHER, RULES, format, lint};
use proptest::prelude::*;

const FRONT: &str = "+++\nid = \"lab\"\ntitle = \"Lab\"\nsummary = \"S\"\ntime = 5\n+++\n\n";

fn found(body: &str) -> Diagnostics {
    lint("lab.md", &format!("{FRONT}{body}"))
}

fn codes(body: &str) -> Vec<String> {
    found(body).iter().map(|fault| format!("{}:{}:{}", fault.line, fault.column, fault.code)).collect()
}

/// A step that nothing is wrong with, around `body`.
fn step(body: &str) -> String {
    format!(
        "## S\n\n{body}\n\n```sh run\ndocker run -d --name a nginx:1.27\n```\n\n```check\n[[container]]\nname = \"a\"\n\n[[mistake]]\nwhen.container = {{ state = \"exited\" }}\nsay = \"x\"\n```\n\n```hint\nx\n```\n"
    )
}

#[test]
fn a_step_owes_a_check_a_hint_and_a_mistake() {
    assert_eq!(codes("## S\n\n```sh run\nls\n```\n"), ["8:1:no-check"]);
    assert_eq!(codes("## S\n\n```check\n[[container]]\n```\n"), ["8:1:no-solution", "8:1:no-hint", "8:1:no-mistake"]);
    assert!(codes(&step("text")).is_empty());
}

#[test]
fn unpinned_images_are_found_in_dockerfiles_and_commands_once_each() {
    let body = step(
        "```dockerfile\nFROM --platform=linux/amd64 python AS build\nFROM build\nFROM scratch\nFROM me.io:5000/a\n```\n\n```sh run\ndocker run -it --rm ubuntu top\ndocker run ubuntu:latest\ndocker build -t mine .\ndocker run mine\ndocker service update --image redis web\n```",
    );
    assert_eq!(codes(&body), ["11:29:unpinned", "14:6:unpinned", "18:21:unpinned", "19:12:unpinned", "22:31:unpinned"]);
}

#[test]
fn commands_and_transcripts_that_nobody_plays_are_named() {
    let body = step(
        "Type `docker run -d --name a nginx:1.27`, `docker ps`, or `docker run -d --name b nginx:1.27`.\n\n```sh\ndocker image rm x\n```\n\n```console\n$ docker ps\nCONTAINER ID\n```",
    );
    assert_eq!(
        codes(&body),
        ["10:59:unplayed-command", "13:1:unplayed-command", "17:1:unplayed-command", "17:1:unplayed-output"]
    );
}

#[test]
fn pictures_and_raw_html() {
    let body = step("![](a.svg) ![shown](b.svg)\n\n<img src=\"a.svg\">\n\n<!-- a note -->");
    assert_eq!(codes(&body), ["10:1:no-alt-text", "12:1:raw-html"]);
}

#[test]
fn an_output_that_fits_everything_proves_nothing() {
    assert_eq!(codes(&step("```sh run\ndocker ps\n```\n\n```output\n...\n```")), ["15:1:empty-output"]);
}

#[test]
fn answers_that_give_themselves_away() {
    let quiz = "```quiz\nquestion = \"Is it right that a container is a process, or a machine?\"\nchoices = [\"a container is a process\", \"a container is a machine, or so\"]\nright = 1\nexplain = \"x\"\n```";
    let long = "```quiz\nquestion = \"What?\"\nchoices = [\"no\", \"the one that is explained at such length that nobody can miss it\"]\nright = 2\nexplain = \"x\"\n```";
    let file = "```check\n[[file]]\npath = \"answer.txt\"\ncontent = \"42\"\n\n[[file]]\npath = \"saved.txt\"\ncontent = \"x\"\n```\n\n```text file=saved.txt\nx\n```";
    assert_eq!(codes(&step(quiz)), ["8:1:given-away"]);
    assert_eq!(codes(&step(long)), ["8:1:given-away"]);
    assert_eq!(codes(&step(file)), ["11:3:given-away"]);
}

#[test]
fn a_stub_and_a_check_for_one_engine_only() {
    assert_eq!(codes("## S\n\n```check\n# to be written\n```\n"), ["11:1:stub"]);
    let body = step("::: docker Only there\n\n```check\n[[image]]\n```\n\n:::");
    assert_eq!(codes(&body), ["13:1:check-in-note"]);
}

#[test]
fn a_rule_may_be_set_aside_with_a_reason_while_it_is_broken() {
    let text = |allow: &str| {
        let front = FRONT.replace("time = 5\n", &format!("time = 5\nallow = {{ {allow} }}\n"));
        lint("lab.md", &format!("{front}{}", step("```sh run\ndocker run ubuntu\n```")))
            .iter()
            .map(|fault| fault.code.clone())
            .collect::<Vec<_>>()
    };
    assert!(text("unpinned = \"why\"").is_empty());
    assert_eq!(text("no-hint = \"why\""), ["unused-allow", "unpinned"]);
    assert_eq!(text("unpined = \"why\", unpinned = \"why\""), ["unused-allow"]);
}

#[test]
fn every_rule_has_a_sentence_and_a_name_of_its_own() {
    let mut names: Vec<&str> = RULES.iter().map(|(rule, _)| *rule).collect();
    names.dedup();
    assert!(names.len() == RULES.len() && RULES.iter().all(|(_, sentence)| !sentence.is_empty()));
}

/// Problem matchers are read by JavaScript; the patterns use nothing that differs.
#[test]
fn the_problem_matcher_reads_what_lint_prints() {
    let matcher: serde_json::Value = serde_json::from_str(PROBLEM_MATCHER).unwrap();
    let patterns = matcher["problemMatcher"][0]["pattern"].as_array().unwrap();
    let text = found("## S\n\n```sh run\nls\n```\n").to_string();
    for (pattern, line) in patterns.iter().zip(text.lines()) {
        let regex = regex_lite::Regex::new(pattern["regexp"].as_str().unwrap()).unwrap();
        assert!(regex.is_match(line), "{regex} does not read {line:?}");
    }
}

proptest! {
    #[test]
    fn formatting_twice_is_formatting_once(
        parts in prop::collection::vec(
            prop::sample::select(vec![
                "+++\n", "## A\n", "#\n", "```check\n", "```sh  run\n", "```\n", "~~~\n", "````\n", "[[container]]\n", "::: note\n", ":::\n",
                "state=\"running\"\n", "say = '''\n", "\"\"\"\n", "\n", "\n\n", "é", "\r\n", "> ", "  ", "- a\n", "  b\n", "\u{feff}", "x = { y = 1 }\n", "text  \n", "    indented\n", "<!-- a\n", "-->\n",
            ]),
            0..40,
        )
    ) {
        let once = format(&parts.concat());
        prop_assert_eq!(&format(&once), &once);
    }
}
