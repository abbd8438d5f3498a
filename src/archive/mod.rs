#![doc = include_str!("FORMAT.md")]

mod access;
mod check;
pub mod database;
pub mod databases;
mod decode;
pub mod delta;
mod differences;
pub mod extract;
mod frames;
pub mod index;
mod index_lines;
mod layer;
mod lookup;
pub mod manifest;
mod member;
mod member_file;
mod merge;
mod outlet;
pub mod paths;
pub mod provenance;
mod read_error;
pub mod reader;
mod rebuild;
pub mod salvage;
pub mod seek_table;
mod sink;
mod tar_header;
mod tarring;
pub mod verdict;
pub mod verify;
mod view;
mod word;
mod write_error;
pub mod writer;

pub use access::{AccessError, Identities};
pub use outlet::{Output, OutputClosed};
