use docklab_api::{Direction, LayerState};
use yew::prelude::*;

use super::{
    draw::size_text,
    work::{Parcel, Transfer},
};

#[derive(Properties, PartialEq)]
pub(super) struct TransferCardProps {
    pub(super) transfer: Transfer,
    pub(super) node: String,
    pub(super) on_close: Callback<()>,
}

/// With more layers than this, those that do not move are one row.
const ROWS: usize = 9;

fn plural(count: usize, word: &str) -> String {
    if count == 1 { format!("1 {word}") } else { format!("{count} {word}s") }
}

/// What has moved and what did not have to, in a sentence.
pub(super) fn summary(transfer: &Transfer) -> String {
    let balance = transfer.balance();
    if let Some(Err(error)) = &transfer.ended {
        return error.clone();
    }
    let moved = match (balance.travelling, transfer.direction) {
        (0, _) if transfer.ended.is_none() => "No layer has moved yet".to_owned(),
        (0, Direction::Pull) => "No layer had to be fetched".to_owned(),
        (0, Direction::Push) => "No layer had to be sent".to_owned(),
        (count, Direction::Pull) => format!("{} fetched ({})", plural(count, "layer"), size_text(balance.moved)),
        (count, Direction::Push) => format!("{} sent ({})", plural(count, "layer"), size_text(balance.moved)),
    };
    match balance.present {
        0 => format!("{moved}."),
        count => format!("{moved}; {} already there ({}).", plural(count, "layer"), size_text(balance.spared)),
    }
}

/// A pull or push: this machine on the left, the registry on the right, a row a layer.
#[component]
pub(super) fn TransferCard(props: &TransferCardProps) -> Html {
    let transfer = &props.transfer;
    let pushes = transfer.direction == Direction::Push;
    let close = {
        let on_close = props.on_close.clone();
        Callback::from(move |_: MouseEvent| on_close.emit(()))
    };
    let registry = match transfer.reference.split_once('/') {
        Some((domain, _)) if domain.contains(['.', ':']) || domain == "localhost" => domain,
        _ => "docker.io",
    };
    let still = |parcel: &Parcel| matches!(parcel.state, Some(LayerState::Exists | LayerState::Mounted { .. }));
    let resting = transfer.parcels.iter().filter(|parcel| still(parcel)).count();
    let folds = transfer.parcels.len() > ROWS && resting > 1;
    let title = if pushes { "Push" } else { "Pull" };
    let state = match &transfer.ended {
        None => "moving",
        Some(Ok(())) => "done",
        Some(Err(_)) => "failed",
    };
    html! {
        <section class="layer-card transfer" data-state={state} aria-label={format!("{title} of {}", transfer.reference)}>
            <header>
                <h2>{ format!("{title} {}", transfer.reference) }</h2>
                <button type="button" class="bar-button" aria-label={format!("Close the {}", title.to_lowercase())} onclick={close}>{ crate::icons::Icon::Close.draw() }</button>
            </header>
            <div class="sides" aria-hidden="true"><span>{ &props.node }</span><span>{ if pushes { "→" } else { "←" } }</span><span>{ registry }</span></div>
            <ol class="parcels">
                { for transfer.parcels.iter().enumerate().rev().filter(|(_, parcel)| !(folds && still(parcel))).map(|(index, parcel)| row(index, parcel, pushes)) }
                if folds {
                    <li key="resting" class="parcel" data-state="there">
                        <span class="shore" /><span class="way"><span class="word">{ format!("{} already there", plural(resting, "layer")) }</span></span><span class="shore" />
                    </li>
                }
            </ol>
            <p class="transfer-summary" role="status">{ summary(transfer) }</p>
        </section>
    }
}

fn word(parcel: &Parcel, pushes: bool) -> String {
    match &parcel.state {
        None | Some(LayerState::Waiting) => "waiting".to_owned(),
        Some(LayerState::Exists) => "already there".to_owned(),
        Some(LayerState::Mounted { from }) => format!("taken over from {from}"),
        Some(LayerState::Moving { .. }) => String::new(),
        Some(LayerState::Unpacking { .. }) => "unpacking".to_owned(),
        Some(LayerState::Retrying) => "trying again".to_owned(),
        Some(LayerState::Done) => if pushes { "sent" } else { "fetched" }.to_owned(),
    }
}

fn row(index: usize, parcel: &Parcel, pushes: bool) -> Html {
    let state = match &parcel.state {
        None | Some(LayerState::Waiting | LayerState::Retrying) => "waiting",
        Some(LayerState::Exists | LayerState::Mounted { .. }) => "there",
        Some(LayerState::Moving { .. }) => "moving",
        Some(LayerState::Unpacking { .. }) => "unpacking",
        Some(LayerState::Done) => "done",
    };
    let part = parcel.part() * 100.0;
    let at = if pushes { part } else { 100.0 - part };
    let size = size_text(parcel.layer.size);
    let text = word(parcel, pushes);
    html! {
        <li key={index} class="parcel" data-state={state} data-way={if pushes { "push" } else { "pull" }}>
            <span class="shore" data-side="here" />
            <span class="way">
                if state == "moving" { <i class="load" style={format!("left: {at:.1}%")} /> }
                <span class="word">{ if text.is_empty() { format!("{part:.0} % of {size}") } else { format!("{size} {text}") } }</span>
            </span>
            <span class="shore" data-side="there" />
        </li>
    }
}

#[cfg(test)]
mod tests {
    use docklab_api::TransferredLayer;

    use super::*;

    #[test]
    fn the_balance_of_a_push_is_one_sentence() {
        let parcel = |size: u64, state: Option<LayerState>, moved| Parcel {
            layer: TransferredLayer { diff_id: size.to_string(), digest: None, size },
            state,
            moved,
        };
        let mut transfer = Transfer {
            job: 1,
            direction: Direction::Push,
            reference: "student/app:latest".into(),
            parcels: vec![
                parcel(90_000_000, Some(LayerState::Exists), false),
                parcel(9_000_000, Some(LayerState::Exists), false),
                parcel(157, Some(LayerState::Done), true),
            ],
            ended: Some(Ok(())),
        };
        assert_eq!(summary(&transfer), "1 layer sent (157 B); 2 layers already there (99.0 MB).");
        transfer.parcels.pop();
        assert_eq!(summary(&transfer), "No layer had to be sent; 2 layers already there (99.0 MB).");
        transfer.ended = Some(Err("denied".into()));
        assert_eq!(summary(&transfer), "denied");
    }
}
