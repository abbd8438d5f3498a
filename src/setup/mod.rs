//! First configurations: what the installation on this server says, what an AfterBackup.bat did, and what is written.

mod batch_lex;
pub mod batch_read;
pub mod installation;
pub mod wizard;
