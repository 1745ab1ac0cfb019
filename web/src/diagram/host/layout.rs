//! Where everything stands. One unit is one CSS pixel, so that text keeps its size in a pane of any width.

use crate::observe::{ContainerView, NodeView};

pub(super) const MARGIN: f64 = 14.0;
pub(super) const CARD_HEIGHT: f64 = 142.0;
const CARD_LEAST: f64 = 206.0;
const CARD_MOST: f64 = 300.0;
const GUTTER: f64 = 34.0;
const ROW_GAP: f64 = 26.0;
const HEADER: f64 = 46.0;
const RAIL: f64 = 30.0;
const KERNEL: f64 = 44.0;
/// A plug with the space around it.
const PLUG: f64 = 64.0;
/// The small type is still 9 px high.
const LEAST_SCALE: f64 = 0.78;
/// Below this the pane is only a strip, and scrolls.
const LEAST_HEIGHT: f64 = 160.0;

pub(super) struct Place {
    pub(super) x: f64,
    pub(super) y: f64,
}

/// A published port on the host's edge.
pub(super) struct Plug {
    pub(super) x: f64,
    pub(super) label: u16,
}

pub(super) struct Wire {
    pub(super) key: String,
    /// `port` or `network`.
    pub(super) kind: &'static str,
    pub(super) path: String,
}

/// A network that some container is in.
pub(super) struct Rail {
    pub(super) name: String,
    pub(super) subnet: String,
    pub(super) y: f64,
}

pub(super) struct Layout {
    pub(super) width: f64,
    pub(super) height: f64,
    /// The host's upper edge.
    pub(super) top: f64,
    pub(super) card_width: f64,
    pub(super) cards_top: f64,
    pub(super) cards: Vec<Place>,
    pub(super) plugs: Vec<Plug>,
    pub(super) wires: Vec<Wire>,
    pub(super) rails: Vec<Rail>,
    pub(super) shelf_y: f64,
    pub(super) kernel_y: f64,
}

#[allow(clippy::cast_precision_loss)] // counts of things on a screen
fn number(count: usize) -> f64 {
    count as f64
}

impl Layout {
    pub(super) fn new(width: f64, containers: &[&ContainerView], view: &NodeView) -> Self {
        let inner = width - 2.0 * MARGIN - GUTTER;
        let mut columns = 1;
        while number(columns + 1) * (CARD_LEAST + GUTTER) <= inner && columns < containers.len().max(2) {
            columns += 1;
        }
        let card_width = (inner / number(columns) - GUTTER).min(CARD_MOST);
        let top = 22.0;
        let cards_top = top + HEADER + 10.0;
        let cards: Vec<Place> = (0..containers.len())
            .map(|index| Place {
                x: MARGIN + GUTTER + number(index % columns) * (card_width + GUTTER),
                y: cards_top + number(index / columns) * (CARD_HEIGHT + ROW_GAP),
            })
            .collect();
        let rows = containers.len().div_ceil(columns).max(1);
        let cards_bottom = cards_top + number(rows) * (CARD_HEIGHT + ROW_GAP) - ROW_GAP;
        let mut rails: Vec<Rail> = Vec::new();
        for endpoint in containers.iter().flat_map(|container| &container.endpoints) {
            if endpoint.network == "host"
                || endpoint.network == "none"
                || rails.iter().any(|rail| rail.name == endpoint.network)
            {
                continue;
            }
            let known = view.networks.iter().find(|network| network.name == endpoint.network);
            rails.push(Rail {
                name: endpoint.network.clone(),
                subnet: known.map(|network| network.subnet.clone()).unwrap_or_default(),
                y: cards_bottom + 22.0 + number(rails.len()) * RAIL,
            });
        }
        let shelf_y = cards_bottom + 34.0 + number(rails.len()) * RAIL;
        let kernel_y = shelf_y + 16.0;
        let mut layout = Self {
            width,
            height: kernel_y + KERNEL + 8.0 + MARGIN,
            top,
            card_width,
            cards_top,
            cards,
            plugs: Vec::new(),
            wires: Vec::new(),
            rails,
            shelf_y,
            kernel_y,
        };
        layout.connect(containers, columns);
        layout
    }

