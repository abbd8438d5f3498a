//! From a bucket's configuration to a client for it.
//!
//! Credentials come from the options; without them from what the provider's own tools use: environment variables,
//! a token file, the identity of the machine.

use std::sync::Arc;
use std::time::Duration;

use object_store::aws::{AmazonS3Builder, AmazonS3ConfigKey, Checksum};
use object_store::azure::{AzureConfigKey, MicrosoftAzureBuilder};
use object_store::gcp::{GoogleCloudStorageBuilder, GoogleConfigKey};
use object_store::path::Path;
use object_store::{BackoffConfig, Certificate, ClientOptions, HeaderValue, RetryConfig};

use secrecy::{ExposeSecret as _, SecretString};

use super::super::{CertificateError, Error, ErrorKind, secret};
use super::answers::Connector;
use super::core::{Store, Stores};
use crate::config;

/// A client and the prefix of all keys.
pub(super) fn client(settings: &config::Bucket) -> Result<(Stores, Path), Error> {
    let fault = |source: Box<dyn std::error::Error + Send + Sync>| {
        Error::new(ErrorKind::Other, "set up", location(settings), source)
    };
    let prefix = Path::from_url_path(settings.url.path()).map_err(|error| fault(error.into()))?;
    // Process-wide, and whoever comes first is right: it is the only one compiled in.
    drop(rustls::crypto::ring::default_provider().install_default());
    let client = client_options(settings)?;
    let mut secrets = Secrets::new();
    for (key, place) in &settings.secrets {
        secrets.push((key, secret(place, location(settings))?));
    }
    // Retries are ours: those of object_store give up after ten refused connections, that is seconds.
    let retry = RetryConfig { backoff: BackoffConfig::default(), max_retries: 0, retry_timeout: Duration::ZERO };
    let stores = match settings.url.scheme() {
        "s3" => s3(settings, &secrets, &client, &retry),
        "az" => azure(settings, &secrets, client, retry).map(Stores::one),
        "gs" => google(settings, &secrets, client, retry).map(Stores::one),
        scheme => Err(format!("'{scheme}://' is none of s3://, az:// and gs://").into()),
    };
    Ok((stores.map_err(fault)?, prefix))
}

/// The URL without what could be a secret.
pub(in super::super) fn location(settings: &config::Bucket) -> String {
    let mut url = settings.url.clone();
    url.set_query(None);
    url.set_fragment(None);
    // Refused only where there can be no password.
    url.set_password(None).ok();
    url.to_string().trim_end_matches('/').to_owned()
}

type Built = Result<Arc<dyn Store>, Box<dyn std::error::Error + Send + Sync>>;

/// Secrets by the option that takes each.
type Secrets<'s> = Vec<(&'s str, SecretString)>;

/// No checksum in headers.
const NO_CHECKSUM: &str = "none";

fn s3(
    settings: &config::Bucket,
    secrets: &Secrets<'_>,
    client: &ClientOptions,
    retry: &RetryConfig,
) -> Result<Stores, Box<dyn std::error::Error + Send + Sync>> {
    let mut options = options::<AmazonS3ConfigKey>(settings, secrets)?;
    let count = options.len();
    options.retain(|(key, value)| *key != AmazonS3ConfigKey::Checksum || !value.eq_ignore_ascii_case(NO_CHECKSUM));
    // Half of a key from here and half from the environment would mix two accounts.
    let own_key = options.iter().any(|(key, _)| *key == AmazonS3ConfigKey::AccessKeyId);
    let build = |checksum: bool| {
        let mut builder = if own_key { AmazonS3Builder::new() } else { AmazonS3Builder::from_env() };
        builder = builder
            .with_client_options(client.clone())
            .with_http_connector(Connector)
            .with_retry(retry.clone())
            .with_bucket_name(host(settings)?);
        if checksum {
            // The server checks every part, and buckets with Object Lock insist on it.
            builder = builder.with_checksum_algorithm(Checksum::SHA256);
        }
        if let Some(endpoint) = &settings.endpoint {
            builder =
                builder.with_endpoint(endpoint.as_str().trim_end_matches('/')).with_virtual_hosted_style_request(false);
        }
        for (key, value) in options.iter().filter(|(key, _)| checksum || *key != AmazonS3ConfigKey::Checksum) {
            builder = builder.with_config(*key, *value);
        }
        Ok::<Arc<dyn Store>, Box<dyn std::error::Error + Send + Sync>>(Arc::new(builder.build()?))
    };
    if options.len() < count {
        return Ok(Stores::one(build(false)?));
    }
    Ok(Stores { checked: build(true)?, plain: Some(build(false)?), refused: Arc::default() })
}

fn azure(settings: &config::Bucket, secrets: &Secrets<'_>, client: ClientOptions, retry: RetryConfig) -> Built {
    let options = options::<AzureConfigKey>(settings, secrets)?;
    let mut builder = MicrosoftAzureBuilder::from_env()
        .with_client_options(client)
        .with_http_connector(Connector)
        .with_retry(retry)
        .with_container_name(host(settings)?);
    if let Some(endpoint) = &settings.endpoint {
        builder = builder.with_endpoint(endpoint.as_str().trim_end_matches('/').to_owned());
    }
    for (key, value) in options {
        builder = builder.with_config(key, value);
    }
    Ok(Arc::new(builder.build()?))
}

