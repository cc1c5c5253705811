//! Roomba.
pub mod trim;
