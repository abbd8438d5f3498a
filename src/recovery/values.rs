//! Is a value what its key needs? Answers never quote a product key.

use super::keys::{Key, Source, Value, Vintage};

/// What is wrong with a value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    /// Only worth a warning.
    pub warning: bool,
    /// In words, without the name of the key.
    pub message: String,
    /// What to write.
    pub hint: Option<String>,
    /// Who says so.
    pub source: Source,
}

/// How much of a value is shown.
const SHOWN: usize = 80;

/// A value as messages show it: short, and with nothing in it that could be a product key.
#[must_use]
pub fn shown(value: &str) -> String {
    let value = redact(value);
    let clean: String = value.chars().take(SHOWN).map(|c| if c.is_control() { '?' } else { c }).collect();
    if value.chars().count() > SHOWN { format!("'{clean}…'") } else { format!("'{clean}'") }
}

/// Replaces everything that looks like a product key: five groups of five letters or digits.
#[must_use]
pub fn redact(text: &str) -> String {
    let chars: Vec<char> = text.chars().collect();
    let mut out = String::with_capacity(text.len());
    let mut at = 0;
    while at < chars.len() {
        match chars.get(at..at + KEY_LENGTH) {
            Some(part) if looks_like_a_key(part) => {
                out.push_str("(product key)");
                at += KEY_LENGTH;
            }
            _ => {
                out.push(chars[at]);
                at += 1;
            }
        }
    }
    out
}

const KEY_LENGTH: usize = 29;

fn looks_like_a_key(chars: &[char]) -> bool {
    chars.len() == KEY_LENGTH
        && chars.iter().enumerate().all(|(at, c)| if at % 6 == 5 { *c == '-' } else { c.is_ascii_alphanumeric() })
}

/// Is it a product key of the documented form?
#[must_use]
pub fn is_product_key(value: &str) -> bool {
    looks_like_a_key(&value.chars().collect::<Vec<_>>())
}

/// Is it a site code?
#[must_use]
pub fn is_site_code(value: &str) -> bool {
    value.len() == 3 && value.bytes().all(|byte| byte.is_ascii_alphanumeric())
}

/// Is it a name of labels, more than one?
#[must_use]
pub fn is_fqdn(value: &str) -> bool {
    value.contains('.') && is_host(value) && !value.split('.').all(|label| label.bytes().all(|b| b.is_ascii_digit()))
}

fn is_host(value: &str) -> bool {
    let label = |label: &str| {
        (1..=63).contains(&label.len())
            && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_')
            && !label.starts_with('-')
            && !label.ends_with('-')
    };
    value.len() <= 253 && value.split('.').all(label)
}

/// `C:\folder`
#[must_use]
pub fn is_local_folder(value: &str) -> bool {
    matches!(value.as_bytes(), [letter, b':', b'\\' | b'/', ..] if letter.is_ascii_alphabetic())
        && has_only_path_letters(value)
}

/// `\\server\share`
#[must_use]
pub fn is_share(value: &str) -> bool {
    let Some(rest) = value.strip_prefix(r"\\") else { return false };
    let mut parts = rest.split('\\');
    let both = parts.next().is_some_and(|server| !server.is_empty() && server != "?" && server != ".")
        && parts.next().is_some_and(|share| !share.is_empty());
    both && has_only_path_letters(value)
}

fn has_only_path_letters(value: &str) -> bool {
    let rest = value.get(2..).unwrap_or_default();
    !rest.contains(['<', '>', '"', '|', '?', '*', ':']) && !rest.contains(char::is_control)
}

/// The site code in the name of a folder `XXXBackup`, the last of a path.
#[must_use]
pub fn backup_folder_site(path: &str) -> Option<&str> {
    let name = path.trim_end_matches(['\\', '/']).rsplit(['\\', '/']).next()?;
    let (code, rest) = name.split_at_checked(3)?;
    (rest.eq_ignore_ascii_case("Backup") && is_site_code(code)).then_some(code)
}

