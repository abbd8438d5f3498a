//! What a store's refusal means.
//!
//! `object_store` tells some refusals apart and hides others in a text: a wrong secret is "permission denied" when an
//! object is put and "generic" when the bucket is listed, and the type that carries the status is private to it. So
//! the status and the server's own error code are read out of the texts along the chain of causes. Codes say more
//! than the status: 403 is a wrong secret, a missing right, a lock or a quota.

use std::error::Error as StdError;

use object_store::client::{HttpError, HttpErrorKind};

use super::super::error::ErrorKind;
use super::super::reason::Reason;

/// Is the bucket itself what is not there?
pub(super) fn is_about_bucket(text: &str) -> bool {
    ["NoSuchBucket", "ContainerNotFound", "ContainerBeingDeleted"].iter().any(|code| text.contains(code))
}

/// What it means, and its words.
pub(super) fn judge(error: &object_store::Error) -> (ErrorKind, Reason) {
    if let Some(http) = find_http(error) {
        return judge_transport(error, http);
    }
    let text = error.to_string();
    let status = status_of(&text);
    let code = code_of(&text);
    let kind = judge_code(code, &text)
        .or_else(|| status.and_then(judge_status))
        .or_else(|| judge_variant(error))
        .or_else(|| text.contains("Wanted range starting at").then_some(ErrorKind::OutOfRange))
        .unwrap_or(ErrorKind::Other);
    let mut words = match (status, code) {
        (Some(status), Some(code)) => match between(&text, "<Message>", "</Message>") {
            Some(message) if !message.is_empty() => format!("the server answered {status} {code}: {message}"),
            _ => format!("the server answered {status} {code}"),
        },
        (Some(status), None) => format!("the server answered with status {status}"),
        _ => innermost(error),
    };
    // Where the bucket is, when it was looked for elsewhere.
    for (name, place) in
        [("region", between(&text, "<Region>", "</Region>")), ("endpoint", between(&text, "<Endpoint>", "</Endpoint>"))]
    {
        if let Some(place) = place.filter(|place| !words.contains(place)) {
            words = format!("{words} ({name} of the bucket: {place})");
        }
    }
    (kind, Reason { words, code: code.map(str::to_owned) })
}

