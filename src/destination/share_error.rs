//! Windows' error codes about shares: what they mean and what to do.
//!
//! Windows words them in the language of the server, and without the account; "The network name cannot be found" helps
//! nobody at night. So the codes that shares give have words of ours. The table is a plain function of the number:
//! most of these errors cannot be provoked where the tests run.

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