/// Judges a value that is not empty.
#[must_use]
pub fn judge(key: &Key, value: &str, vintage: Vintage) -> Option<Fault> {
    let fault = |message: String, hint: &str| {
        Some(Fault {
            warning: false,
            message,
            hint: Some(hint.to_owned()).filter(|hint| !hint.is_empty()),
            source: key.source(),
        })
    };
    let shown = shown(value);
    // A comment behind a value is part of it.
    if value.contains(" ;") && !matches!(key.value, Value::Text | Value::ProductId) {
        return fault(
            format!("{shown} holds a comment, which would be read as part of the value"),
            "put the comment on a line of its own",
        );
    }
    match key.value {
        Value::OneOf(allowed) => {
            if key.name == "JoinCEIP" && value == "1" && vintage == Vintage::Y2022 {
                let hint = "write 0, which both tables allow";
                let message = "1 is not allowed by the table of 2022".to_owned();
                return Some(Fault { warning: false, message, hint: Some(hint.to_owned()), source: Source::Keys2022 });
            }
            if key.name == "CDLatest" && value == "0" {
                let message =
                    "0 says that Setup does not run from CD.Latest, from which a site is recovered".to_owned();
                let hint = Some("write CDLatest=1 and start Setup from a copy of CD.Latest".to_owned());
                return Some(Fault { warning: true, message, hint, source: Source::Options });
            }
            if allowed.iter().any(|one| one.eq_ignore_ascii_case(value)) {
                return None;
            }
            let near = allowed
                .iter()
                .filter(|one| one.len() > 3)
                .find(|one| strsim::damerau_levenshtein(&one.to_lowercase(), &value.to_lowercase()) <= 3);
            let hint = match near {
                Some(near) => format!("did you mean {near}?"),
                None => format!("{}: {}", key.name, key.about),
            };
            fault(format!("{shown} is not one of {}", allowed.join(", ")), &hint)
        }
        Value::ProductId if value.eq_ignore_ascii_case("eval") || is_product_key(value) => None,
        // Whatever it is, it may be most of a key.
        Value::ProductId => fault(
            "the value is neither a product key nor Eval".to_owned(),
            "a product key has five groups of five letters or digits, joined by '-'",
        ),
        Value::SiteCode if is_site_code(value) => None,
        Value::SiteCode => fault(format!("{shown} is not a site code"), "a site code has 3 letters or digits"),
        Value::Fqdn if is_fqdn(value) => None,
        Value::Fqdn => fault(format!("{shown} is not a full domain name"), "write it like cm01.contoso.com"),
        Value::Host if is_host(value) => None,
        Value::Host if value.contains('\\') => fault(
            format!("{shown} is not the name of a computer"),
            if key.name == "SQLServerName" { r"an instance belongs to DatabaseName, as INSTANCE\name" } else { "" },
        ),
        Value::Host => fault(format!("{shown} is not the name of a computer"), "write it like cm01.contoso.com"),
        Value::FqdnOrSiteCode => cas_server(value, &shown, vintage),
        Value::DatabaseName => {
            let mut parts = value.split('\\');
            let (first, second, third) = (parts.next().unwrap_or_default(), parts.next(), parts.next());
            let whole = !first.is_empty() && second.is_none_or(|name| !name.is_empty()) && third.is_none();
            if whole && !value.contains(['/', '"', '[', ']', '*', '?']) {
                return None;
            }
            fault(
                format!("{shown} is not the name of a database"),
                r"write CM_XYZ, or INSTANCE\CM_XYZ for a named instance",
            )
        }
        Value::Number(least, most) => match value.parse::<u32>() {
            Ok(number) if (least..=most).contains(&number) && value.bytes().all(|byte| byte.is_ascii_digit()) => None,
            _ if most == u32::MAX => fault(format!("{shown} is not a number"), ""),
            _ => fault(format!("{shown} is not a number from {least} to {most}"), ""),
        },
        Value::LocalFolder if is_local_folder(value) => None,
        Value::LocalFolder => {
            fault(format!("{shown} is not a local folder"), r"write it with its drive, like D:\Program Files\X")
        }
        Value::Folder | Value::BackupFolder if !is_local_folder(value) && !is_share(value) => fault(
            format!("{shown} is not a full path"),
            r"write it like E:\Restore\XYZBackup or \\server\share\XYZBackup",
        ),
        Value::Text | Value::Folder => None,
        Value::BackupFolder if backup_folder_site(value).is_some() => None,
        Value::BackupFolder => {
            let message = format!("{shown} does not end with a folder named XXXBackup, XXX being the site code");
            let hint = Some("name the XXXBackup folder itself, not one above or below it".to_owned());
            Some(Fault { warning: true, message, hint, source: Source::Keys })
        }
    }
}

