//! How backups stand: what each destination holds, whether something is overdue, and when to say so again.

pub mod overdue;
mod reminder;
pub mod standing;
pub mod survey;

pub use self::reminder::Reminder;
