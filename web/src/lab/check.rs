use docklab_scenario::{Check, ExpectationReport, StepReport};
use yew::prelude::*;

use crate::icons::Icon;

#[derive(Properties, PartialEq)]
pub(crate) struct CheckBoxProps {
    pub check: Check,
    /// The part of the step's report that belongs to this check; empty before the first look.
    #[prop_or_default]
    pub reports: Vec<ExpectationReport>,
    #[prop_or_default]
    pub mistake: Option<String>,
    pub done: bool,
    /// The student asks why a check is not green.
    #[prop_or_default]
    pub on_ask: Callback<()>,
}

/// The reports of the step's `index`-th check.
pub(crate) fn reports_of(report: Option<&StepReport>, checks: &[&Check], index: usize) -> Vec<ExpectationReport> {
    let before: usize = checks[..index].iter().map(|check| check.expectations.len()).sum();
    report
        .map(|report| report.expectations.iter().skip(before).take(checks[index].expectations.len()).cloned().collect())
        .unwrap_or_default()
}

/// Text with `code` in backticks.
pub(crate) fn inline_code(text: &str) -> Html {
    text.split('`')
        .enumerate()
        .map(|(index, part)| {
            if index % 2 == 1 {
                html! { <code>{ part }</code> }
            } else {
                html! { { part } }
            }
        })
        .collect()
}

#[component]
pub(crate) fn CheckBox(props: &CheckBoxProps) -> Html {
    let all = props.check.expectations.len();
    html! {
        <div class="check" role="group" data-done={props.done.to_string()} aria-label="Check">
            <ul>
                { for (0..all).map(|index| {
                    let report = props.reports.get(index);
                    let passed = props.done || report.is_some_and(|report| report.passed);
                    let description = report.map_or_else(|| props.check.expectations[index].describe(), |report| report.description.clone());
                    let on_ask = props.on_ask.clone();
                    let onclick = Callback::from(move |_: MouseEvent| on_ask.emit(()));
                    html! {
                        <li key={index} data-passed={passed.to_string()}>
                            <span class="tick" aria-hidden="true">{ if passed { Icon::Check.draw() } else { html! {} } }</span>
                            <div>
                                <p>{ inline_code(&description) }<span class="hidden-text">{ if passed { " – reached" } else { " – not yet" } }</span></p>
                                if !passed {
                                    <details class="why">
                                        <summary {onclick}>{ "Why not?" }</summary>
                                        { report.map_or_else(|| html! { <p>{ "Nothing has been looked at yet." }</p> }, explain) }
                                    </details>
                                }
                            </div>
                        </li>
                    }
                }) }
            </ul>
            if let (Some(mistake), false) = (&props.mistake, props.done) {
                <p class="mistake" role="status">{ Icon::Lamp.draw() }<span>{ inline_code(mistake) }</span></p>
            }
        </div>
    }
}

fn explain(report: &ExpectationReport) -> Html {
    html! {
        <div class="explanation">
            if let Some(nearest) = &report.nearest {
                <p>{ "Nearest: " }<strong>{ &nearest.label }</strong></p>
                <table>
                    <thead><tr><th scope="col">{ "" }</th><th scope="col">{ "expected" }</th><th scope="col">{ "is" }</th></tr></thead>
                    <tbody>
                        { for nearest.differences.iter().map(|difference| html! {
                            <tr key={difference.field.clone()}>
                                <th scope="row">{ &difference.field }</th>
                                <td>{ inline_code(&difference.expected) }</td>
                                <td class="actual">{ inline_code(&difference.actual) }</td>
                            </tr>
                        }) }
                    </tbody>
                </table>
            }
            { for report.trouble.iter().map(|trouble| html! { <p key={trouble.clone()}>{ inline_code(&capital(trouble)) }</p> }) }
        </div>
    }
}

fn capital(text: &str) -> String {
    let mut characters = text.chars();
    characters.next().map_or_else(String::new, |first| first.to_uppercase().chain(characters).collect())
}
