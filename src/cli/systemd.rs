//! Tells systemd that the watcher watches: what `Type=notify` in `deploy/afterbackup.service` waits for.
//!
//! The protocol is one datagram to the socket that the environment names; without one nobody waits.

use std::ffi::OsStr;
use std::io;
use std::os::unix::net::UnixDatagram;

/// The watcher watches.
pub(super) fn ready() {
    notify("READY=1");
}

fn notify(state: &str) {
    let Some(socket) = std::env::var_os("NOTIFY_SOCKET") else { return };
    if let Err(error) = send(&socket, state) {
        tracing::warn!(%error, socket = %socket.display(), "systemd does not hear that {state}");
    }
}

fn send(socket: &OsStr, state: &str) -> io::Result<()> {
    let datagram = UnixDatagram::unbound()?;
    match abstract_name(socket) {
        #[cfg(target_os = "linux")]
        Some(name) => {
            use std::os::linux::net::SocketAddrExt;
            let address = std::os::unix::net::SocketAddr::from_abstract_name(name)?;
            datagram.send_to_addr(state.as_bytes(), &address)?;
        }
        _ => {
            datagram.send_to(state.as_bytes(), socket)?;
        }
    }
    Ok(())
}

/// `@name` is no file, but a name in a space of its own.
fn abstract_name(socket: &OsStr) -> Option<&[u8]> {
    use std::os::unix::ffi::OsStrExt;
    socket.as_bytes().strip_prefix(b"@")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn state_arrives_as_one_datagram() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("notify");
        let socket = UnixDatagram::bind(&path).unwrap();
        send(path.as_os_str(), "READY=1").unwrap();
        let mut buffer = [0; 100];
        let bytes = socket.recv(&mut buffer).unwrap();
        assert_eq!(&buffer[..bytes], b"READY=1");
        assert!(send(folder.path().join("gone").as_os_str(), "READY=1").is_err());
    }

    #[test]
    fn name_behind_an_at_sign_is_no_file() {
        assert_eq!(abstract_name(OsStr::new("@systemd/notify")), Some(&b"systemd/notify"[..]));
        assert_eq!(abstract_name(OsStr::new("/run/systemd/notify")), None);
    }
}
