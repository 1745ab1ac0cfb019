use docklab_scenario::{Step, StepReport};
use yew::prelude::*;

use super::check::inline_code;
use crate::icons::Icon;

#[derive(Properties, PartialEq)]
pub(crate) struct GoalProps {
    pub step: Option<Step>,
    pub report: Option<StepReport>,
}

/// The current step's goal beside the diagram: what must be true, and what already is.
#[component]
pub(crate) fn Goal(props: &GoalProps) -> Html {
    let Some(step) = &props.step else {
        return html! { <p class="goal" data-reached="true">{ Icon::Check.draw() }<span>{ "Every goal is reached." }</span></p> };
    };
    let expectations: Vec<_> = step.checks().flat_map(|check| &check.expectations).collect();
    html! {
        <div class="goal">
            <span class="goal-label">{ "Goal" }</span>
            <ul>
                { for expectations.iter().enumerate().map(|(index, expectation)| {
                    let report = props.report.as_ref().and_then(|report| report.expectations.get(index));
                    let reached = report.is_some_and(|report| report.passed);
                    html! {
                        <li key={index} data-reached={reached.to_string()}>
                            <span class="tick" aria-hidden="true">{ if reached { Icon::Check.draw() } else { html! {} } }</span>
                            <span>{ inline_code(&expectation.describe()) }</span>
                        </li>
                    }
                }) }
            </ul>
        </div>
    }
}
