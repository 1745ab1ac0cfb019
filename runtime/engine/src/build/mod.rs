//! The classic builder.

mod glob;

pub(crate) use glob::path_match;
