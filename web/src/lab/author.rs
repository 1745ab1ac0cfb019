//! What an author sees beside the lab: its faults where they are, and how its edited steps play.

use std::rc::Rc;

use docklab_scenario::{Diagnostic, Diagnostics, RouteKind, RouteReport, Severity, Span};
use serde::Deserialize;
use yew::prelude::*;

use crate::browser::{self, FetchRequest};

/// The lab's file as it was saved last, as `docklab preview` tells it.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub struct Edition {
    pub revision: u64,
    pub file: String,
    pub text: String,
    pub faults: Diagnostics,
    /// `None` while they are being played.
    pub routes: Option<Vec<RouteReport>>,
    pub trouble: Option<String>,
}

const PAUSE_MILLISECONDS: i32 = 1000;

/// Follows what the author saves, where a lab is being written.
#[hook]
pub fn use_author(is_authoring: bool) -> Option<Rc<Edition>> {
    let edition = use_state(|| None::<Rc<Edition>>);
    {
        let edition = edition.clone();
        use_effect_with(is_authoring, move |is_authoring| {
            let (stop, stopped) = futures::channel::oneshot::channel::<()>();
            if *is_authoring {
                browser::spawn(async move {
                    let following = follow(move |news| edition.set(Some(Rc::new(news))));
                    futures::future::select(Box::pin(following), stopped).await;
                });
            }
            move || drop(stop)
        });
    }
    (*edition).clone()
}

/// Asks for the next edition again and again; a server that is started again is found again.
async fn follow(show: impl Fn(Edition)) {
    let mut revision = 0;
    loop {
        match ask(revision).await {
            Some(edition) => {
                revision = edition.revision;
                show(edition);
            }
            None => browser::sleep(PAUSE_MILLISECONDS).await,
        }
    }
}

/// `None` when nothing is new, or the server does not answer.
async fn ask(after: u64) -> Option<Edition> {
    let token = crate::session::token()?;
    let request = FetchRequest {
        method: "GET",
        url: format!("api/author?after={after}"),
        headers: vec![("Authorization", format!("Bearer {token}"))],
        body: None,
    };
    let response = browser::fetch(request).await.ok().filter(|response| response.status == 200)?;
    serde_json::from_slice(&response.bytes().await.ok()?).ok()
}

/// The faults between two places of the file.
pub(crate) fn faults_within(edition: Option<&Edition>, from: usize, to: usize) -> Html {
    let Some(edition) = edition else { return Html::default() };
    let faults = edition.faults.iter().filter(|fault| (from..to).contains(&fault.span.start));
    html! { { for faults.map(draw_fault) } }
}

/// Where the part of the file ends that begins with a step.
pub(crate) fn end_of(spans: impl Iterator<Item = Span>, index: usize) -> usize {
    spans.skip(index + 1).map(|span| span.start).next().unwrap_or(usize::MAX)
}

fn draw_fault(fault: &Diagnostic) -> Html {
    let severity = if fault.severity == Severity::Error { "error" } else { "warning" };
    let marker = format!("{}{}", " ".repeat(fault.column.saturating_sub(1)), "^".repeat(fault.length.max(1)));
    html! {
        <div class="fault" data-severity={severity} key={format!("{}-{}-{}", fault.code, fault.line, fault.column)}>
            <p><strong>{ severity }</strong>{ format!(" in line {}: {}", fault.line, fault.message) }</p>
            <pre tabindex="0"><code>{ format!("{}\n{marker}", fault.excerpt.replace('\t', " ")) }</code></pre>
            if let Some(expected) = &fault.expected { <p>{ format!("Expected {expected}.") }</p> }
            if let Some(nearest) = &fault.nearest { <p>{ format!("Did you mean `{nearest}`?") }</p> }
            if let Some(fix) = &fault.fix { <p>{ format!("To mend it: {fix}.") }</p> }
        </div>
    }
}

/// One sentence on how an edition stands.
fn standing(edition: &Edition) -> String {
    let errors = edition.faults.iter().filter(|fault| fault.severity == Severity::Error).count();
    let warnings = edition.faults.iter().count() - errors;
    let counted = |number: usize, noun: &str| format!("{number} {noun}{}", if number == 1 { "" } else { "s" });
    let faults = format!("{}, {}", counted(errors, "error"), counted(warnings, "warning"));
    let played = match &edition.routes {
        None => "playing the edited steps…".to_owned(),
        Some(_) if errors > 0 => "not played while there are errors".to_owned(),
        Some(routes) if routes.is_empty() => "no step was edited".to_owned(),
        Some(routes) => {
            let failed = routes.iter().filter(|route| !route.passed()).count();
            format!("{} of {} hold", routes.len() - failed, counted(routes.len(), "route"))
        }
    };
    format!("{faults} · {played}")
}

#[derive(Properties, PartialEq)]
pub(crate) struct AuthorPanelProps {
    pub edition: Rc<Edition>,
}

/// The author's panel: how the edited steps play in the simulator.
#[component]
pub(crate) fn AuthorPanel(props: &AuthorPanelProps) -> Html {
    let edition = &*props.edition;
    let routes = edition.routes.iter().flatten().filter(|route| !route.passed());
    html! {
        <aside class="author" aria-label="Author's panel" data-revision={edition.revision.to_string()}>
            <p role="status" aria-live="polite"><strong>{ &edition.file }</strong>{ format!(" · {}", standing(edition)) }</p>
            if let Some(trouble) = &edition.trouble { <p role="alert">{ trouble }</p> }
            { for routes.map(|route| html! {
                <details open=true key={format!("{}-{}", route.step, route.route)}>
                    <summary>{ format!("{} · {} · {}", route.step, route_name(route.kind), route.route) }</summary>
                    { for route.problems.iter().map(|problem| html! { <pre tabindex="0"><code>{ &problem.text }</code></pre> }) }
                </details>
            }) }
        </aside>
    }
}

fn route_name(kind: RouteKind) -> String {
    kind.to_string()
}

#[cfg(test)]
mod tests {
    use docklab_scenario::{Problem, ProblemKind, RouteKind, RouteReport, lint};

    use super::{Edition, standing};

    fn edition(text: &str, routes: Option<Vec<RouteReport>>) -> Edition {
        let faults = lint("a.md", text);
        Edition { revision: 1, file: "a.md".to_owned(), text: text.to_owned(), faults, routes, trouble: None }
    }

    #[test]
    fn an_edition_stands_in_one_sentence() {
        let text = "+++\nid = \"a\"\ntitle = \"A\"\nsummary = \"s\"\ntime = 1\n+++\n\n## S\n\n```sh run\nls\n```\n";
        let route = |problems| RouteReport {
            step: "s".to_owned(),
            kind: RouteKind::Reference,
            route: "ls".to_owned(),
            problems,
            is_harmless: false,
        };
        let problem = Problem { kind: ProblemKind::FalseRed, text: "red".to_owned() };
        assert_eq!(standing(&edition(text, None)), "0 errors, 1 warning · playing the edited steps…");
        assert_eq!(
            standing(&edition(text, Some(vec![route(vec![]), route(vec![problem])]))),
            "0 errors, 1 warning · 1 of 2 routes hold"
        );
        assert_eq!(
            standing(&edition("# A\n", Some(vec![]))),
            "2 errors, 2 warnings · not played while there are errors"
        );
    }
}
