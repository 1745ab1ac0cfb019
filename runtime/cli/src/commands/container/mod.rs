//! `docker container …`.

pub(crate) mod copy;
pub(crate) mod create;
pub(crate) mod exec;
pub(crate) mod lifecycle;
pub(crate) mod run;
pub(crate) mod show;
pub(crate) mod stream;
