//! Windows' error codes: what a caller can decide from them. A plain function of the number: most of these errors
//! cannot be provoked where the tests run.

use std::io;

use super::share_error::ShareError;
use super::{Error, ErrorKind};

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
