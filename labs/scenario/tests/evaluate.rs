//! Checks against an engine: what turns green, what a red one says, and how a scenario is played.

#[allow(unreachable_pub)]
mod fake;

use std::sync::Arc;

use async_trait::async_trait;
use docklab_scenario::{
    Commands, Evaluator, Mode, PlayError, Played, Player, Scenario, Scope, StepReport, Watch, Workspace, parse, test,
};
use fake::{Container, FakeWorkspace};
use futures::executor::block_on;

fn scenario(body: &str) -> Scenario {
    let parsed = parse("lab.md", &format!("+++\nid = \"lab\"\ntitle = \"Lab\"\n+++\n\n{body}"));
    assert!(parsed.diagnostics.is_empty(), "\n{}", parsed.diagnostics);
    parsed.scenario
}

fn evaluate(check: &str, containers: Vec<Container>) -> StepReport {
    let scenario = scenario(&format!("## Step\n\n```check\n{check}\n```\n"));
    let workspace = FakeWorkspace::default();
    *workspace.0.0.lock().unwrap() = containers;
    block_on(Evaluator::new().evaluate(&scenario.steps[0], &workspace))
}

fn container(name: &str, image: &str, command: &str, state: &'static str) -> Container {
    Container { name: name.into(), image: image.into(), command: command.into(), state, port: None }
}

const TOP: &str = "[[container]]\nimage = \"ubuntu\"\ncommand = \"top*\"\nstate = \"running\"\n\n[[mistake]]\nwhen.container = { image = \"ubuntu\", state = \"exited\" }\nsay = \"It has stopped.\"";

#[test]
fn an_exited_container_is_the_nearest_and_its_mistake_is_named() {
    let report = evaluate(
        TOP,
        vec![container("web", "nginx", "nginx", "running"), container("a", "ubuntu:22.04", "top", "exited")],
    );
    insta::assert_snapshot!(report, @r#"
✗ a container with image `ubuntu`, command like `top*` and state `running`
  nearest: container `a` (0123456789ab) on node1
    state: expected `running`, found `exited`
→ It has stopped.
"#);
}

#[test]
fn harmless_extras_do_not_fail_a_check() {
    let report = evaluate(
        TOP,
        vec![container("a", "ubuntu", "top -d 1", "running"), container("b", "ubuntu", "bash", "exited")],
    );
    assert!(report.passed && report.mistake.is_none(), "{report}");
}

#[test]
fn nothing_at_all_is_said_plainly() {
    insta::assert_snapshot!(evaluate(TOP, vec![]), @r#"
✗ a container with image `ubuntu`, command like `top*` and state `running`
  there is no container at all
"#);
}

#[test]
fn none_names_what_is_too_many() {
    let report =
        evaluate("[[container]]\nstate = \"running\"\nnone = true", vec![container("a", "ubuntu", "top", "running")]);
    insta::assert_snapshot!(report, @r#"
✗ no container with state `running`
  found 1: container `a` (0123456789ab) on node1
"#);
}

#[test]
fn a_request_without_an_answer_says_why() {
    let check = "[[http]]\nurl = \"http://localhost:8080/\"\nstatus = 200\nbody = { contains = \"nginx\" }";
    insta::assert_snapshot!(evaluate(check, vec![]), @r#"
✗ an answer from http://localhost:8080/ with status 200 and body containing `nginx`
  nearest: http://localhost:8080/ from node1: no answer, connection refused
    status: expected 200, found none
    body: expected containing `nginx`, found none
"#);
    let web = Container { port: Some((80, 8080)), ..container("nginx", "nginx", "nginx", "running") };
    assert!(evaluate(check, vec![web]).passed);
}

#[test]
fn only_what_a_check_looks_at_wakes_it() {
    let scenario = scenario(&format!("## Step\n\n```check\n{TOP}\n```\n"));
    let watch = Watch::of(&scenario.steps[0]);
    let event =
        |kind: &str, action: &str| serde_json::from_value(serde_json::json!({"Type": kind, "Action": action})).unwrap();
    assert!(watch.concerns(&event("container", "die")));
    assert!(!watch.concerns(&event("container", "exec_create: ps")));
    assert!(!watch.concerns(&event("image", "pull")));
}

/// Knows three commands and what they leave behind.
#[derive(Default)]
struct Fake(FakeWorkspace);

#[async_trait]
impl Player for Fake {
    fn engine(&self) -> &str {
        "fake"
    }
    fn workspace(&self) -> Arc<dyn Workspace> {
        Arc::new(self.0.clone())
    }
    async fn reset(&mut self) -> Result<(), PlayError> {
        self.0.0.0.lock().unwrap().clear();
        Ok(())
    }
    async fn run(&mut self, commands: &Commands) -> Result<Played, PlayError> {
        let mut containers = self.0.0.0.lock().unwrap();
        for line in commands.text.lines() {
            match line {
                "run top" => {
                    let state = if commands.mode == Mode::Interrupt { "exited" } else { "running" };
                    containers.push(container("top", "ubuntu", "top", state));
                }
                "stop" => containers.iter_mut().for_each(|container| container.state = "exited"),
                _ => {}
            }
        }
        Ok(Played { output: "hello\n".to_owned(), exit: Some(0) })
    }
    async fn save(&mut self, _: Option<&str>, _: &str, _: &str) -> Result<(), PlayError> {
        Ok(())
    }
    async fn wait_for_change(&mut self) -> bool {
        false
    }
}

fn played(body: &str) -> String {
    block_on(test(&scenario(body), Scope::default(), &mut Fake::default())).unwrap().to_string()
}

#[test]
fn a_true_scenario_passes_on_every_route() {
    let text = played(&format!(
        "## Step\n\n```sh run keep\nrun top\n```\n\n```output\nhel[..]\n```\n\n```check\n{TOP}\n```\n\n```sh also\nrun top\n```\n\n```sh wrong interrupt\nrun top\n```\n"
    ));
    insta::assert_snapshot!(text, @r#"
lab on fake
✓ step · reference · run top
✓ step · also · run top
✓ step · wrong · run top (then Ctrl-C)
3 routes passed, 0 failed
"#);
}

#[test]
fn a_false_scenario_is_found_out() {
    let text = played(&format!(
        "## Step\n\n```sh run\nnothing\n```\n\n```output\nbye\n```\n\n```check\n{TOP}\n```\n\n```sh also\nstop\n```\n\n```sh wrong\nrun top\n```\n\n## Green before\n\n```check\n[[container]]\nnone = true\n```\n"
    ));
    insta::assert_snapshot!(text, @r#"
lab on fake
✗ step · reference · nothing
    printed something else (- wanted, + printed):
    -bye
    +hello
    red after the reference solution:
    ✗ a container with image `ubuntu`, command like `top*` and state `running`
      there is no container at all
✗ green-before · reference · 
    green before anything was done:
    ✓ no container
✗ step · also · stop
    red after another right route:
    ✗ a container with image `ubuntu`, command like `top*` and state `running`
      there is no container at all
✗ step · wrong · run top
    green after a wrong route:
    ✓ a container with image `ubuntu`, command like `top*` and state `running`
0 routes passed, 4 failed
"#);
}