    /// The first place on the host's edge, from `x` to the right, where no plug is yet. An edge that is full is shared.
    fn free_edge(&self, mut x: f64) -> f64 {
        let wanted = x;
        while self.plugs.iter().any(|plug| (plug.x - x).abs() < PLUG) {
            x += PLUG;
            if x > self.width - MARGIN - PLUG / 2.0 {
                return wanted;
            }
        }
        x
    }

    /// The layout for a pane of this size: one that is too high is drawn smaller, as far as it stays legible, so that the
    /// kernel stays in sight. Returns the scale too.
    pub(super) fn fitting(width: f64, height: f64, containers: &[&ContainerView], view: &NodeView) -> (Self, f64) {
        let layout = Self::new(width, containers, view);
        if layout.height <= height || height < LEAST_HEIGHT {
            return (layout, 1.0);
        }
        let scale = (height / layout.height).max(LEAST_SCALE);
        (Self::new(width / scale, containers, view), scale)
    }

    /// Ports come down from the host's edge, networks lie below; wires run in the gutter left of a card's column.
    fn connect(&mut self, containers: &[&ContainerView], columns: usize) {
        for (index, container) in containers.iter().enumerate() {
            let place = &self.cards[index];
            let row = number(index / columns);
            let published = container.ports.iter().filter_map(|port| port.host_port.map(|host| (port, host)));
            for (order, (port, host_port)) in published.enumerate() {
                if !container.state.is_alive() {
                    continue;
                }
                // The first row is reached from above, later ones around the cards before them.
                let x = self.free_edge(place.x + 44.0 + number(order) * PLUG);
                let path = if row == 0.0 {
                    format!("M{x} {} V{}", self.top, place.y)
                } else {
                    let gutter = place.x - 12.0 - (row % 4.0) * 5.0;
                    format!("M{x} {} V{} H{gutter} V{} H{}", self.top, self.top + 20.0, place.y + 22.0, place.x)
                };
                self.plugs.push(Plug { x, label: host_port });
                self.wires.push(Wire {
                    key: format!("{}-{}-{host_port}", container.id, port.container_port),
                    kind: "port",
                    path,
                });
            }
            if !container.state.is_alive() {
                continue;
            }
            for (order, endpoint) in container.endpoints.iter().enumerate() {
                let Some(rail) = self.rails.iter().find(|rail| rail.name == endpoint.network) else { continue };
                let gutter = place.x - 12.0 - (row % 4.0) * 5.0 - number(order) * 4.0;
                let y = place.y + CARD_HEIGHT - 20.0;
                self.wires.push(Wire {
                    key: format!("{}-{}", container.id, endpoint.network),
                    kind: "network",
                    path: format!("M{} {y} H{gutter} V{}", place.x, rail.y),
                });
            }
        }
    }
}

/// Cuts a text that would be wider than `width` pixels in the diagram's small type.
pub(super) fn shorten(text: &str, width: f64) -> String {
    const CHARACTER: f64 = 6.9;
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)] // a pane's width
    let most = (width / CHARACTER).max(4.0) as usize;
    if text.chars().count() <= most {
        return text.to_owned();
    }
    text.chars().take(most - 1).chain(['…']).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cards_never_leave_the_host() {
        let container = ContainerView::default();
        for width in [320.0, 500.0, 720.0, 1400.0] {
            for count in 1..9 {
                let containers = vec![&container; count];
                let layout = Layout::new(width, &containers, &NodeView::default());
                for place in &layout.cards {
                    assert!(place.x + layout.card_width <= width - MARGIN, "{count} containers in {width} px");
                    assert!(place.y + CARD_HEIGHT < layout.kernel_y);
                }
            }
        }
    }
}