/// The server could not be talked to.
fn judge_transport(error: &object_store::Error, http: &HttpError) -> (ErrorKind, Reason) {
    let mut words = Vec::<String>::new();
    let mut cause: Option<&(dyn StdError + 'static)> = http.source();
    while let Some(error) = cause {
        let text = error.to_string();
        if !words.iter().any(|earlier| earlier.contains(&text)) {
            words.push(text);
        }
        cause = error.source();
    }
    let text = words.join(": ");
    // The machine's own identity service, asked because no credentials are configured.
    if error.to_string().contains("//169.254.") {
        let text = format!("no credentials are configured, and this machine has none of its own ({text})");
        return (ErrorKind::Unauthenticated, Reason::new(text));
    }
    // What does not become right by trying again: a certificate, a server that speaks something else.
    let permanent = ["certificate", "invalid HTTP", "builder error"].iter().any(|words| text.contains(words));
    let kind = match http.kind() {
        _ if permanent => ErrorKind::Other,
        HttpErrorKind::Timeout => ErrorKind::TimedOut,
        // Among the unknown ones are connections that break in a moment for which there is no kind ("connection was not
        // ready"): rare, and fatal to an upload of an hour if they were taken for final.
        _ => ErrorKind::Unavailable,
    };
    (kind, Reason::new(text))
}

fn judge_code(code: Option<&str>, text: &str) -> Option<ErrorKind> {
    // Azure and Google have codes of their own; S3 has only words for it.
    const LOCKS: [&str; 8] = [
        "object lock",
        "ObjectLock",
        "BlobImmutableDueToPolicy",
        "BlobImmutableDueToLegalHold",
        "RetentionPolicyNotMet",
        "retentionPolicyNotMet",
        "UnderActiveHold",
        "InvalidWORM",
    ];
    if LOCKS.iter().any(|lock| text.contains(lock)) {
        return Some(ErrorKind::Locked);
    }
    Some(match code? {
        "InvalidAccessKeyId"
        | "SignatureDoesNotMatch"
        | "ExpiredToken"
        | "InvalidToken"
        | "TokenRefreshRequired"
        | "AuthenticationFailed"
        | "InvalidAuthenticationInfo"
        | "RequestTimeTooSkewed"
        | "InvalidSecurity"
        | "NotSignedUp" => ErrorKind::Unauthenticated,
        "AccessDenied"
        | "AllAccessDisabled"
        | "AccountProblem"
        | "AuthorizationFailure"
        | "AuthorizationPermissionMismatch"
        | "InsufficientAccountPermissions" => ErrorKind::PermissionDenied,
        "NoSuchBucket" | "NoSuchKey" | "NoSuchUpload" | "ContainerNotFound" | "BlobNotFound" => ErrorKind::NotFound,
        "QuotaExceeded" | "XMinioStorageFull" | "InsufficientStorage" => ErrorKind::Full,
        "InvalidRange" => ErrorKind::OutOfRange,
        "InvalidObjectState" | "BlobArchived" | "BlobBeingRehydrated" => ErrorKind::Cold,
        // The bucket is in another region: no key and no right is wrong.
        "AuthorizationHeaderMalformed" | "PermanentRedirect" | "IllegalLocationConstraintException" => ErrorKind::Other,
        "SlowDown" | "ServiceUnavailable" | "InternalError" | "RequestTimeout" | "ServerBusy" | "OperationTimedOut"
        | "Throttling" | "TooManyRequests" | "OperationAborted" => ErrorKind::Unavailable,
        _ => return None,
    })
}

fn judge_status(status: u16) -> Option<ErrorKind> {
    Some(match status {
        401 => ErrorKind::Unauthenticated,
        403 => ErrorKind::PermissionDenied,
        404 | 410 => ErrorKind::NotFound,
        // 409 is a race with somebody else who puts the same key, 412 a condition that was not met.
        409 | 412 => ErrorKind::AlreadyExists,
        416 => ErrorKind::OutOfRange,
        408 | 425 | 429 | 500 | 502 | 503 | 504 => ErrorKind::Unavailable,
        507 => ErrorKind::Full,
        _ => return None,
    })
}

fn judge_variant(error: &object_store::Error) -> Option<ErrorKind> {
    use object_store::Error as E;
    Some(match error {
        E::NotFound { .. } => ErrorKind::NotFound,
        E::AlreadyExists { .. } | E::Precondition { .. } => ErrorKind::AlreadyExists,
        E::PermissionDenied { .. } => ErrorKind::PermissionDenied,
        E::Unauthenticated { .. } => ErrorKind::Unauthenticated,
        _ => return None,
    })
}

/// Does the store not know what was asked?
pub(super) fn is_unsupported(error: &object_store::Error) -> bool {
    matches!(error, object_store::Error::NotImplemented { .. } | object_store::Error::NotSupported { .. })
        || status_of(&error.to_string()) == Some(501)
}

fn find_http(error: &object_store::Error) -> Option<&HttpError> {
    let mut cause = error.source();
    while let Some(error) = cause {
        if let Some(http) = error.downcast_ref() {
            return Some(http);
        }
        cause = error.source();
    }
    None
}

fn innermost(error: &object_store::Error) -> String {
    let mut last: &dyn StdError = error;
    while let Some(cause) = last.source() {
        last = cause;
    }
    last.to_string()
}

fn status_of(text: &str) -> Option<u16> {
    let (_, tail) = text.split_once("status code: ")?;
    tail.get(..3)?.parse().ok()
}

/// The server's code: out of an XML body, or of the answer to a deletion of many.
fn code_of(text: &str) -> Option<&str> {
    between(text, "<Code>", "</Code>").or_else(|| between(text, "(code: ", ")"))
}

fn between<'a>(text: &'a str, start: &str, end: &str) -> Option<&'a str> {
    let (_, tail) = text.split_once(start)?;
    tail.split_once(end).map(|(found, _)| found)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As `object_store` words it.
    fn answered(status: &str, body: &str) -> object_store::Error {
        object_store::Error::Generic {
            store: "S3",
            source: format!(
                "Error performing GET http://h/b in 3ms - Server returned non-2xx status code: {status}: {body}"
            )
            .into(),
        }
    }

    fn xml(code: &str, message: &str) -> String {
        format!("<?xml version=\"1.0\"?><Error><Code>{code}</Code><Message>{message}</Message></Error>")
    }

    #[test]
    fn refusals_are_told_apart_by_code_before_status() {
        for (status, code, message, kind) in [
            ("403 Forbidden", "SignatureDoesNotMatch", "", ErrorKind::Unauthenticated),
            ("403 Forbidden", "InvalidAccessKeyId", "", ErrorKind::Unauthenticated),
            ("403 Forbidden", "AccessDenied", "", ErrorKind::PermissionDenied),
            (
                "403 Forbidden",
                "AccessDenied",
                "Access Denied because object protected by object lock.",
                ErrorKind::Locked,
            ),
            ("409 Conflict", "BlobImmutableDueToPolicy", "", ErrorKind::Locked),
            ("403 Forbidden", "QuotaExceeded", "", ErrorKind::Full),
            ("404 Not Found", "NoSuchBucket", "", ErrorKind::NotFound),
            ("416 Range", "InvalidRange", "", ErrorKind::OutOfRange),
            ("503 Service Unavailable", "SlowDown", "", ErrorKind::Unavailable),
            ("400 Bad Request", "RequestTimeout", "", ErrorKind::Unavailable),
            ("400 Bad Request", "MalformedXML", "", ErrorKind::Other),
        ] {
            assert_eq!(judge(&answered(status, &xml(code, message))).0, kind, "{code}");
        }
    }

    #[test]
    fn hints_follow_from_codes_and_there_is_none_where_none_fits() {
        let hint = |status: &str, code: &str, message: &str| judge(&answered(status, &xml(code, message))).1.hint();
        for (status, code, message, word) in [
            ("403 Forbidden", "RequestTimeTooSkewed", "The difference is too large.", "clock"),
            ("403 Forbidden", "AuthenticationFailed", "Request date header too old", "clock"),
            ("403 Forbidden", "AuthenticationFailed", "", "access key and secret"),
            ("403 Forbidden", "InvalidAccessKeyId", "", "does not know this access key"),
            ("403 Forbidden", "AccessDenied", "", "objects that do not exist"),
            ("403 Forbidden", "InvalidObjectState", "", "cold storage"),
            ("409 Conflict", "BlobArchived", "", "cold storage"),
            ("400 Bad Request", "AuthorizationHeaderMalformed", "the region 'a' is wrong; expecting 'b'", "region"),
            ("301 Moved", "PermanentRedirect", "", "region"),
            ("404 Not Found", "NoSuchBucket", "", "create the bucket"),
            ("400 Bad Request", "ExpiredToken", "", "expired"),
        ] {
            let found = hint(status, code, message).unwrap_or_default();
            assert!(found.contains(word), "{code}: {found}");
            let of_keys = found.contains("access key") || found.contains("secret");
            assert!(!of_keys || !matches!(word, "clock" | "region" | "cold storage"), "{code}: {found}");
        }
        for code in ["MalformedXML", "EntityTooLarge", "MethodNotAllowed", "SomethingNew", "NoSuchKey"] {
            assert_eq!(hint("403 Forbidden", code, ""), None, "{code}");
        }
    }

    #[test]
    fn region_of_the_bucket_is_named() {
        let body = "<Error><Code>AuthorizationHeaderMalformed</Code><Message>wrong</Message><Region>eu-west-1</Region></Error>";
        let (kind, reason) = judge(&answered("400 Bad Request", body));
        assert_eq!(kind, ErrorKind::Other);
        assert!(reason.to_string().ends_with("(region of the bucket: eu-west-1)"), "{reason}");
        assert!(reason.hint().is_some() || !reason.to_string().contains("region"));
    }

    #[test]
    fn refused_checksums_are_told_from_wrong_ones() {
        let refuses =
            |code: &str, message: &str| judge(&answered("400 Bad Request", &xml(code, message))).1.refuses_checksums();
        assert!(refuses("InvalidArgument", "Unsupported header 'x-amz-checksum-sha256' received for this API call."));
        assert!(refuses("NotImplemented", "x-amz-checksum-algorithm is not implemented"));
        assert!(!refuses("BadDigest", "The SHA256 you specified did not match the calculated checksum."));
        assert!(!refuses("InvalidArgument", "Unsupported header 'x-amz-acl'"));
    }

    #[test]
    fn status_decides_where_there_is_no_code() {
        for (status, kind) in [
            ("401 Unauthorized", ErrorKind::Unauthenticated),
            ("403 Forbidden", ErrorKind::PermissionDenied),
            ("404 Not Found", ErrorKind::NotFound),
            ("412 Precondition Failed", ErrorKind::AlreadyExists),
            ("429 Too Many Requests", ErrorKind::Unavailable),
            ("502 Bad Gateway", ErrorKind::Unavailable),
            ("507 Insufficient Storage", ErrorKind::Full),
            ("418 I'm a teapot", ErrorKind::Other),
        ] {
            assert_eq!(judge(&answered(status, "")).0, kind, "{status}");
        }
    }

    #[test]
    fn words_are_those_of_the_server() {
        let (_, reason) = judge(&answered("403 Forbidden", &xml("AccessDenied", "No.")));
        assert_eq!(reason.to_string(), "the server answered 403 AccessDenied: No.");
        let (_, reason) = judge(&answered("502 Bad Gateway", "<html>"));
        assert_eq!(reason.to_string(), "the server answered with status 502");
    }

    #[test]
    fn broken_connections_are_worth_another_try_and_wrong_servers_are_not() {
        for (kind, text, expected) in [
            (HttpErrorKind::Connect, "tcp connect error", ErrorKind::Unavailable),
            (HttpErrorKind::Unknown, "operation was canceled: connection was not ready", ErrorKind::Unavailable),
            (HttpErrorKind::Decode, "end of file before message length reached", ErrorKind::Unavailable),
            (HttpErrorKind::Timeout, "operation timed out", ErrorKind::TimedOut),
            (HttpErrorKind::Connect, "invalid peer certificate: UnknownIssuer", ErrorKind::Other),
            (HttpErrorKind::Unknown, "invalid HTTP version parsed", ErrorKind::Other),
        ] {
            let source = Box::new(HttpError::new(kind, Reason::new(text)));
            let (kind, reason) = judge(&object_store::Error::Generic { store: "S3", source });
            assert_eq!((kind, reason.words.as_str()), (expected, text));
        }
    }

    #[test]
    fn machine_without_identity_has_no_credentials() {
        let source = HttpError::new(HttpErrorKind::Connect, Reason::new("no route to host"));
        let source = std::io::Error::other(Named("http://169.254.169.254/latest/api/token", source));
        let (kind, _) = judge(&object_store::Error::Generic { store: "S3", source: Box::new(source) });
        assert_eq!(kind, ErrorKind::Unauthenticated);
    }

    #[derive(Debug, thiserror::Error)]
    #[error("Error performing PUT {0}")]
    struct Named(&'static str, #[source] HttpError);

    #[test]
    fn deletion_of_many_reports_the_code_of_each() {
        let error = object_store::Error::Generic {
            store: "S3",
            source: "DeleteObjects request failed for key a: forbidden (code: AccessDenied)".into(),
        };
        assert_eq!(judge(&error).0, ErrorKind::PermissionDenied);
    }
}
