use std::rc::Rc;

use docklab_scenario::{Candidate, Difference, ExpectationReport, Progress, StepReport, parse};
use yew::LocalServerRenderer;

use super::{
    judge::current_step,
    text::{LabText, LabTextProps},
};
use crate::session::EngineKind;

const LAB: &str = r#"+++
id = "small"
title = "A small lab"
summary = "One container."
nodes = ["node1"]
images = ["ubuntu"]
time = 5
level = "beginner"
language = "en"
+++

Before the steps.

## Start it

```sh run
docker run -t ubuntu top
```

```check
[[container]]
image = "ubuntu"
state = "running"
```

::: simulator Only here
Time is not real.
:::

## Stop it

```check
[[container]]
image = "ubuntu"
state = "exited"
```
"#;

async fn render(progress: Progress, reports: Vec<StepReport>) -> String {
    let scenario = Rc::new(parse("small.md", LAB).scenario);
    let reports = reports.into_iter().map(|report| (report.step.clone(), report)).collect();
    let props = LabTextProps {
        scenario,
        progress,
        reports: Rc::new(reports),
        answers: Rc::default(),
        engine: EngineKind::Docklab,
        on_run: yew::Callback::noop(),
        on_save: yew::Callback::noop(),
        on_ask: yew::Callback::noop(),
        on_answer: yew::Callback::noop(),
        on_read: yew::Callback::noop(),
        author: None,
    };
    LocalServerRenderer::<LabText>::with_props(props).hydratable(false).render().await
}

#[tokio::test(flavor = "current_thread")]
async fn a_red_check_says_what_differs_and_which_mistake_it_is() {
    let report = StepReport {
        step: "start-it".into(),
        passed: false,
        expectations: vec![ExpectationReport {
            passed: false,
            description: "a container with state `running`".into(),
            found: Vec::new(),
            nearest: Some(Candidate {
                label: "container old".into(),
                differences: vec![Difference {
                    field: "state".into(),
                    expected: "`running`".into(),
                    actual: "`exited`".into(),
                }],
            }),
            trouble: Vec::new(),
        }],
        mistake: Some("It has stopped.".into()),
    };
    let html = render(Progress::new("small"), vec![report]).await;
    for part in ["Why not?", "container old", "<code>exited</code>", "It has stopped."] {
        assert!(html.contains(part), "no {part} in {html}");
    }
}

#[tokio::test(flavor = "current_thread")]
async fn a_done_step_keeps_its_tick_and_the_next_is_current() {
    let mut progress = Progress::new("small");
    progress.complete("start-it", false, 1);
    let scenario = parse("small.md", LAB).scenario;
    assert_eq!(current_step(&scenario, &progress).map(|step| step.slug.as_str()), Some("stop-it"));
    let html = render(progress, Vec::new()).await;
    assert!(html.contains("id=\"start-it\" data-state=\"done\""), "{html}");
    assert!(html.contains("id=\"stop-it\" data-state=\"current\""), "{html}");
}

#[tokio::test(flavor = "current_thread")]
async fn remarks_for_another_engine_are_left_out() {
    assert!(!render(Progress::new("small"), Vec::new()).await.contains("Time is not real."));
}
