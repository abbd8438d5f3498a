//! Buckets: their address, the options of `object_store`, and the secrets from where they may live.
//!
//! No value is quoted in a message here: addresses, options and names of variables are where secrets get pasted.

use std::path::PathBuf;
use std::str::FromStr as _;

use object_store::aws::AmazonS3ConfigKey;
use object_store::azure::AzureConfigKey;
use object_store::gcp::GoogleConfigKey;
use url::Url;

use crate::config::text::{At, Reader, Secret, Section, paths, smb_fault};

/// An object store.
#[derive(Clone)]
pub struct Bucket {
    /// `s3://bucket/prefix`, `az://container/prefix`, `gs://bucket/prefix`.
    pub url: Url,
    /// Another address than the provider's own.
    pub endpoint: Option<Url>,
    /// Options as `object_store` names them.
    pub options: Vec<(String, String)>,
    /// Where the secrets are, by the option that takes each.
    pub secrets: Vec<(String, Secret)>,
    /// PEM file of the certificate authorities to trust instead of the system's.
    pub ca_file: Option<PathBuf>,
}

impl std::fmt::Debug for Bucket {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let keys: Vec<_> = self.options.iter().map(|(key, _)| key).collect();
        f.debug_struct("Bucket").field("url", &self.url.as_str()).field("options", &keys).finish_non_exhaustive()
    }
}

impl Reader<'_, '_> {
    pub(in crate::config) fn bucket(&mut self, section: &Section<'_>) -> Option<Bucket> {
        let url = section.text("url").and_then(|text| self.bucket_url(section, &text));
        let endpoint = section.text("endpoint").and_then(|text| {
            let hint = "write it like \"https://s3.example.net\"";
            let fault = match Url::parse(&text.value) {
                Err(_) => "is not a URL",
                Ok(url) if !matches!(url.scheme(), "http" | "https") => "is neither http nor https",
                Ok(url) if has_extras(&url) => "must hold neither name, password nor parameters",
                Ok(url) => {
                    if url.scheme() == "http" && !is_loopback(&url) {
                        self.warnings
                            .push(format!("{}: archives travel unencrypted over http", section.label("endpoint")));
                    }
                    return Some(url);
                }
            };
            self.faults.add(Some(text.at), section.label("endpoint"), fault, hint);
            None
        });
        let ca_file = self.optional_path(section, "ca-file");
        let provider = Provider::of(url.as_ref()?.scheme())?;
        let mut options = self.options(section, provider);
        if let Some(region) = section.text("region") {
            if provider == Provider::S3 {
                options.push(("aws_region".to_owned(), region.value));
            } else {
                self.faults.add(Some(region.at), section.label("region"), "is only for s3", "remove it");
            }
        }
        let secrets = self.keys(section, provider);
        Some(Bucket { url: url?, endpoint, options, secrets, ca_file })
    }

    fn bucket_url(&mut self, section: &Section<'_>, text: &At<String>) -> Option<Url> {
        const HINT: &str = "write it like \"s3://bucket/prefix\", \"az://container/prefix\" or \"gs://bucket/prefix\"";
        if let Some((message, hint)) = smb_fault(&text.value, self.windows) {
            self.faults.add(Some(text.at), section.label("url"), message, hint);
            return None;
        }
        let parsed = Url::parse(&text.value);
        let (message, hint) = match &parsed {
            _ if paths::is_windows(&text.value) => ("is a folder".to_owned(), "write path instead of url"),
            Err(_) => ("is not a URL".to_owned(), HINT),
            Ok(url) => match url.scheme() {
                "s3" | "az" | "gs" if has_extras(url) => {
                    let hint = "secrets come from secret-key-env or secret-key-file";
                    ("must hold neither name, password nor parameters".to_owned(), hint)
                }
                "s3" | "az" | "gs" if url.host_str().is_none_or(str::is_empty) => ("names no bucket".to_owned(), HINT),
                "s3" | "az" | "gs" => return parsed.ok(),
                "nfs" => {
                    ("shares are not written to by address".to_owned(), "mount the share and write path = 'folder'")
                }
                "file" => ("is a folder".to_owned(), "write path instead of url"),
                "http" | "https" => (
                    "is the address of a server, not of a bucket".to_owned(),
                    "write url = \"s3://bucket/prefix\" and the server as endpoint = \"https://…\"",
                ),
                scheme => (format!("'{scheme}' is not a supported scheme"), HINT),
            },
        };
        self.faults.add(Some(text.at), section.label("url"), message, hint);
        None
    }

