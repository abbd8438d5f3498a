//! First configurations: what the installation on this server says, what an AfterBackup.bat did, and what is written.

pub mod installation;
pub mod wizard;
