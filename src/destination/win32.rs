//! Windows' error codes: what a caller can decide from them, and for shares what they mean and what to do.
//!
//! Windows words them in the language of the server, and without the account; "The network name cannot be found" helps
//! nobody at night. So the codes that shares give have words of ours. The tables are plain functions of the number:
//! most of these errors cannot be provoked where the tests run.

use std::io;

use super::{Error, ErrorKind};

/// An error of Windows about a share, in our words.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{words} (Win32 error {code})")]
pub(crate) struct ShareError {
    code: i32,
    words: &'static str,
    hint: &'static str,
}

impl ShareError {
    /// What the code means on a share.
    pub(crate) fn of(code: i32) -> Option<Self> {
        let (words, hint) = explain(code)?;
        Some(Self { code, words, hint })
    }

    /// What an administrator can do about it.
    pub(crate) fn hint(self) -> &'static str {
        self.hint
    }
}

/// The failure of a call about a share itself.
pub(super) fn failure(operation: &'static str, subject: String, error: &io::Error) -> Error {
    let code = error.raw_os_error().unwrap_or_default();
    let kind = kind(code).unwrap_or(ErrorKind::Other);
    match ShareError::of(code) {
        Some(error) => Error::new(kind, operation, subject, error),
        None => Error::new(kind, operation, subject, format!("Win32 error {code}")),
    }
}

/// Does the code say that the share itself is not there, rather than something on it?
pub(super) fn is_about_share(code: i32) -> bool {
    matches!(code, 53 | 67)
}

/// What the code means, and what to do.
fn explain(code: i32) -> Option<(&'static str, &'static str)> {
    const SERVER: &str = "check that the server is up, that its name is right and resolved here, and that no firewall blocks SMB (port 445)";
    const ACCOUNT: &str = "ask whoever keeps the account in order, or name another one in [destination.credentials]";
    Some(match code {
        5 | 65 => (
            "access denied",
            "give the account Modify on the share and on its folder (without [destination.credentials] that is the computer account DOMAIN\\SERVER$ when it runs as SYSTEM)",
        ),
        50 => (
            "this system cannot connect to shares with another account",
            "mount the share with this account, write the folder it is mounted at as path, and remove [destination.credentials]",
        ),
        51 | 53 | 1231 | 1232 => ("the server was not found or does not answer", SERVER),
        1203 | 1222 => ("no network service knows this share", SERVER),
        54 | 71 => (
            "the server takes no more connections now",
            "see how many connections it allows, and end those that nobody needs",
        ),
        55 | 64 | 1236 => (
            "the connection to the share was lost",
            "look at the server and the network between; the next run tries again",
        ),
        59 => ("an unexpected network error", "look at the server and the network between; the next run tries again"),
        66 | 67 => (
            "the server has no share of this name",
            "check the name of the share; shares that end with $ are not shown by the server",
        ),
        86 => ("the password is wrong", "put the account's present password where password-file or password-env says"),
        1219 => (
            "this server is in use with another account already, and Windows allows one at a time",
            "see 'net use' for the other connection and end it ('net use \\\\server\\share /delete'), use the same account for both, or write another name of the server in path: its full name or IP address",
        ),
        1311 => ("no domain controller answers to check the account", "look at the domain controllers and the network"),
        1326 => (
            "the user name or the password is wrong",
            "check user (DOMAIN\\name) and the password where password-file or password-env says",
        ),
        1327 => ("the account may not log on this way (empty password, hours, or a policy)", ACCOUNT),
        1328 => ("the account may not log on at this hour", ACCOUNT),
        1329 => ("the account may not log on from this computer", ACCOUNT),
        1330 => ("the account's password has expired", ACCOUNT),
        1331 => ("the account is disabled", ACCOUNT),
        1385 => ("the account lacks the right to log on to the server over the network", ACCOUNT),
        1396 => (
            "the server answers to another name than the one that was asked for",
            "write the name that the server has in the domain, or register this one for it (setspn)",
        ),
        1793 => ("the account has expired", ACCOUNT),
        1907 => ("the account's password must be changed first", ACCOUNT),
        1909 => ("the account is locked out", ACCOUNT),
        _ => return None,
    })
}

