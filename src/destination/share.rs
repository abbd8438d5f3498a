//! Shares that are reached with another account than the one the program runs as: a wrapper round a folder.
//!
//! Windows keeps accounts for servers per logon session. A connection without a drive letter tells it which one to use
//! from then on, for every path of that share. It is made before the first use, so that a run that has nothing to do
//! there leaves no trace, and taken back when the destination is dropped and the last upload with it.
//!
//! Two processes of one logon session (the service and a run by hand, both as SYSTEM) share these connections, and
//! whoever ends first takes it from the other. Windows refuses that while files are open. In between, the other one is
//! denied access; therefore a call that is denied connects again, once, and is repeated. That also helps when the
//! password has been changed on both sides, or somebody typed `net use … /delete`.

use std::io::{self, Read};
use std::ops::Range;
use std::sync::Arc;

use bytes::Bytes;
use parking_lot::Mutex;
use secrecy::SecretString;

use super::{Claim, Destination, Entry, Error, ErrorKind, Leftover, Upload, win32};
use crate::config::Credentials;

/// The calls that are needed. Errors hold Win32 codes.
pub(super) trait Network: std::fmt::Debug + Send + Sync {
    /// Connects to `\\server\share` without a drive letter.
    fn connect(&self, share: &str, user: &str, password: &SecretString) -> io::Result<()>;
    /// Takes the connection back, unless files are open there.
    fn disconnect(&self, share: &str) -> io::Result<()>;
}

/// The real ones.
#[derive(Debug)]
pub(super) struct System;

#[cfg(windows)]
impl Network for System {
    fn connect(&self, share: &str, user: &str, password: &SecretString) -> io::Result<()> {
        crate::windows::network::connect(share, user, password)
    }

    fn disconnect(&self, share: &str) -> io::Result<()> {
        crate::windows::network::disconnect(share)
    }
}

/// The configuration refuses credentials here; whoever comes by another way is told the same.
#[cfg(not(windows))]
impl Network for System {
    fn connect(&self, _share: &str, _user: &str, _password: &SecretString) -> io::Result<()> {
        const NOT_SUPPORTED: i32 = 50;
        Err(io::Error::from_raw_os_error(NOT_SUPPORTED))
    }

    fn disconnect(&self, _share: &str) -> io::Result<()> {
        Ok(())
    }
}

/// A connection that is made when it is needed, and taken back with the last one who holds it.
#[derive(Debug)]
struct Connection {
    share: String,
    credentials: Credentials,
    password: SecretString,
    network: Box<dyn Network>,
    /// How often it was made; 0 = not there.
    made: Mutex<u32>,
}

impl Connection {
    /// Makes it unless it is there. Returns which one it is.
    fn ensure(&self) -> Result<u32, Error> {
        let mut made = self.made.lock();
        if *made == 0 {
            self.connect().map_err(|error| self.failure(&error))?;
            *made = 1;
        }
        Ok(*made)
    }

    /// Makes it again, unless another thread has done so since it was the `old` one.
    fn renew(&self, old: u32) -> Result<(), Error> {
        let mut made = self.made.lock();
        if *made == old {
            // Else Windows might hold a connection with the program's own account against us.
            self.disconnect();
            self.connect().map_err(|error| self.failure(&error))?;
            *made += 1;
        }
        Ok(())
    }

    fn connect(&self) -> io::Result<()> {
        self.network.connect(&self.share, &self.credentials.user, &self.password)
    }

    /// Best effort: files of others may be open there, and then it is needed.
    fn disconnect(&self) {
        if let Err(error) = self.network.disconnect(&self.share) {
            tracing::debug!(share = %self.share, code = error.raw_os_error(), "Could not take back the connection to a share");
        }
    }

    fn failure(&self, error: &io::Error) -> Error {
        win32::failure("connect to", format!("{} as {}", self.share, self.credentials.user), error)
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        if *self.made.get_mut() > 0 {
            self.disconnect();
        }
    }
}

/// A folder on a share, reached with another account.
#[derive(Debug)]
pub(super) struct Share {
    inner: Box<dyn Destination>,
    connection: Arc<Connection>,
}

impl Share {
    pub(super) fn new(
        inner: Box<dyn Destination>,
        credentials: &Credentials,
        password: SecretString,
        network: Box<dyn Network>,
    ) -> Self {
        let connection = Connection {
            share: credentials.share.to_string(),
            credentials: credentials.clone(),
            password,
            network,
            made: Mutex::new(0),
        };
        Self { inner, connection: Arc::new(connection) }
    }

