#![doc = include_str!("FORMAT.md")]

pub mod name;