/// What a caller can decide from a code.
pub(super) fn kind(code: i32) -> Option<ErrorKind> {
    Some(match code {
        // FILE_NOT_FOUND, PATH_NOT_FOUND, INVALID_DRIVE, BAD_DEV_TYPE (not a disk share), BAD_NET_NAME (no such share)
        2 | 3 | 15 | 66 | 67 => ErrorKind::NotFound,
        // FILE_EXISTS, ALREADY_EXISTS
        80 | 183 => ErrorKind::AlreadyExists,
        // ACCESS_DENIED, WRITE_PROTECT, NETWORK_ACCESS_DENIED
        5 | 19 | 65 => ErrorKind::PermissionDenied,
        // INVALID_PASSWORD, SESSION_CREDENTIAL_CONFLICT, LOGON_FAILURE, ACCOUNT_RESTRICTION, INVALID_LOGON_HOURS,
        // INVALID_WORKSTATION, PASSWORD_EXPIRED, ACCOUNT_DISABLED, LOGON_TYPE_NOT_GRANTED, WRONG_TARGET_NAME,
        // ACCOUNT_EXPIRED, PASSWORD_MUST_CHANGE, ACCOUNT_LOCKED_OUT
        86 | 1219 | 1326 | 1327 | 1328 | 1329 | 1330 | 1331 | 1385 | 1396 | 1793 | 1907 | 1909 => {
            ErrorKind::Unauthenticated
        }
        // HANDLE_DISK_FULL, DISK_FULL, DISK_QUOTA_EXCEEDED
        39 | 112 | 1295 => ErrorKind::Full,
        // SEM_TIMEOUT, TIMEOUT
        121 | 1460 => ErrorKind::TimedOut,
        // NOT_READY, SHARING_VIOLATION, LOCK_VIOLATION, REM_NOT_LIST, BAD_NETPATH, NETWORK_BUSY, DEV_NOT_EXIST,
        // UNEXP_NET_ERR, NETNAME_DELETED, REQ_NOT_ACCEP, NO_NET_OR_BAD_PATH, NO_NETWORK, NETWORK_UNREACHABLE,
        // HOST_UNREACHABLE, CONNECTION_ABORTED, NO_LOGON_SERVERS
        21 | 32 | 33 | 51 | 53 | 54 | 55 | 59 | 64 | 71 | 1203 | 1222 | 1231 | 1232 | 1236 | 1311 => {
            ErrorKind::Unavailable
        }
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn error(code: i32) -> io::Error {
        io::Error::from_raw_os_error(code)
    }

    #[test]
    fn every_code_with_words_has_a_kind_and_a_hint() {
        for code in 0..10_000 {
            let Some(error) = ShareError::of(code) else { continue };
            assert!(!error.hint().is_empty());
            // 50 is ours, for systems other than Windows.
            assert!(code == 50 || kind(code).is_some(), "{code}");
        }
        for code in [5, 53, 59, 64, 67, 86, 1219, 1326, 1330, 1331, 1909] {
            assert!(ShareError::of(code).is_some(), "{code}");
        }
    }

    #[test]
    fn failures_name_the_code_in_words() {
        let refused = failure("connect to", r"\\srv\cm$ as CONTOSO\svc".to_owned(), &error(1326));
        assert_eq!(
            crate::error::chain(&refused),
            r"cannot connect to \\srv\cm$ as CONTOSO\svc: the user name or the password is wrong (Win32 error 1326)"
        );
        assert_eq!(refused.kind, ErrorKind::Unauthenticated);
        assert!(refused.hint().unwrap().contains("password-file"), "{:?}", refused.hint());
        let unknown = failure("connect to", "x".to_owned(), &error(4711));
        assert_eq!(crate::error::chain(&unknown), "cannot connect to x: Win32 error 4711");
    }

    #[test]
    fn errors_that_pass_by_themselves_are_transient() {
        let transient = |code| failure("list", String::new(), &error(code)).is_transient();
        assert!([53, 59, 64, 121, 1231].into_iter().all(transient));
        assert!(![5, 67, 86, 1219, 1326, 1909].into_iter().any(transient));
    }
}