    fn with<T>(&self, call: impl Fn(&dyn Destination) -> Result<T, Error>) -> Result<T, Error> {
        let used = self.connection.ensure()?;
        match call(&*self.inner) {
            Err(error) if matches!(error.kind, ErrorKind::PermissionDenied | ErrorKind::Unauthenticated) => {
                self.connection.renew(used)?;
                call(&*self.inner)
            }
            result => result,
        }
    }
}

impl Destination for Share {
    fn name(&self) -> &str {
        self.inner.name()
    }

    fn location(&self) -> String {
        self.inner.location()
    }

    fn folders(&self) -> Result<Vec<String>, Error> {
        self.with(|inner| inner.folders())
    }

    fn list(&self, folder: &str) -> Result<Vec<Entry>, Error> {
        self.with(|inner| inner.list(folder))
    }

    fn stat(&self, key: &str) -> Result<Entry, Error> {
        self.with(|inner| inner.stat(key))
    }

    fn read(&self, key: &str, limit: u64) -> Result<Bytes, Error> {
        self.with(|inner| inner.read(key, limit))
    }

    fn read_range(&self, key: &str, range: Range<u64>) -> Result<Bytes, Error> {
        self.with(|inner| inner.read_range(key, range.clone()))
    }

    fn open(&self, key: &str) -> Result<Box<dyn Read + Send>, Error> {
        let inner = self.with(|inner| inner.open(key))?;
        Ok(Box::new(Opened { inner, _connection: Arc::clone(&self.connection) }))
    }

    fn claim(&self, key: &str) -> Result<Claim, Error> {
        let Claim { key, sign } = self.with(|inner| inner.claim(key))?;
        // In this order: the sign has to go while there is a connection.
        Ok(Claim::new(key, Box::new((sign, Arc::clone(&self.connection)))))
    }

    fn upload(&self, key: &str, expected_bytes: u64) -> Result<Box<dyn Upload>, Error> {
        let inner = self.with(|inner| inner.upload(key, expected_bytes))?;
        Ok(Box::new(Uploading { inner, _connection: Arc::clone(&self.connection) }))
    }

    fn put_new(&self, key: &str, bytes: &[u8]) -> Result<(), Error> {
        self.with(|inner| inner.put_new(key, bytes))
    }

    fn delete(&self, key: &str) -> Result<(), Error> {
        self.with(|inner| inner.delete(key))
    }

    fn leftovers(&self, folder: &str) -> Result<Vec<Leftover>, Error> {
        self.with(|inner| inner.leftovers(folder))
    }

    fn remove_leftover(&self, leftover: &Leftover) -> Result<(), Error> {
        self.with(|inner| inner.remove_leftover(leftover))
    }
}

/// A file that is read. The fields are dropped in this order: the file is closed before its connection goes.
struct Opened {
    inner: Box<dyn Read + Send>,
    _connection: Arc<Connection>,
}

impl Read for Opened {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.inner.read(buffer)
    }
}

/// A file that is written; the same holds for its fields.
struct Uploading {
    inner: Box<dyn Upload>,
    _connection: Arc<Connection>,
}

impl Upload for Uploading {
    fn write(&mut self, block: Bytes) -> Result<(), Error> {
        self.inner.write(block)
    }

    fn finish(self: Box<Self>) -> Result<(), Error> {
        // The connection stays in the box until the call returns.
        self.inner.finish()
    }

    fn abort(self: Box<Self>) -> Result<(), Error> {
        self.inner.abort()
    }
}

#[cfg(test)]
mod tests {
    use std::collections::VecDeque;

    use secrecy::ExposeSecret as _;

    use super::super::faulty::{Call, Faulty, Script};
    use super::super::{bucket, suite};
    use super::*;
    use crate::config;
    use crate::error::chain;

    /// Answers as told, then always yes, and writes down what it was asked.
    #[derive(Debug, Clone, Default)]
    struct Scripted {
        answers: Arc<Mutex<VecDeque<i32>>>,
        calls: Arc<Mutex<Vec<String>>>,
    }

    impl Scripted {
        fn answering(codes: impl IntoIterator<Item = i32>) -> Self {
            Self { answers: Arc::new(Mutex::new(codes.into_iter().collect())), ..Self::default() }
        }

        fn note(&self, call: String) -> io::Result<()> {
            self.calls.lock().push(call);
            match self.answers.lock().pop_front() {
                None | Some(0) => Ok(()),
                Some(code) => Err(io::Error::from_raw_os_error(code)),
            }
        }

        fn calls(&self) -> Vec<String> {
            self.calls.lock().clone()
        }
    }

    impl Network for Scripted {
        fn connect(&self, share: &str, user: &str, password: &SecretString) -> io::Result<()> {
            assert_eq!(password.expose_secret(), "hunter2");
            self.note(format!("connect {share} as {user}"))
        }

