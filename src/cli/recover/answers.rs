//! The answers file of `recover script`: TOML, one key for each key of the script.
//!
//! Read by hand, not by serde: all unknown keys are told at once, and no message may quote a line, which may hold the
//! product key.

use std::fs;
use std::path::{Path, PathBuf};

use crate::cli::exit::Exit;
use crate::cli::failure::Failure;
use crate::recovery::keys::{KEYS, SiteType};
use crate::recovery::script::{Given, Origin};
use crate::recovery::values::{redact, shown};

/// What an answers file says.
#[derive(Debug, Default)]
pub(super) struct Answers {
    /// Values of keys.
    pub(super) given: Vec<Given>,
    pub(super) site_type: Option<SiteType>,
    pub(super) product_id_file: Option<PathBuf>,
    pub(super) fetched_to: Option<String>,
}

/// Keys that are not those of the script.
const OTHERS: [&str; 3] = ["site-type", "product-id-file", "fetched-to"];

pub(super) fn read(path: &Path) -> Result<Answers, Failure> {
    let name = path.display();
    let text = fs::read_to_string(path)
        .map_err(|error| Failure::words(Exit::Usage, format!("cannot read the answers in {name}: {error}")))?;
    parse(&text).map_err(|faults| {
        let lines: Vec<String> = faults.iter().map(|fault| format!("{name}: {fault}")).collect();
        Failure::words(Exit::Usage, lines.join("\n")).hint(Some("'afterbackup recover script --help' names the keys"))
    })
}

fn parse(text: &str) -> Result<Answers, Vec<String>> {
    let table: toml::Table = text.parse().map_err(|error: toml::de::Error| {
        let at = error.span().map_or(0, |span| span.start);
        let line = text.get(..at).map_or(1, |before| before.matches('\n').count() + 1);
        vec![format!("line {line} is not TOML: {}", redact(error.message()).lines().next().unwrap_or_default())]
    })?;
    let mut answers = Answers::default();
    let mut faults = Vec::new();
    for (name, value) in &table {
        let text = match value {
            toml::Value::String(text) => text.clone(),
            toml::Value::Integer(number) => number.to_string(),
            toml::Value::Boolean(flag) => u8::from(*flag).to_string(),
            _ => {
                faults.push(format!("{}: expected text or a number", plain(name)));
                continue;
            }
        };
        // Script keys are taken in their own spelling, too.
        let key = KEYS.iter().find(|key| key.flag == name || key.name.eq_ignore_ascii_case(name));
        match (name.as_str(), key) {
            ("site-type", _) => match text.parse() {
                Ok(site_type) => answers.site_type = Some(site_type),
                Err(expected) => faults.push(format!("site-type: {} is unknown: {expected}", shown(&text))),
            },
            ("product-id-file", _) => answers.product_id_file = Some(PathBuf::from(text)),
            ("fetched-to", _) => answers.fetched_to = Some(text),
            (_, Some(key)) if key.name == "Action" => {
                faults.push("action: write site-type instead, which decides it".to_owned());
            }
            (_, Some(key)) if answers.given.iter().any(|one: &Given| one.key.name == key.name) => {
                faults.push(format!("{} is there twice", key.flag));
            }
            (_, Some(key)) => answers.given.push(Given::new(key.name, text, Origin::Answers, key.about)),
            (_, None) => faults.push(unknown(name)),
        }
    }
    if faults.is_empty() { Ok(answers) } else { Err(faults) }
}

fn plain(name: &str) -> String {
    redact(name).chars().filter(|c| !c.is_control()).take(60).collect()
}

fn unknown(name: &str) -> String {
    let names = KEYS.iter().map(|key| key.flag).filter(|flag| *flag != "action").chain(OTHERS);
    let near = names.map(|known| (strsim::damerau_levenshtein(known, &name.to_lowercase()), known)).min();
    match near {
        Some((distance, known)) if distance <= 3 => format!("unknown key {}: did you mean {known}?", plain(name)),
        _ => format!("unknown key {}", plain(name)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_are_read_in_both_spellings() {
        let answers =
            parse("site-type = 'cas'\nsql-ssb-port = 4022\nSiteName = 'Contoso'\nadmin-console = true\n").unwrap();
        assert_eq!(answers.site_type, Some(SiteType::Cas));
        let given: Vec<(&str, &str)> = answers.given.iter().map(|one| (one.key.name, one.value.as_str())).collect();
        assert_eq!(given, [("SiteName", "Contoso"), ("AdminConsole", "1"), ("SQLSSBPort", "4022")]);
    }

    #[test]
    fn all_unknown_keys_are_told_at_once_and_no_value() {
        let faults = parse("site-nme = 'secret'\nother = 'secret'\nsite-type = 'x'\n[table]\n").unwrap_err();
        let expected = [
            "unknown key site-nme: did you mean site-name?",
            "unknown key other",
            "site-type: 'x' is unknown: expected cas, primary or child-primary",
            "table: expected text or a number",
        ];
        assert_eq!(faults.iter().filter(|fault| expected.contains(&fault.as_str())).count(), 4, "{faults:?}");
        assert!(!faults.concat().contains("secret"));
    }

    #[test]
    fn a_product_key_is_in_no_message() {
        let key = "ABCDE-12345-FGHIJ-67890-KLMNO";
        for text in [
            format!("product-id = {key}"),
            format!("product-id = '{key}"),
            format!("product-id = ['{key}']"),
            format!("'{key}' = 1"),
            format!("product-id = '{key}'\nproduct-id = '{key}'"),
            format!("product-id = '{key}'\nProductID = '{key}'"),
            format!("site-type = '{key}'"),
        ] {
            let faults = parse(&text).unwrap_err().concat();
            assert!(!faults.contains("12345") && !faults.is_empty(), "{faults}");
        }
        assert!(!format!("{:?}", parse(&format!("product-id = '{key}'")).unwrap()).contains("12345"));
    }
}
