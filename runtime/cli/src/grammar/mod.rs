//! The command table and everything that is read off it: parsing, help, completion.

mod flags;
mod help;
mod table;
mod values;

pub(crate) use flags::{Flags, Parsed, misused, parse};
pub(crate) use help::help;
pub(crate) use table::{Command, commands, find};
pub(crate) use values::{parse_bytes, parse_duration};
