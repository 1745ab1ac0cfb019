//! The scenario format: parse, lint, check, grade.
