//! The diagrams: drawn by hand in SVG, from the same objects that the checks read.

pub mod host;