fn google(settings: &config::Bucket, secrets: &Secrets<'_>, client: ClientOptions, retry: RetryConfig) -> Built {
    let options = options::<GoogleConfigKey>(settings, secrets)?;
    let mut builder = GoogleCloudStorageBuilder::from_env()
        .with_client_options(client)
        .with_http_connector(Connector)
        .with_retry(retry)
        .with_bucket_name(host(settings)?);
    if let Some(endpoint) = &settings.endpoint {
        builder = builder.with_base_url(endpoint.as_str().trim_end_matches('/'));
    }
    for (key, value) in options {
        builder = builder.with_config(key, value);
    }
    Ok(Arc::new(builder.build()?))
}

/// The options as this store knows them. `access-key-id` is understood as `access_key_id`.
fn options<'s, K: std::str::FromStr>(
    settings: &'s config::Bucket,
    secrets: &'s Secrets<'_>,
) -> Result<Vec<(K, &'s str)>, String> {
    let plain = settings.options.iter().map(|(key, value)| (key.as_str(), value.as_str()));
    plain
        .chain(secrets.iter().map(|(key, value)| (*key, value.expose_secret())))
        .map(|(key, value)| match key.to_ascii_lowercase().replace('-', "_").parse() {
            Ok(known) => Ok((known, value)),
            Err(_) => Err(format!("there is no option '{key}' for {}://", settings.url.scheme())),
        })
        .collect()
}

fn host(settings: &config::Bucket) -> Result<&str, String> {
    settings.url.host_str().filter(|host| !host.is_empty()).ok_or_else(|| "the URL names no bucket".to_owned())
}

fn client_options(settings: &config::Bucket) -> Result<ClientOptions, Error> {
    let plain = settings.endpoint.as_ref().is_some_and(|endpoint| endpoint.scheme() == "http");
    let mut options = ClientOptions::new()
        .with_user_agent(HeaderValue::from_static(concat!("afterbackup/", env!("CARGO_PKG_VERSION"))))
        .with_allow_http(plain)
        .with_connect_timeout(Duration::from_secs(10))
        // Whole requests are timed by us, since what is long enough depends on the size of the part.
        .with_timeout_disabled();
    if let Some(file) = &settings.ca_file {
        let fault = |source: Box<dyn std::error::Error + Send + Sync>| {
            Error::new(ErrorKind::Other, "read the certificates in", file.display(), CertificateError(source))
        };
        let pem = std::fs::read(file).map_err(|error| fault(error.into()))?;
        let certificates = Certificate::from_pem_bundle(&pem).map_err(|error| fault(error.into()))?;
        if certificates.is_empty() {
            return Err(fault("there is no PEM certificate in it".into()));
        }
        // These alone, as `AWS_CA_BUNDLE` means it: whoever runs an authority of his own wants no other to vouch for
        // it.
        options = options.with_no_system_certificates(true);
        for certificate in certificates {
            options = options.with_root_certificate(certificate);
        }
    }
    Ok(options)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings(url: &str, options: &[(&str, &str)]) -> config::Bucket {
        config::Bucket {
            url: url.parse().unwrap(),
            endpoint: None,
            options: options.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect(),
            secrets: vec![],
            ca_file: None,
        }
    }

    const KEYS: [(&str, &str); 2] = [("access_key_id", "id"), ("secret_access_key", "secret")];

    fn words(error: &Error) -> String {
        format!("{error}: {}", error.source)
    }

    #[test]
    fn all_three_stores_are_built() {
        let (_, prefix) = client(&settings("s3://bucket/cm/backup%20s/", &KEYS)).unwrap();
        assert_eq!(prefix.as_ref(), "cm/backup s");
        client(&settings("az://container/p", &[("account-name", "account"), ("access_key", "c2VjcmV0")])).unwrap();
        client(&settings("gs://bucket", &[("skip_signature", "true")])).unwrap();
    }

    #[test]
    fn unknown_options_and_schemes_are_errors() {
        let error = client(&settings("s3://bucket", &[("acces_key_id", "id")])).unwrap_err();
        assert_eq!(words(&error), "cannot set up s3://bucket: there is no option 'acces_key_id' for s3://");
        let error = client(&settings("ftp://bucket", &[])).unwrap_err();
        assert!(words(&error).contains("none of s3://"), "{error}");
        assert!(client(&settings("s3://bucket", &[KEYS[0], KEYS[1], ("checksum_algorithm", "md4")])).is_err());
    }

    #[test]
    fn certificate_file_must_hold_certificates() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let mut settings = settings("s3://bucket", &KEYS);
        settings.ca_file = Some(file.path().to_owned());
        assert!(words(&client(&settings).unwrap_err()).contains("no PEM certificate"));
        settings.ca_file = Some("/nonexistent/ca.pem".into());
        assert!(client(&settings).is_err());
    }

    #[test]
    fn location_has_no_secrets() {
        assert_eq!(location(&settings("s3://user:pw@bucket/p/?token=secret#x", &[])), "s3://user@bucket/p");
    }
}
