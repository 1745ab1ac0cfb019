//! How values become text: durations, sizes, tables, cut strings.

mod listing;
mod ports;
mod table;
mod text;

pub(crate) use listing::{Listing, Row, row_value};
pub(crate) use ports::ports;
pub(crate) use table::align;
pub(crate) use text::{
    binary_size, duration, escape_html, local_time, natural_order, quote, short_id, significant, size, size4, truncate,
    truncate_plain,
};
