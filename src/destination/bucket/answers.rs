//! Answers of stores, before `object_store` reads them.
//!
//! A bucket holds whatever others put there, under every key that the store allows; `object_store` cannot represent
//! some of them (`a//b`, `..`, control characters) and fails the whole listing then. Such a key is none of ours, so it
//! is taken out of the listing here. And a listing or an error that does not end is cut off: neither may fill the
//! memory.

use std::pin::Pin;

use futures::StreamExt as _;
use object_store::ClientOptions;
use object_store::client::{
    HttpClient, HttpConnector, HttpError, HttpErrorKind, HttpRequest, HttpResponse, HttpResponseBody, HttpService,
    ReqwestConnector,
};
use object_store::path::Path;

/// A page of a listing has a thousand keys of at most a kilobyte, and what is said of each.
const LONGEST_PAGE: usize = 16 << 20;

/// What a store says of an error.
const LONGEST_ERROR: usize = 64 << 10;

/// Connects as `object_store` does by itself.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Connector;

impl HttpConnector for Connector {
    fn connect(&self, options: &ClientOptions) -> object_store::Result<HttpClient> {
        Ok(HttpClient::new(Reading(ReqwestConnector::default().connect(options)?)))
    }
}

#[derive(Debug)]
struct Reading(HttpClient);

impl HttpService for Reading {
    fn call<'s, 'f>(
        &'s self,
        request: HttpRequest,
    ) -> Pin<Box<dyn Future<Output = Result<HttpResponse, HttpError>> + Send + 'f>>
    where
        's: 'f,
        Self: 'f,
    {
        Box::pin(async move {
            let query = request.uri().query().unwrap_or_default();
            let lists = request.method().as_str() == "GET"
                && query.split('&').any(|pair| matches!(pair, "list-type=2" | "comp=list"));
            let (mut parts, body) = self.0.execute(request).await?.into_parts();
            let failed = parts.status.is_client_error() || parts.status.is_server_error();
            let body = if failed {
                HttpResponseBody::from(collect(body, LONGEST_ERROR).await?.0)
            } else if lists {
                let (page, is_whole) = collect(body, LONGEST_PAGE).await?;
                if !is_whole {
                    return Err(HttpError::new(HttpErrorKind::Decode, TooLong));
                }
                HttpResponseBody::from(without_foreign_keys(&String::from_utf8_lossy(&page)))
            } else {
                body
            };
            if failed || lists {
                parts.headers.remove("content-length");
            }
            Ok(HttpResponse::from_parts(parts, body))
        })
    }
}

/// One page of a listing is too long.
#[derive(Debug, thiserror::Error)]
#[error("invalid HTTP answer: a page of the listing has more than {} MiB", LONGEST_PAGE >> 20)]
struct TooLong;

/// The first `limit` bytes, and whether that is all.
async fn collect(body: HttpResponseBody, limit: usize) -> Result<(Vec<u8>, bool), HttpError> {
    let mut bytes = Vec::new();
    let mut stream = body.bytes_stream();
    while let Some(block) = stream.next().await {
        let block = block?;
        let room = limit - bytes.len();
        bytes.extend_from_slice(&block[..block.len().min(room)]);
        if block.len() > room {
            return Ok((bytes, false));
        }
    }
    Ok((bytes, true))
}

/// A page of a listing without the keys that `object_store` cannot represent.
fn without_foreign_keys(page: &str) -> String {
    let mut page = page.to_owned();
    for (item, key) in [("Contents", "Key"), ("CommonPrefixes", "Prefix"), ("Blob", "Name"), ("BlobPrefix", "Name")] {
        let (begin, end) = (format!("<{item}>"), format!("</{item}>"));
        let mut kept = String::with_capacity(page.len());
        let mut rest = page.as_str();
        while let Some((before, after)) = rest.split_once(&begin) {
            kept.push_str(before);
            let Some((inner, after)) = after.split_once(&end) else {
                // Not what a store sends: `object_store` will say what is wrong with it.
                kept.push_str(&begin);
                rest = after;
                continue;
            };
            let name =
                inner.split_once(&format!("<{key}>")).and_then(|(_, tail)| tail.split_once(&format!("</{key}>")));
            if name.is_none_or(|(name, _)| is_representable(name)) {
                kept.extend([begin.as_str(), inner, end.as_str()]);
            }
            rest = after;
        }
        kept.push_str(rest);
        page = kept;
    }
    page
}

fn is_representable(escaped: &str) -> bool {
    unescape(escaped).is_some_and(|key| Path::parse(&key).is_ok())
}

/// XML's five entities and references to characters. `None` where a reference is to none.
fn unescape(text: &str) -> Option<String> {
    let mut plain = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, after)) = rest.split_once('&') {
        plain.push_str(before);
        let (entity, after) = after.split_once(';')?;
        plain.push(match entity {
            "lt" => '<',
            "gt" => '>',
            "amp" => '&',
            "quot" => '"',
            "apos" => '\'',
            other => {
                let number = other.strip_prefix('#')?;
                let code = match number.strip_prefix(['x', 'X']) {
                    Some(hex) => u32::from_str_radix(hex, 16).ok()?,
                    None => number.parse().ok()?,
                };
                char::from_u32(code)?
            }
        });
        rest = after;
    }
    plain.push_str(rest);
    Some(plain)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn page(keys: &[&str]) -> String {
        let item = |key: &&str| format!("<Contents><Key>{key}</Key><Size>1</Size></Contents>");
        format!(
            "<R><Prefix>p/</Prefix>{}<IsTruncated>false</IsTruncated></R>",
            keys.iter().map(item).collect::<String>()
        )
    }

    #[test]
    fn keys_that_cannot_be_represented_are_taken_out() {
        let ours = ["p/XYZ/a.json", "p/readme", "p/a b/%41", "p/a&amp;b", "p/XYZ/&#252;"];
        for foreign in
            ["p/XYZ//a", "p/../a", "p/./a", "p/..", "p/\u{7}a", "p/&#7;a", "p/&#x7;", "p/&nothing;", "p/a&#x1F;"]
        {
            let mut keys = ours.to_vec();
            keys.insert(2, foreign);
            assert_eq!(without_foreign_keys(&page(&keys)), page(&ours), "{foreign}");
        }
    }

    #[test]
    fn folders_and_blobs_are_read_alike() {
        let of = |tag: &str, name: &str, key: &str| format!("<{tag}><{name}>{key}</{name}></{tag}>");
        for (tag, name) in [("CommonPrefixes", "Prefix"), ("Blob", "Name"), ("BlobPrefix", "Name")] {
            let both = of(tag, name, "p//") + &of(tag, name, "p/XYZ/");
            assert_eq!(without_foreign_keys(&both), of(tag, name, "p/XYZ/"));
        }
    }

    proptest! {
        #[test]
        fn a_page_of_ordinary_keys_is_left_as_it_is(keys in prop::collection::vec("[a-zA-Z0-9._-]{1,12}x(/[a-zA-Z0-9 _-]{1,12}x){0,2}", 0..6)) {
            let keys: Vec<&str> = keys.iter().map(String::as_str).collect();
            prop_assert_eq!(without_foreign_keys(&page(&keys)), page(&keys));
        }

        #[test]
        fn any_text_is_filtered_without_panic(text in "(<Contents>|</Contents>|<Key>|</Key>|&|;|#x?[0-9a-f]{0,9}|/|\\.|a){0,30}") {
            let once = without_foreign_keys(&text);
            prop_assert!(once.len() <= text.len());
        }
    }
}
