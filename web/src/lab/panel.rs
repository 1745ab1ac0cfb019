//! The page as a panel of another page of the same origin, the book: text and buttons stand there, terminals and diagram
//! here. Commands come in as messages, and ticks go out.

use std::rc::Rc;

use docklab_scenario::{Block, Commands, Scenario, StepReport};
use wasm_bindgen::{JsCast as _, JsValue};
use yew::prelude::*;

use super::blocks::FileToSave;
use crate::browser::{self, WindowListener};

/// What a message of the book asks for.
#[derive(Debug, Clone, PartialEq, Eq, serde::Deserialize)]
struct Request {
    docklab: String,
    step: String,
    block: usize,
}

/// Connects the page with the one around it, if it is a panel.
#[hook]
pub(super) fn use_panel(
    is_panel: bool,
    scenario: &Rc<Scenario>,
    on_run: &Callback<Commands>,
    on_save: &Callback<FileToSave>,
) {
    let callbacks = (scenario.clone(), on_run.clone(), on_save.clone());
    use_effect_with((is_panel, scenario.clone()), move |_| {
        let (scenario, on_run, on_save) = callbacks;
        let listener = is_panel.then(|| {
            let listener = WindowListener::new("message", move |event| {
                match event.dyn_ref::<web_sys::MessageEvent>().and_then(|event| requested(event, &scenario)) {
                    Some(Block::Run(commands)) => on_run.emit(commands),
                    Some(Block::File { path, node, content, .. }) => {
                        on_save.emit((node, path, content, Callback::noop()));
                    }
                    _ => {}
                }
            });
            tell(&serde_json::json!({ "docklab": "ready" }));
            listener
        });
        move || drop(listener)
    });
}

/// The block of the lab that a message means; none, if it is not from a page of ours.
fn requested(event: &web_sys::MessageEvent, scenario: &Scenario) -> Option<Block> {
    let origin = browser::window()?.location().origin().ok()?;
    if event.origin() != origin {
        return None;
    }
    let text = js_sys::JSON::stringify(&event.data()).ok()?.as_string()?;
    find(&text, scenario)
}

fn find(message: &str, scenario: &Scenario) -> Option<Block> {
    let request: Request = serde_json::from_slice(message.as_bytes()).ok()?;
    let step = scenario.steps.iter().find(|step| step.slug == request.step && request.docklab == "do")?;
    step.blocks.get(request.block).cloned()
}

/// Tells the page around this one which goals of a step are reached.
pub(super) fn tell_report(report: &StepReport) {
    let passed: Vec<bool> = report.expectations.iter().map(|expectation| expectation.passed).collect();
    tell(&serde_json::json!({ "docklab": "report", "step": report.step, "passed": passed }));
}

/// To the page around this one, if it is of the same origin.
fn tell(message: &serde_json::Value) {
    let Some(window) = browser::window() else { return };
    let (Ok(Some(parent)), Ok(origin)) = (window.parent(), window.location().origin()) else { return };
    if let Ok(message) = js_sys::JSON::parse(&message.to_string()) {
        // A page that is gone needs no news.
        let _: Result<(), JsValue> = parent.post_message(&message, &origin);
    }
}

#[cfg(test)]
mod tests {
    use docklab_scenario::parse;

    use super::*;

    #[test]
    fn a_message_names_a_block_by_its_step_and_place() {
        let lab = "+++\nid = \"x\"\n+++\n\n## One\n\nWords.\n\n```sh run\ndocker ps\n```\n";
        let scenario = parse("x.md", lab).scenario;
        let found = find(r#"{"docklab":"do","step":"one","block":1}"#, &scenario);
        assert!(matches!(found, Some(Block::Run(commands)) if commands.text.contains("docker ps")));
        assert_eq!(find(r#"{"docklab":"do","step":"one","block":9}"#, &scenario), None);
        assert_eq!(find(r#"{"other":"do","step":"one","block":1}"#, &scenario), None);
    }
}
