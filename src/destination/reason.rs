//! Why a store refused, in its own words, and what to do by its code.

/// A refusal in few words: the causes that `object_store` repeats at every level are said once.
#[derive(Debug, Clone, thiserror::Error)]
#[error("{words}")]
pub(super) struct Reason {
    pub(super) words: String,
    /// The server's own code.
    pub(super) code: Option<String>,
}

impl Reason {
    pub(super) fn new(words: impl Into<String>) -> Self {
        Self { words: words.into(), code: None }
    }

    /// Did the server say why?
    pub(super) fn has_code(&self) -> bool {
        self.code.is_some()
    }

    /// What to do about it. A code decides alone: where it is not listed no hint is better than one for its status.
    pub(super) fn hint(&self) -> Option<&'static str> {
        hint(self.code.as_deref()?, &self.words)
    }

    /// Does the server not take checksums in headers?
    pub(super) fn refuses_checksums(&self) -> bool {
        let words = self.words.to_ascii_lowercase();
        let refuses = ["unsupported", "not supported", "not implemented", "notimplemented", "not allowed", "unknown"];
        words.contains("checksum") && refuses.iter().any(|refusal| words.contains(refusal))
    }
}

/// What to do, by the codes that the providers document.
fn hint(code: &str, words: &str) -> Option<&'static str> {
    const CLOCK: &str =
        "set the clock of this computer: it differs from that of the store by more than the store allows";
    const REGION: &str = "write the region of the bucket as region = \"...\" in this destination";
    const TEMPORARY: &str = "these temporary credentials have expired: renew them, or use lasting ones";
    // Azure has one code for a wrong signature and a wrong clock.
    if code == "AuthenticationFailed" && words.contains("date header") {
        return Some(CLOCK);
    }
    Some(match code {
        "RequestTimeTooSkewed" | "RequestExpired" => CLOCK,
        "AuthorizationHeaderMalformed" if !words.contains("region") => return None,
        "AuthorizationHeaderMalformed" | "PermanentRedirect" | "IllegalLocationConstraintException" => REGION,
        "InvalidAccessKeyId" => {
            "the store does not know this access key: check what access-key-env names, and that endpoint is the store it belongs to"
        }
        "SignatureDoesNotMatch" | "AuthenticationFailed" | "InvalidAuthenticationInfo" | "InvalidSecurity" => {
            "check the access key and secret of this destination"
        }
        "ExpiredToken" | "InvalidToken" | "TokenRefreshRequired" => TEMPORARY,
        "AccessDenied" => {
            "allow this access key to list the bucket (below the prefix in url), and to get, put and delete objects there; without the right to list, the store refuses objects that do not exist, too"
        }
        "AuthorizationPermissionMismatch" => {
            "give this account the role Storage Blob Data Contributor on the container"
        }
        "AuthorizationFailure" => "look whether the firewall of the storage account lets this computer in",
        "AccountIsDisabled" | "AllAccessDisabled" | "AccountProblem" | "NotSignedUp" | "UserProjectAccountProblem" => {
            "ask the provider what is wrong with this account or its billing"
        }
        "NoSuchBucket" | "ContainerNotFound" => "create the bucket, or correct its name in url",
        "InvalidBucketName" | "InvalidResourceName" => "correct the name of the bucket in url",
        "InvalidObjectState" | "BlobArchived" | "BlobBeingRehydrated" => COLD,
        "QuotaExceeded" | "XMinioStorageFull" | "InsufficientStorage" | "StorageQuotaExceeded" => {
            "free space there, or keep fewer archives with [retention]"
        }
        "KMS.DisabledException" | "KMS.KMSInvalidStateException" | "KMS.NotFoundException" | "KMSDisabledException" => {
            "enable the key that this bucket encrypts its objects with"
        }
        _ => return None,
    })
}

/// What to do about an object in cold storage.
pub(super) const COLD: &str = "restore the object from cold storage at the provider, and keep manifests (*.json) out of the rule that moves objects there";
