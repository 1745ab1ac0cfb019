//! The command table and everything that is read off it: parsing, help, completion.

mod flags;
mod help;
mod options;
mod table;
mod values;

pub(crate) use flags::{Flags, Parsed, misused, parse};
pub(crate) use help::help;
pub(crate) use options::split_host;
pub(crate) use table::{Command, FlagSpec, commands, find};
pub(crate) use values::{parse_boolean, parse_bytes, parse_cpus, parse_duration};
