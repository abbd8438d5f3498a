//! `[[destination]]`: where archives go.

use std::path::PathBuf;
use std::time::Duration;

use super::bucket::Bucket;
use super::retention;
use super::share::{self, Credentials};
use crate::config::text::{Key, Kind, Reader, Section, closest, key};
use crate::retention::policy::Policy;
use crate::units;

/// The keys of this section.
pub(in crate::config) const KEYS: &[Key] = &[
    key("name", Kind::Text, "\"vault\""),
    key("path", Kind::Text, r"'\\backup01\configmgr$'"),
    key("url", Kind::Text, "\"s3://bucket/prefix\""),
    key("endpoint", Kind::Text, "\"https://s3.example.net\""),
    key("region", Kind::Text, "\"eu-central-1\""),
    key("verify", Kind::Text, "\"full\""),
    key("bandwidth", Kind::Text, "\"200 Mbit/s\""),
    key("retry-for", Kind::Text, "\"5min\""),
    key("stall-timeout", Kind::Text, "\"15min\""),
    key("sweep-after", Kind::Text, "\"2 days\""),
    key("ca-file", Kind::Text, r"'C:\ProgramData\afterbackup\ca.pem'"),
    key("options", Kind::Options, "{ aws_virtual_hosted_style_request = \"true\" }"),
    key("access-key-env", Kind::Text, "\"VAULT_ACCESS_KEY\""),
    key("secret-key-env", Kind::Text, "\"VAULT_SECRET_KEY\""),
    key("secret-key-file", Kind::Text, r"'C:\ProgramData\afterbackup\vault.secret'"),
    key("retention", Kind::Table(retention::KEYS), ""),
    key("credentials", Kind::Table(share::KEYS), ""),
];

const RETRY_FOR: Duration = Duration::from_mins(5);
const STALL_TIMEOUT: Duration = Duration::from_mins(15);
const SWEEP_AFTER: Duration = Duration::from_hours(48);

/// Keys of a destination that only a bucket has; `bucket` reads them.
const BUCKET_KEYS: [&str; 7] =
    ["endpoint", "region", "ca-file", "options", "access-key-env", "secret-key-env", "secret-key-file"];

/// Where archives go.
#[derive(Debug, Clone)]
pub struct Destination {
    /// Unique name.
    pub name: String,
    /// Folder or bucket.
    pub location: Location,
    /// The account for the share that the folder lies on; without it, the one that the program runs as.
    pub credentials: Option<Credentials>,
    /// What to keep there.
    pub retention: Policy,
    /// How to check what was pushed.
    pub verify: Verify,
    /// Not more than this many bytes a second.
    pub bandwidth: Option<u64>,
    /// How long to try again when the destination does not answer.
    pub retry_for: Duration,
    /// How long a single block may take before the destination is given up.
    pub stall_timeout: Duration,
    /// Leftovers of uploads that never finished are removed when older than this.
    pub sweep_after: Duration,
}

/// Folder or bucket.
#[derive(Debug, Clone)]
pub enum Location {
    /// A local folder or UNC path.
    Folder(PathBuf),
    /// An object store.
    Bucket(Box<Bucket>),
}

/// How to check what was pushed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verify {
    /// Read everything back and compare the SHA-256.
    Full,
    /// Compare the size (and let a bucket check the checksum of every part).
    Size,
    /// Do not check.
    None,
}

