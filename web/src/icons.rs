//! Line icons on a grid of 16, all of one stroke.

use yew::prelude::*;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Icon {
    Check,
    Copy,
    Play,
    Pause,
    Step,
    Plus,
    Close,
    Sun,
    Moon,
    Text,
    Prompt,
    Diagram,
    File,
    Lamp,
    Speech,
}

impl Icon {
    fn path(self) -> &'static str {
        match self {
            Self::Check => "M3.5 8.5l3 3 6-7",
            Self::Copy => {
                "M5.5 5.5V3.5a1 1 0 0 1 1-1h6a1 1 0 0 1 1 1v6a1 1 0 0 1-1 1h-2M3.5 5.5h6a1 1 0 0 1 1 1v6a1 1 0 0 1-1 1h-6a1 1 0 0 1-1-1v-6a1 1 0 0 1 1-1z"
            }
            Self::Play => "M5 3.5l7 4.5-7 4.5z",
            Self::Pause => "M5.5 3.5v9M10.5 3.5v9",
            Self::Step => "M4 3.5l6 4.5-6 4.5zM12.5 3.5v9",
            Self::Plus => "M8 3v10M3 8h10",
            Self::Close => "M4 4l8 8M12 4l-8 8",
            Self::Sun => {
                "M8 5.2a2.8 2.8 0 1 0 0 5.6 2.8 2.8 0 0 0 0-5.6zM8 1.5v1.5M8 13v1.5M1.5 8H3M13 8h1.5M3.4 3.4l1 1M11.6 11.6l1 1M12.6 3.4l-1 1M4.4 11.6l-1 1"
            }
            Self::Moon => "M13 9.5A5.5 5.5 0 1 1 6.5 3a4.5 4.5 0 0 0 6.5 6.5z",
            Self::Text => "M3 4h10M3 8h10M3 12h6",
            Self::Prompt => "M3 4.5l3.5 3.5L3 11.5M8.5 12H13",
            Self::Diagram => "M2.5 2.5h4.5v4.5H2.5zM9 2.5h4.5v4.5H9zM2.5 10h11v3.5h-11z",
            Self::File => "M4 1.5h5l3 3v10H4zM9 1.5v3h3",
            Self::Lamp => "M6 13.5h4M6.5 11.5h3M8 1.5a4.5 4.5 0 0 0-2.5 8.2v1.8h5V9.7A4.5 4.5 0 0 0 8 1.5z",
            Self::Speech => "M2.5 3.5h11v7.5H7l-3 2.5V11H2.5z",
        }
    }

    /// The drawing; hidden from screen readers, because a text always stands beside it.
    pub fn draw(self) -> Html {
        html! {
            <svg class="icon" viewBox="0 0 16 16" aria-hidden="true"><path d={self.path()} /></svg>
        }
    }
}

/// The mark of docklab: two containers, one of them still empty, on what they share.
pub fn brand() -> Html {
    html! {
        <svg viewBox="0 0 32 32" aria-hidden="true">
            <rect width="32" height="32" rx="7" fill="var(--accent)" />
            <g fill="var(--on-accent)">
                <rect x="6" y="6.5" width="9" height="9" rx="1.8" />
                <rect x="17" y="6.5" width="9" height="9" rx="1.8" opacity=".55" />
                <rect x="6" y="17.5" width="20" height="3" rx="1.5" />
                <rect x="6" y="22.5" width="20" height="3" rx="1.5" opacity=".7" />
            </g>
        </svg>
    }
}
