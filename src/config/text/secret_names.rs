//! Secrets in the file, recognised by the names of their keys so that they are refused.

/// May a key of this name be expected to hold a secret in clear?
pub(in crate::config) fn looks_secret(name: &str) -> bool {
    const SUSPICIOUS: [&str; 16] = [
        "secret",
        "password",
        "passwd",
        "passphrase",
        "pwd",
        "token",
        "access_key",
        "accesskey",
        "account_key",
        "master_key",
        "sas_key",
        "service_account_key",
        "encryption_key",
        "customer_key",
        "private_key",
        "api_key",
    ];
    // These name a place or a kind, not the secret: aws_web_identity_token_file, fabric_token_service_url …
    const HARMLESS: [&str; 6] = ["_file", "_env", "_url", "_uri", "_path", "_type"];
    let name = name.to_lowercase().replace('-', "_");
    SUSPICIOUS.iter().any(|part| name.contains(part)) && !HARMLESS.iter().any(|end| name.ends_with(end))
}

pub(in crate::config) const SECRET: &str = "a secret must not stand in this file";
pub(in crate::config) const SECRET_HINT: &str =
    "name where it is: secret-key-env = \"VARIABLE\" or secret-key-file = 'path'; and change it, it was written down";
pub(in crate::config) const PASSWORD_HINT: &str =
    "name where it is: password-file = 'path' or password-env = \"VARIABLE\"; and change it, it was written down";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_secrets_are_told_from_names_of_their_places() {
        for name in [
            "password",
            "secret-access-key",
            "aws_secret_access_key",
            "AWS_SESSION_TOKEN",
            "access-key",
            "aws_access_key_id",
            "azure_storage_account_key",
            "azure_storage_sas_key",
            "aws_sse_customer_key_base64",
            "google_service_account_key",
            "bearer_token",
            "client_secret",
        ] {
            assert!(looks_secret(name), "{name}");
        }
        for name in [
            "secret-key-env",
            "password-file",
            "azure_federated_token_file",
            "fabric_token_service_url",
            "google_application_credentials",
            "azure_credential_type",
            "aws_virtual_hosted_style_request",
            "account_name",
        ] {
            assert!(!looks_secret(name), "{name}");
        }
    }
}
