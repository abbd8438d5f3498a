//! First configurations: what the installation on this server says, what an AfterBackup.bat did, and what is written.

mod batch_findings;
mod batch_lex;
mod batch_paths;
pub mod batch_read;
mod batch_words;
pub mod installation;
pub mod wizard;
