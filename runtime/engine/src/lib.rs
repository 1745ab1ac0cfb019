//! Docker's semantics, written once over the Host trait.
