//! Image descriptions: data that says what an image holds and how its programs behave, and the images built of them.

mod build;
mod catalogue;
mod description;
mod hub;

pub(crate) use build::BuiltImage;
pub(crate) use catalogue::Catalogue;
pub(crate) use description::ProgramDescription;
pub use description::{Description, DescriptionError};
pub(crate) use hub::RegistryServer;