        fn disconnect(&self, share: &str) -> io::Result<()> {
            self.note(format!("disconnect {share}"))
        }
    }

    const CONNECT: &str = r"connect \\srv\cm$ as CONTOSO\svc";
    const DISCONNECT: &str = r"disconnect \\srv\cm$";

    fn share(network: &Scripted, script: &Script) -> Share {
        let inner = Faulty::new(bucket::in_memory("vault"), script);
        let credentials = Credentials {
            user: r"CONTOSO\svc".to_owned(),
            password: config::Secret::in_variable("UNUSED"),
            share: config::Share { server: "srv".to_owned(), name: "cm$".to_owned() },
        };
        Share::new(Box::new(inner), &credentials, "hunter2".into(), Box::new(network.clone()))
    }

    #[test]
    fn share_keeps_the_contract_of_what_it_wraps() {
        suite::run(|| Box::new(share(&Scripted::default(), &Script::default())));
    }

    #[test]
    fn share_is_connected_once_before_the_first_use_and_disconnected_at_the_end() {
        let network = Scripted::default();
        let share = share(&network, &Script::default());
        assert!(network.calls().is_empty());
        share.list("XYZ").unwrap();
        share.put_new("XYZ/a", b"a").unwrap();
        assert_eq!(network.calls(), [CONNECT]);
        drop(share);
        assert_eq!(network.calls(), [CONNECT, DISCONNECT]);
    }

    #[test]
    fn share_that_was_not_used_leaves_no_trace() {
        let network = Scripted::default();
        drop(share(&network, &Script::default()));
        assert!(network.calls().is_empty());
    }

    #[test]
    fn files_that_are_still_open_hold_the_connection() {
        let network = Scripted::default();
        let share = share(&network, &Script::default());
        share.put_new("XYZ/a", b"a").unwrap();
        let reader = share.open("XYZ/a").unwrap();
        let mut upload = share.upload("XYZ/b", 1).unwrap();
        drop(share);
        upload.write(Bytes::from_static(b"b")).unwrap();
        upload.finish().unwrap();
        assert_eq!(network.calls(), [CONNECT]);
        drop(reader);
        assert_eq!(network.calls(), [CONNECT, DISCONNECT]);
    }

    #[test]
    fn refused_connection_names_share_account_and_reason_and_is_tried_again_next_time() {
        let network = Scripted::answering([1326]);
        let script = Script::default();
        let share = share(&network, &script);
        let error = share.list("XYZ").unwrap_err();
        assert_eq!(
            chain(&error),
            r"cannot connect to \\srv\cm$ as CONTOSO\svc: the user name or the password is wrong (Win32 error 1326)"
        );
        assert!(!format!("{error:?} {share:?}").contains("hunter2"));
        assert!(script.calls().is_empty(), "nothing is asked of a share without its account");
        share.list("XYZ").unwrap();
        assert_eq!(network.calls(), [CONNECT, CONNECT]);
    }

    #[test]
    fn connection_that_somebody_took_away_is_made_again() {
        let network = Scripted::default();
        let script = Script::default();
        let share = share(&network, &script);
        share.list("XYZ").unwrap();
        script.fail(Call::PutNew, 1, ErrorKind::PermissionDenied);
        share.put_new("XYZ/a", b"a").unwrap();
        assert_eq!(network.calls(), [CONNECT, DISCONNECT, CONNECT]);
    }

    #[test]
    fn what_the_account_may_not_do_stays_denied() {
        let network = Scripted::default();
        let script = Script::default();
        let share = share(&network, &script);
        script.fail_always(Call::Delete, ErrorKind::PermissionDenied);
        assert_eq!(share.delete("XYZ/a").unwrap_err().kind, ErrorKind::PermissionDenied);
        assert_eq!(script.count(Call::Delete), 2);
        assert_eq!(network.calls(), [CONNECT, DISCONNECT, CONNECT]);
    }

    #[test]
    fn connection_that_cannot_be_taken_back_is_no_failure() {
        // 2401: files are open there.
        let network = Scripted::answering([0, 2401]);
        let share = share(&network, &Script::default());
        share.list("XYZ").unwrap();
        drop(share);
        assert_eq!(network.calls(), [CONNECT, DISCONNECT]);
    }

    #[cfg(not(windows))]
    #[test]
    fn elsewhere_than_on_windows_the_way_out_is_told() {
        let error = System.connect(r"\\srv\cm$", "svc", &"hunter2".into()).unwrap_err();
        let error = win32::failure("connect to", String::new(), &error);
        assert!(error.hint().unwrap().starts_with("mount the share"));
    }
}
