//! The pages of the manual that the README leads to.

#[doc = include_str!("manual/several.md")]
pub mod several {}
