//! The page: instructions, terminals, diagrams, checks.

mod browser;
mod diagram;
mod icons;
mod observe;
mod panes;
mod session;
mod terminal;