    /// Options as `object_store` names them. Secrets among them have been refused already.
    fn options(&mut self, section: &Section<'_>, provider: Provider) -> Vec<(String, String)> {
        let mut options = Vec::new();
        for (key, value) in section.options("options") {
            let label = section.label(&format!("options.{}", key.value));
            let (known, own) = provider.option(&key.value);
            if let Some(own) = own {
                self.faults.add(Some(key.at), label, "has a key of its own", format!("write it as {own}"));
            } else if !known {
                let hint = "options are named as in object_store, like aws_virtual_hosted_style_request or allow_http";
                self.faults.add(Some(key.at), label, "unknown option", hint);
            } else if Url::parse(&value.value).is_ok_and(|url| has_extras(&url)) {
                let message = "must hold neither name, password nor parameters";
                self.faults.add(Some(value.at), label, message, "a secret must not stand in this file");
            } else {
                options.push((key.value, value.value));
            }
        }
        options
    }

    /// Where the secrets are, by the options that take them.
    fn keys(&mut self, section: &Section<'_>, provider: Provider) -> Vec<(String, Secret)> {
        let mut secrets = Vec::new();
        let (access_option, secret_option) = provider.secrets();
        let has_secret = section.has("secret-key-env") || section.has("secret-key-file");
        if section.has("secret-key-env") && section.has("secret-key-file") {
            let at = section.at("secret-key-file");
            let label = section.label("secret-key-file");
            self.faults.add(Some(at), label, "secret-key-env is given too", "remove one of the two");
        }
        match access_option {
            None if section.has("access-key-env") => {
                let hint = match provider {
                    Provider::Azure => "remove it; the account is options = { azure_storage_account_name = \"…\" }",
                    _ => "remove it; secret-key-file names the file of the service account's key",
                };
                let at = section.at("access-key-env");
                self.faults.add(Some(at), section.label("access-key-env"), "is only for s3", hint);
            }
            Some(_) if section.has("access-key-env") != has_secret => {
                let (given, missing) = if has_secret {
                    let file = section.has("secret-key-file");
                    (if file { "secret-key-file" } else { "secret-key-env" }, "access-key-env")
                } else {
                    ("access-key-env", "secret-key-env or secret-key-file")
                };
                let hint = "both halves are needed; without either, the cloud's own chain of credentials is asked";
                let at = section.at(given);
                self.faults.add(Some(at), section.label(given), format!("{missing} is missing"), hint);
            }
            _ => {}
        }
        let many_lines = provider == Provider::Google;
        if let Some(option) = access_option
            && let Some(value) = Secret::of_variable(section, "access-key-env", false)
        {
            secrets.push((option.to_owned(), value));
        }
        let secret = if section.has("secret-key-file") {
            self.secret_file(section, "secret-key-file", many_lines)
        } else {
            Secret::of_variable(section, "secret-key-env", many_lines)
        };
        secrets.extend(secret.map(|value| (secret_option.to_owned(), value)));
        secrets
    }
}

/// Whose bucket it is.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Provider {
    S3,
    Azure,
    Google,
}

impl Provider {
    fn of(scheme: &str) -> Option<Self> {
        match scheme {
            "s3" => Some(Self::S3),
            "az" => Some(Self::Azure),
            "gs" => Some(Self::Google),
            _ => None,
        }
    }

    /// The options that take access key and secret key.
    fn secrets(self) -> (Option<&'static str>, &'static str) {
        match self {
            Self::S3 => (Some("aws_access_key_id"), "aws_secret_access_key"),
            Self::Azure => (None, "azure_storage_account_key"),
            Self::Google => (None, "google_service_account_key"),
        }
    }

    /// Is there such an option, and which key of ours is to be used instead?
    fn option(self, name: &str) -> (bool, Option<&'static str>) {
        use {AmazonS3ConfigKey as S3, AzureConfigKey as Azure, GoogleConfigKey as Google};
        let lower = name.to_ascii_lowercase();
        match self {
            Self::S3 => match S3::from_str(&lower) {
                Ok(S3::Region | S3::DefaultRegion) => (true, Some("region")),
                Ok(S3::Endpoint | S3::S3Endpoint) => (true, Some("endpoint")),
                Ok(S3::Bucket) => (true, Some("part of url")),
                known => (known.is_ok(), None),
            },
            Self::Azure => match Azure::from_str(&lower) {
                Ok(Azure::Endpoint) => (true, Some("endpoint")),
                Ok(Azure::ContainerName) => (true, Some("part of url")),
                known => (known.is_ok(), None),
            },
            Self::Google => match Google::from_str(&lower) {
                Ok(Google::BaseUrl) => (true, Some("endpoint")),
                Ok(Google::Bucket) => (true, Some("part of url")),
                known => (known.is_ok(), None),
            },
        }
    }
}

/// Name, password, query or fragment: the places of an address in which secrets travel.
fn has_extras(url: &Url) -> bool {
    !url.username().is_empty() || url.password().is_some() || url.query().is_some() || url.fragment().is_some()
}

fn is_loopback(url: &Url) -> bool {
    match url.host() {
        Some(url::Host::Domain(name)) => name == "localhost",
        Some(url::Host::Ipv4(address)) => address.is_loopback(),
        Some(url::Host::Ipv6(address)) => address.is_loopback(),
        None => false,
    }
}