/// The one key whose two tables exclude each other: what fits the other table is worth a warning, not an error.
fn cas_server(value: &str, shown: &str, vintage: Vintage) -> Option<Fault> {
    let (expected, other) = match vintage {
        Vintage::Y2016 => (is_site_code(value), is_fqdn(value)),
        Vintage::Y2022 => (is_fqdn(value), is_site_code(value)),
    };
    let (what, source) = match vintage {
        Vintage::Y2016 => ("the site code of the central administration site", Source::Keys2016),
        Vintage::Y2022 => ("the full domain name of the central administration site's server", Source::Keys2022),
    };
    match (expected, other) {
        (true, _) => None,
        (false, true) => Some(Fault {
            warning: true,
            message: format!("{shown} is what the other table asks for; the table of {vintage} asks for {what}"),
            hint: Some("Setup of the current branch follows the table of 2022: write the full domain name".to_owned())
                .filter(|_| vintage == Vintage::Y2022),
            source,
        }),
        (false, false) => Some(Fault {
            warning: false,
            message: format!("{shown} is not {what}"),
            hint: Some("write it like cas01.contoso.com".to_owned()),
            source,
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::super::keys::{KEYS, key};
    use super::*;

    fn verdict(name: &str, value: &str) -> [Option<bool>; 2] {
        Vintage::ALL.map(|vintage| judge(key(name), value, vintage).map(|fault| fault.warning))
    }

    #[test]
    fn values_are_judged_by_the_tables() {
        let (ok, bad, doubt) = ([None; 2], [Some(false); 2], [Some(true); 2]);
        for (name, value, expected) in [
            ("Action", "recoverprimarysite", ok),
            ("Action", "RecoverCAS", bad),
            ("CDLatest", "1", ok),
            ("CDLatest", "0", doubt),
            ("CDLatest", "2", bad),
            ("ServerRecoveryOptions", "1", ok),
            ("ServerRecoveryOptions", "3", bad),
            ("DatabaseRecoveryOptions", "80", ok),
            ("DatabaseRecoveryOptions", "30", bad),
            ("ProductID", "EVAL", ok),
            ("ProductID", "ABCDE-12345-FGHIJ-67890-KLMNO", ok),
            ("ProductID", "ABCDE-12345-FGHIJ-67890", bad),
            ("SiteCode", "001", ok),
            ("SiteCode", "XYZ1", bad),
            ("SMSInstallDir", r"c:\ConfigMgr", ok),
            ("SMSInstallDir", r"\\srv\share", bad),
            ("SMSInstallDir", "ConfigMgr", bad),
            ("SDKServer", "cm01.contoso.com", ok),
            ("SDKServer", "cm01", bad),
            ("SDKServer", "10.0.0.1", bad),
            ("PrerequisitePath", r"\\srv\share\redist", ok),
            ("PrerequisitePath", "redist", bad),
            ("JoinCEIP", "0", ok),
            ("JoinCEIP", "1", [None, Some(false)]),
            ("JoinCEIP", "2", bad),
            ("SQLServerName", "SQL01", ok),
            ("SQLServerName", r"SQL01\INST", bad),
            ("DatabaseName", r"INST\CM_XYZ", ok),
            ("DatabaseName", r"A\B\C", bad),
            ("DatabaseName", r"INST\", bad),
            ("SQLSSBPort", "4022", ok),
            ("SQLSSBPort", "+4022", bad),
            ("SQLSSBPort", "65536", bad),
            ("SQLDataFilePath", r"C:\SQL\DATA\", ok),
            ("SQLDataFilePath", r"\\sql\data", bad),
            ("CloudConnector", "1", ok),
            ("CloudConnector", "yes", bad),
            ("CCARSiteServer", "cas01.contoso.com", [Some(true), None]),
            ("CCARSiteServer", "CAS", [None, Some(true)]),
            ("CCARSiteServer", "cas01", bad),
            ("WaitForCASTimeout", "100", ok),
            ("WaitForCASTimeout", "101", bad),
            ("BackupLocation", r"\\srv0001\SCCMBackup\001Backup", ok),
            ("BackupLocation", r"E:\Restore\XYZBackup\", ok),
            ("BackupLocation", r"E:\Restore", doubt),
            ("BackupLocation", r"Restore\XYZBackup", bad),
            ("SiteServerBackupLocation", r"E:\Restore\XYZBackup\SiteServer", doubt),
            ("SiteCode", "XYZ ; main site", bad),
        ] {
            assert_eq!(verdict(name, value), expected, "{name}={value}");
        }
    }

    #[test]
    fn nothing_that_could_be_a_product_key_is_shown() {
        let secret = "ABCDE-12345-FGHIJ-67890-KLMNO";
        for (text, expected) in [
            (secret.to_owned(), "(product key)".to_owned()),
            (format!("key={secret}, ok"), "key=(product key), ok".to_owned()),
            (format!("{secret}{secret}"), "(product key)(product key)".to_owned()),
            ("ABCDE-12345".to_owned(), "ABCDE-12345".to_owned()),
        ] {
            assert_eq!(redact(&text), expected);
        }
        for key in KEYS {
            for vintage in Vintage::ALL {
                let told = judge(key, secret, vintage).map(|fault| fault.message).unwrap_or_default();
                assert!(!told.contains("12345"), "{}: {told}", key.name);
            }
        }
        let almost = judge(key("ProductID"), "ABCDE-12345-FGHIJ-67890-KLMN", Vintage::Y2022).unwrap();
        assert!(!almost.message.contains("12345"));
    }
}
