//! The diagrams: drawn by hand in SVG, from the same objects that the checks read.

pub mod host;
pub mod layers;
pub mod swarm;

use docklab_scenario::Diagram;

/// The diagrams of this page, in the order of their tabs.
pub const OFFERED: &[Diagram] = &[Diagram::Host, Diagram::Layers, Diagram::Swarm];

/// What a diagram's tab says.
pub fn title(diagram: Diagram) -> &'static str {
    match diagram {
        Diagram::Host => "Host",
        Diagram::Layers => "Layers",
        Diagram::Swarm => "Swarm",
    }
}

/// The diagram that a lab asks for, or the host's when this page does not offer that one.
pub fn fitting(wanted: Diagram) -> Diagram {
    if OFFERED.contains(&wanted) { wanted } else { Diagram::Host }
}
