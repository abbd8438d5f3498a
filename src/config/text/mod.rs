//! The text of a configuration: keys with their places, values, faults. Nothing in here knows a section.

mod faults;
mod keys;
pub(crate) mod paths;
mod reader;
mod secret_file;
mod secret_names;
mod section;
mod smb;

pub use self::faults::Fault;
pub(super) use self::keys::{COUNT, Key, Kind, closest, key};
pub(super) use self::reader::Reader;
#[cfg(windows)]
pub(super) use self::secret_file::read_file;
pub use self::secret_file::{Secret, SecretError};
pub(super) use self::section::{At, Item, Section, parse};
pub use self::smb::place_fault;
pub(super) use self::smb::smb_fault;

/// Looks up an environment variable. The real one is `|name| std::env::var(name).ok()`; tests bring their own.
pub type Env<'e> = &'e dyn Fn(&str) -> Option<String>;
