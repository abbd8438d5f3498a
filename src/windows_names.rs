//! Names that Windows takes: one rule for the configuration, for keys on destinations and for what is fetched.
//!
//! Archives are made on Windows, kept anywhere and fetched anywhere, so the rule is asked on every system.

/// What keeps a text from being the name of a file or folder on Windows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum NameFault {
    /// A separator or a colon: it means a drive, a stream or something in another folder.
    Place,
    /// A character that no name can have.
    Character,
    /// A dot or blank at the end, which Windows would drop.
    End,
    /// The name of a device, with or without an ending.
    Device,
}

/// What is wrong with a name. An empty one has nothing wrong with it, but is none.
pub(crate) fn fault(name: &str) -> Option<NameFault> {
    if name.contains(['/', '\\', ':']) {
        Some(NameFault::Place)
    } else if name.chars().any(|c| c < ' ' || "<>\"|?*".contains(c)) {
        Some(NameFault::Character)
    } else if name.ends_with(['.', ' ']) {
        Some(NameFault::End)
    } else if is_device(name) {
        Some(NameFault::Device)
    } else {
        None
    }
}

fn is_device(name: &str) -> bool {
    let stem = name.split('.').next().unwrap_or(name).trim_end().to_ascii_uppercase();
    let numbered = |device: &str| {
        stem.strip_prefix(device).is_some_and(|rest| {
            let mut rest = rest.chars();
            matches!((rest.next(), rest.next()), (Some('0'..='9' | '¹' | '²' | '³'), None))
        })
    };
    matches!(stem.as_str(), "CON" | "PRN" | "AUX" | "NUL" | "CONIN$" | "CONOUT$") || numbered("COM") || numbered("LPT")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_windows_takes_are_told_from_others() {
        for (names, expected) in [
            (&["a", "a b", ".a", "a.b", "com", "com10", "console", "lpt", "nul1", "é", "a\u{7f}"][..], None),
            (&[r"a\b", "a/b", "a:b", r"C:\x", "a:$DATA"], Some(NameFault::Place)),
            (&["a*", "a?", "<a", "a>", "a|b", "\"a", "a\tb", "a\0"], Some(NameFault::Character)),
            (&["a.", "a ", ".", "..", "a. "], Some(NameFault::End)),
            (
                &["con", "CON.txt", "nul .x", "Aux", "prn", "com1", "COM0.a", "lpt9.tar.gz", "com²", "CONIN$"],
                Some(NameFault::Device),
            ),
        ] {
            for name in names {
                assert_eq!(fault(name), expected, "{name:?}");
            }
        }
    }
}
