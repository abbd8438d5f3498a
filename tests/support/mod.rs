//! Servers for tests, all in this process and on 127.0.0.1.

#![allow(unreachable_pub, dead_code, reason = "every test binary uses its part")]

pub mod archives;
pub mod canned;
pub mod proxy;
pub mod s3_server;
