//! The labs that are shipped read without fault and pass the linter.

use docklab_scenario::{Block, lint, parse};

fn clean(name: &str, text: &str) {
    let faults = lint(name, text);
    assert!(faults.is_empty(), "\n{faults}");
}

#[test]
fn lab_1_lints_clean() {
    clean("labs/01-running-a-container.md", include_str!("../../01-running-a-container.md"));
}

#[test]
fn lab_2_lints_clean() {
    clean("labs/02-images.md", include_str!("../../02-images.md"));
}

#[test]
fn lab_3_lints_clean() {
    clean("labs/03-swarm.md", include_str!("../../03-swarm.md"));
}

#[test]
fn lab_4_lints_clean() {
    clean("labs/04-networks.md", include_str!("../../04-networks.md"));
}

#[test]
fn lab_1_has_its_steps_and_three_questions() {
    let scenario = parse("01", include_str!("../../01-running-a-container.md")).scenario;
    let slugs: Vec<&str> = scenario.steps.iter().map(|step| step.slug.as_str()).collect();
    insta::assert_debug_snapshot!(slugs, @r#"
    [
        "start-your-first-container",
        "look-inside",
        "run-a-web-server",
        "run-a-database-beside-it",
        "stop-them",
        "clear-away-what-is-left",
        "what-you-have-learned",
    ]
    "#);
    let quizzes =
        scenario.steps.iter().flat_map(|step| step.all_blocks()).filter(|block| matches!(block, Block::Quiz(_)));
    assert_eq!(quizzes.count(), 3);
}

#[test]
fn labs_are_written_in_the_usual_form() {
    for (name, text) in [
        ("01", include_str!("../../01-running-a-container.md")),
        ("02", include_str!("../../02-images.md")),
        ("03", include_str!("../../03-swarm.md")),
        ("04", include_str!("../../04-networks.md")),
    ] {
        assert_eq!(docklab_scenario::format(text), text, "lab {name}: `docklab fmt` writes it otherwise");
    }
}
