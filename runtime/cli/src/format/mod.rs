//! How values become text: durations, sizes, tables, cut strings.

mod listing;
mod ports;
mod table;
mod text;

pub(crate) use listing::{Listing, Row};
pub(crate) use ports::ports;
pub(crate) use table::align;
pub(crate) use text::{binary_size, duration, json_text, quote, short_id, size, size4, truncate};
