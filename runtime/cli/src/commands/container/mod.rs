//! `docker container …`.

pub(crate) mod copy;
pub(crate) mod create;
pub(crate) mod environment;
pub(crate) mod exec;
pub(crate) mod lifecycle;
pub(crate) mod limits;
pub(crate) mod networks;
pub(crate) mod ports;
pub(crate) mod ps;
pub(crate) mod run;
pub(crate) mod show;
pub(crate) mod start;
pub(crate) mod stats;
pub(crate) mod stream;
