//! The page: instructions, terminals, diagrams, checks.
