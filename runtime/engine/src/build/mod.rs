//! The classic builder.
