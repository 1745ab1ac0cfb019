use web_sys::KeyboardEvent;
use yew::prelude::*;

use super::layout::{CARD_HEIGHT, shorten};
use crate::observe::{ContainerView, PortView, Sharing};

#[derive(Properties, PartialEq)]
pub(super) struct CardProps {
    pub(super) container: ContainerView,
    pub(super) x: f64,
    pub(super) y: f64,
    pub(super) width: f64,
    pub(super) leaving: bool,
    pub(super) selected: bool,
    pub(super) on_select: Callback<String>,
}

/// What a screen reader says of a container.
fn spoken(container: &ContainerView) -> String {
    let mut text = format!(
        "Container {}, image {}, {}, PID 1 is {}",
        container.name,
        container.image,
        container.state_text(),
        container.command
    );
    for port in container.ports.iter().filter_map(|port| port.host_port.map(|host| (host, port.container_port))) {
        text.push_str(&format!(", host port {} to container port {}", port.0, port.1));
    }
    text
}

fn port_text(port: &PortView) -> String {
    let protocol = if port.protocol == "tcp" { String::new() } else { format!("/{}", port.protocol) };
    match port.host_port {
        Some(host) => format!("{host} → {}{protocol}", port.container_port),
        None => format!("{}{protocol}", port.container_port),
    }
}

#[component]
pub(super) fn Card(props: &CardProps) -> Html {
    let container = &props.container;
    let select = {
        let (id, on_select) = (container.id.clone(), props.on_select.clone());
        move || on_select.emit(id.clone())
    };
    let onclick = {
        let select = select.clone();
        Callback::from(move |_: MouseEvent| select())
    };
    let onkeydown = Callback::from(move |event: KeyboardEvent| {
        if matches!(event.key().as_str(), "Enter" | " ") {
            event.prevent_default();
            select();
        }
    });
    let width = props.width;
    let (text_width, inner) = (width - 32.0, width - 20.0);
    let image = if container.stand_in { format!("{} (stand-in)", container.image) } else { container.image.clone() };
    let address = container.endpoints.iter().map(|endpoint| endpoint.address.as_str()).find(|one| !one.is_empty());
    let ports: Vec<String> = container.ports.iter().map(port_text).collect();
    let place: Vec<String> = address.map(str::to_owned).into_iter().chain(ports).collect();
    html! {
        <g class="container-place" style={format!("transform: translate({}px, {}px)", props.x, props.y)}>
            <g
                class="container" role="button" tabindex="0" aria-pressed={props.selected.to_string()}
                data-state={container.state.as_str()} data-failed={(container.exit_code != 0).to_string()}
                data-leaving={props.leaving.to_string()} {onclick} {onkeydown}
            >
                <title>{ spoken(container) }</title>
                <g aria-hidden="true">
                <rect class="body" width={width.to_string()} height={CARD_HEIGHT.to_string()} rx="10" />
                <path class="edge" d={format!("M0 10a10 10 0 0 1 10-10h{inner}a10 10 0 0 1 10 10a12 5 0 0 0-10-5h-{inner}a12 5 0 0 0-10 5z")} />
                <text class="name" x="16" y="30">{ shorten(&container.name, text_width - 92.0) }</text>
                <circle class="lamp" cx={(width - 18.0).to_string()} cy="25.5" r="4" />
                <text class="state" x={(width - 28.0).to_string()} y="30" text-anchor="end">{ container.state_text() }</text>
                <text class="image" x="16" y="48">{ shorten(&image, text_width - 82.0) }</text>
                <text class="id" x={(width - 16.0).to_string()} y="48" text-anchor="end">{ container.short_id() }</text>
                <rect class="process" x="12" y="58" width={(width - 24.0).to_string()} height="30" rx="6" />
                <text class="pid" x="22" y="77">{ "PID 1" }</text>
                <text class="command" x="62" y="77">{ shorten(&container.command, text_width - if container.pid > 0 { 138.0 } else { 54.0 }) }</text>
                if container.pid > 0 {
                    <text class="host-pid" x={(width - 22.0).to_string()} y="77" text-anchor="end">{ format!("host {}", container.pid) }</text>
                }
                <g class="namespaces">{ for namespaces(container, width).into_iter() }</g>
                <text class="ports" x="16" y={(CARD_HEIGHT - 15.0).to_string()}>{ shorten(&place.join("   "), text_width) }</text>
                </g>
            </g>
        </g>
    }
}

/// Six small walls: solid where the container has its own, dashed where it looks through. Their widths follow their names.
fn namespaces(container: &ContainerView, width: f64) -> Vec<Html> {
    #[allow(clippy::cast_precision_loss)] // short words
    let weight = |kind: &str| kind.len() as f64 + 2.4;
    let whole: f64 = container.namespaces.iter().map(|namespace| weight(namespace.kind)).sum();
    let mut x = 12.0;
    let mut walls = Vec::new();
    for namespace in &container.namespaces {
        let step = (width - 24.0) * weight(namespace.kind) / whole;
        let (sharing, title) = match &namespace.sharing {
            Sharing::Own => ("own", format!("its own {} namespace", namespace.kind)),
            Sharing::Host => ("shared", format!("the host's {} namespace", namespace.kind)),
            Sharing::Container(other) => ("shared", format!("the {} namespace of {other}", namespace.kind)),
        };
        walls.push(html! {
            <g key={namespace.kind} class="namespace" data-sharing={sharing}>
                <title>{ title }</title>
                <rect x={(x + 1.5).to_string()} y="95" width={(step - 3.0).to_string()} height="18" rx="4" />
                <text x={(x + step / 2.0).to_string()} y="107" text-anchor="middle">{ namespace.kind }</text>
            </g>
        });
        x += step;
    }
    walls
}