impl Reader<'_, '_> {
    pub(in crate::config) fn destination(&mut self, section: &Section<'_>, inherited: &Policy) -> Option<Destination> {
        let before = self.faults.len();
        let name = section.text("name");
        match &name {
            Some(name) if !is_name(&name.value) => {
                let hint = "use up to 64 letters, digits, '.', '_' and '-': it is typed on command lines";
                self.faults.add(Some(name.at), section.label("name"), "is not a usable name", hint);
            }
            None if !section.has("name") => {
                self.faults.add(Some(section.at), section.label("name"), "missing", "write name = \"vault\"");
            }
            _ => {}
        }
        let location = self.location(section);
        let credentials = match &location {
            Some(Location::Folder(path)) => self.credentials(section, path),
            _ => None,
        };
        let verify = section.text("verify").and_then(|text| match text.value.as_str() {
            "full" => Some(Verify::Full),
            "size" => Some(Verify::Size),
            "none" => Some(Verify::None),
            other => {
                let hint = closest(other, &["full", "size", "none"]).map_or_else(
                    || "write \"full\", \"size\" or \"none\"".to_owned(),
                    |n| format!("did you mean \"{n}\"?"),
                );
                self.faults.add(
                    Some(text.at),
                    section.label("verify"),
                    format!("'{other}' is not a verify mode"),
                    hint,
                );
                None
            }
        });
        let bandwidth = section.text("bandwidth").and_then(|text| match units::parse_bandwidth(&text.value) {
            Ok(bytes) => Some(bytes),
            Err(error) => {
                let hint = "write it like \"200 Mbit/s\" or \"25 MB/s\"";
                self.faults.add(Some(text.at), section.label("bandwidth"), error.to_string(), hint);
                None
            }
        });
        let retry_for = self.duration(section, "retry-for", RETRY_FOR);
        let stall_timeout = self.duration(section, "stall-timeout", STALL_TIMEOUT);
        if stall_timeout <= retry_for {
            let key = if section.has("stall-timeout") { "stall-timeout" } else { "retry-for" };
            let message = format!(
                "stall-timeout ({}) must be longer than retry-for ({})",
                units::format_duration(stall_timeout),
                units::format_duration(retry_for)
            );
            let hint = "else a destination is given up while it is still being tried";
            self.faults.add(Some(section.at(key)), section.label(key), message, hint);
        }
        let sweep_after = self.duration(section, "sweep-after", SWEEP_AFTER);
        let retention = section.section("retention").map_or_else(
            || inherited.clone(),
            |own| {
                let policy = self.policy(&own, inherited);
                self.check_policy(&own, &policy);
                policy
            },
        );
        if self.faults.len() > before {
            // Faults of the location count in `check_duplicates` all the same; the rest is of no use any more.
            return Some(Destination { name: name?.value, location: location?, credentials, ..placeholder(inherited) });
        }
        let location = location?;
        let verify = verify.unwrap_or(match location {
            Location::Folder(_) => Verify::Full,
            Location::Bucket(_) => Verify::Size,
        });
        let name = name?.value;
        Some(Destination {
            name,
            location,
            credentials,
            retention,
            verify,
            bandwidth,
            retry_for,
            stall_timeout,
            sweep_after,
        })
    }

    fn location(&mut self, section: &Section<'_>) -> Option<Location> {
        match (section.has("path"), section.has("url")) {
            (true, true) => {
                let hint = "a destination is one or the other: make two";
                self.faults.add(Some(section.at("url")), section.label("url"), "path is given too", hint);
                None
            }
            (false, false) => {
                let hint = "write path = 'folder or share' or url = \"s3://bucket/prefix\"";
                self.faults.add(Some(section.at), section.title(), "has neither path nor url", hint);
                None
            }
            (true, false) => {
                for key in BUCKET_KEYS.iter().filter(|key| section.has(key)) {
                    let hint = "remove it, or write url instead of path";
                    self.faults.add(Some(section.at(key)), section.label(key), "is only for buckets", hint);
                }
                self.optional_path(section, "path").map(Location::Folder)
            }
            (false, true) => {
                if section.has("credentials") {
                    let hint =
                        "remove it; the secrets of buckets are access-key-env and secret-key-env or secret-key-file";
                    let at = Some(section.at("credentials"));
                    self.faults.add(at, section.label("credentials"), "is only for shares", hint);
                }
                self.bucket(section).map(Box::new).map(Location::Bucket)
            }
        }
    }
}

/// Stands in where a fault has been reported, for the checks that follow.
fn placeholder(policy: &Policy) -> Destination {
    Destination {
        name: String::new(),
        location: Location::Folder(PathBuf::new()),
        credentials: None,
        retention: policy.clone(),
        verify: Verify::Full,
        bandwidth: None,
        retry_for: RETRY_FOR,
        stall_timeout: STALL_TIMEOUT,
        sweep_after: SWEEP_AFTER,
    }
}

fn is_name(name: &str) -> bool {
    name.len() <= 64
        && name.starts_with(|c: char| c.is_ascii_alphanumeric())
        && name.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-'))
}
