//! Buckets against servers: a real one in this process, broken ones, and Ceph where it runs.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use afterbackup::cancel::Cancel;
use afterbackup::config;
use afterbackup::destination::suite::{self, sample};
use afterbackup::destination::{self, Destination, Error, ErrorKind};
use afterbackup::retention::policy::Policy;
use bytes::Bytes;
use object_store::aws::{AwsAuthorizer, AwsCredential};

use crate::support::canned::{Answer, Canned};
use crate::support::proxy::Proxy;
use crate::support::s3_server::{ACCESS_KEY, S3Server, SECRET_KEY};

const NAME: &str = "XYZ-20261122T235900Z.tar.zst";
const KEY: &str = "XYZ/XYZ-20261122T235900Z.tar.zst";
const MIB: usize = 1 << 20;

/// Everything that differs between the buckets of these tests.
pub(crate) struct Settings {
    pub(crate) url: String,
    pub(crate) endpoint: String,
    pub(crate) access_key: String,
    pub(crate) secret_key: String,
    pub(crate) options: Vec<(&'static str, &'static str)>,
    pub(crate) retry_for: Duration,
    pub(crate) cancel: Cancel,
}

impl Settings {
    pub(crate) fn new(endpoint: &str, url: &str) -> Self {
        Self {
            url: url.to_owned(),
            endpoint: endpoint.to_owned(),
            access_key: ACCESS_KEY.to_owned(),
            secret_key: SECRET_KEY.to_owned(),
            options: Vec::new(),
            retry_for: Duration::ZERO,
            cancel: Cancel::new(),
        }
    }

    pub(crate) fn bucket(&self) -> &str {
        self.url.strip_prefix("s3://").unwrap()
    }

    pub(crate) fn open(&self) -> Box<dyn Destination> {
        destination::open(&self.config(), &self.cancel).unwrap()
    }

    /// As the configuration has it.
    pub(crate) fn config(&self) -> config::Destination {
        let mut options =
            vec![("access_key_id", self.access_key.as_str()), ("secret_access_key", self.secret_key.as_str())];
        options.extend(&self.options);
        let bucket = config::Bucket {
            url: self.url.parse().unwrap(),
            endpoint: Some(self.endpoint.parse().unwrap()),
            options: options.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect(),
            secrets: vec![],
            ca_file: None,
        };
        config::Destination {
            name: "bucket".to_owned(),
            location: config::Location::Bucket(Box::new(bucket)),
            credentials: None,
            retention: keep_everything(),
            verify: config::Verify::Size,
            bandwidth: None,
            retry_for: self.retry_for,
            stall_timeout: Duration::from_mins(10),
            sweep_after: Duration::from_hours(24),
        }
    }
}

/// Destinations do not look at it.
fn keep_everything() -> Policy {
    Policy {
        last: u32::MAX,
        hourly: 0,
        daily: 0,
        weekly: 0,
        monthly: 0,
        yearly: 0,
        within: None,
        min_archives: 1,
        max_remove: None,
        time_zone: jiff::tz::TimeZone::UTC,
        day_starts: jiff::civil::Time::midnight(),
    }
}

fn words(error: &Error) -> String {
    format!("{error}: {}", error.source)
}

/// A server with a bucket called `bucket`.
fn server() -> S3Server {
    let server = S3Server::start();
    server.create_bucket("bucket");
    server
}

fn push(destination: &dyn Destination, key: &str, bytes: &[u8], mut after: impl FnMut(usize)) -> Result<(), Error> {
    let mut upload = destination.upload(key, bytes.len() as u64)?;
    for (n, block) in bytes.chunks(MIB).enumerate() {
        upload.write(Bytes::copy_from_slice(block))?;
        after(n);
    }
    upload.finish()
}

fn assert_holds(destination: &dyn Destination, key: &str, bytes: &[u8]) {
    let mut stored = Vec::new();
    std::io::copy(&mut destination.open(key).unwrap(), &mut stored).unwrap();
    assert!(stored == bytes, "{key} holds {} bytes, not the {} that were sent", stored.len(), bytes.len());
}

#[test]
fn bucket_on_an_s3_server_keeps_the_contract() {
    let server = S3Server::start();
    let count = AtomicU64::new(0);
    suite::run(|| {
        let name = format!("bucket-{}", count.fetch_add(1, Ordering::Relaxed));
        server.create_bucket(&name);
        Settings::new(&server.endpoint(), &format!("s3://{name}/some/prefix")).open()
    });
}

#[test]
fn wrong_credentials_are_unauthenticated_whatever_is_asked() {
    let server = server();
    Settings::new(&server.endpoint(), "s3://bucket").open().put_new("XYZ/a", b"1").unwrap();
    let wrong_secret = Settings { secret_key: "wrong".into(), ..Settings::new(&server.endpoint(), "s3://bucket") };
    assert_refused(&*wrong_secret.open());
    let wrong_key = Settings { access_key: "wrong".into(), ..Settings::new(&server.endpoint(), "s3://bucket") };
    assert_refused(&*wrong_key.open());
}

/// There is a file XYZ/a, and our credentials are wrong.
fn assert_refused(destination: &dyn Destination) {
    let mut upload = destination.upload(KEY, 9 << 20).unwrap();
    let errors = [
        destination.folders().map(|_| ()).unwrap_err(),
        destination.list("XYZ").map(|_| ()).unwrap_err(),
        destination.leftovers("XYZ").map(|_| ()).unwrap_err(),
        destination.stat("XYZ/a").map(|_| ()).unwrap_err(),
        destination.read("XYZ/a", 9).map(|_| ()).unwrap_err(),
        destination.read_range("XYZ/a", 0..1).map(|_| ()).unwrap_err(),
        destination.open("XYZ/a").map(|_| ()).unwrap_err(),
        destination.put_new("XYZ/b", b"2").unwrap_err(),
        destination.delete("XYZ/a").unwrap_err(),
        upload.write(Bytes::from(vec![0; 9 << 20])).unwrap_err(),
    ];
    for error in errors {
        assert_eq!(error.kind, ErrorKind::Unauthenticated, "{}", words(&error));
        assert!(!words(&error).contains('<'), "{}", words(&error));
    }
}

#[test]
fn server_that_goes_away_in_the_middle_costs_time_and_nothing_else() {
    let server = server();
    let proxy = Proxy::start(server.address());
    let settings = Settings { retry_for: Duration::from_mins(1), ..Settings::new(&proxy.endpoint(), "s3://bucket") };
    let destination = settings.open();
    let bytes = sample(40 * MIB, 1);
    push(&*destination, KEY, &bytes, |n| {
        if n == 20 {
            proxy.away_for_connections(7);
        }
    })
    .unwrap();
    assert!(proxy.connections().1 >= 7);
    assert_holds(&*destination, KEY, &bytes);
    assert_eq!(server.orphaned_parts(), 0);
    assert!(destination.leftovers("XYZ").unwrap().is_empty());
}

#[test]
fn every_request_survives_a_short_outage() {
    let server = server();
    let proxy = Proxy::start(server.address());
    let settings = Settings { retry_for: Duration::from_mins(1), ..Settings::new(&proxy.endpoint(), "s3://bucket") };
    let destination = settings.open();
    let away = || proxy.away_for_connections(2);
    away();
    destination.put_new("XYZ/a", b"12345").unwrap();
    away();
    assert_eq!(destination.list("XYZ").unwrap().len(), 1);
    away();
    assert_eq!(destination.stat("XYZ/a").unwrap().bytes, 5);
    away();
    assert_eq!(destination.read("XYZ/a", 5).unwrap().as_ref(), b"12345");
    away();
    assert_eq!(destination.read_range("XYZ/a", 1..2).unwrap().as_ref(), b"2");
    away();
    let mut upload = destination.upload(KEY, 0).unwrap();
    upload.write(Bytes::from(vec![0; 9 * MIB])).unwrap();
    away();
    upload.finish().unwrap();
    let mut reader = destination.open(KEY).unwrap();
    away();
    assert_eq!(std::io::copy(&mut reader, &mut std::io::sink()).unwrap(), 9 << 20);
    away();
    destination.delete("XYZ/a").unwrap();
    assert_eq!(destination.list("XYZ").unwrap().len(), 1);
}

#[test]
fn server_that_never_comes_back_fails_cleanly_and_is_swept_later() {
    let server = server();
    let proxy = Proxy::start(server.address());
    let settings =
        Settings { retry_for: Duration::from_millis(300), ..Settings::new(&proxy.endpoint(), "s3://bucket") };
    let bytes = sample(80 * MIB, 2);
    let error = push(&*settings.open(), KEY, &bytes, |n| {
        // More parts than can be in flight, so that some are stored.
        if n == 60 {
            proxy.away();
        }
    })
    .unwrap_err();
    assert!(error.is_transient(), "{}", words(&error));

    let direct = Settings::new(&server.endpoint(), "s3://bucket").open();
    assert!(direct.list("XYZ").unwrap().is_empty());
    assert!(server.orphaned_parts() > 0);
    let leftovers = direct.leftovers("XYZ").unwrap();
    assert_eq!(leftovers.len(), 1);
    assert_eq!(leftovers[0].of, NAME);
    direct.remove_leftover(&leftovers[0]).unwrap();
    assert_eq!(server.orphaned_parts(), 0);
    assert!(direct.leftovers("XYZ").unwrap().is_empty());
    push(&*direct, KEY, &bytes, |_| ()).unwrap();
    assert_holds(&*direct, KEY, &bytes);
}

#[test]
fn cancelled_upload_stops_soon_and_leaves_nothing() {
    let server = server();
    let proxy = Proxy::start(server.address());
    let settings = Settings { retry_for: Duration::from_mins(10), ..Settings::new(&proxy.endpoint(), "s3://bucket") };
    let destination = settings.open();
    let mut upload = destination.upload(KEY, 0).unwrap();
    upload.write(Bytes::from(vec![0; 20 * MIB])).unwrap();
    // While it is away somebody asks to stop; the server is back for the removal.
    proxy.away_for_connections(1);
    settings.cancel.cancel();
    let began = Instant::now();
    let error = upload.finish().unwrap_err();
    assert_eq!(error.kind, ErrorKind::Cancelled);
    assert!(began.elapsed() < Duration::from_mins(5), "it did not try on for ten minutes");
    let direct = Settings::new(&server.endpoint(), "s3://bucket").open();
    assert!(direct.list("XYZ").unwrap().is_empty());
    assert!(direct.leftovers("XYZ").unwrap().is_empty());
}

#[test]
fn aborted_upload_leaves_no_parts() {
    let server = server();
    let destination = Settings::new(&server.endpoint(), "s3://bucket").open();
    let mut upload = destination.upload(KEY, 0).unwrap();
    upload.write(Bytes::from(vec![0; 20 * MIB])).unwrap();
    upload.abort().unwrap();
    assert_eq!(server.orphaned_parts(), 0);
}

#[test]
fn hanging_server_can_be_cancelled() {
    let server = Canned::start(|_, _| Answer::Hang);
    let settings = Settings { retry_for: Duration::from_mins(10), ..Settings::new(&server.endpoint(), "s3://bucket") };
    let destination = settings.open();
    let cancel = settings.cancel.clone();
    let began = Instant::now();
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while server.requests() == 0 && began.elapsed() < Duration::from_mins(5) {
                std::thread::yield_now();
            }
            cancel.cancel();
        });
        assert_eq!(destination.list("XYZ").unwrap_err().kind, ErrorKind::Cancelled);
    });
    assert!(began.elapsed() < Duration::from_mins(5), "it did not wait for an answer");
}

#[test]
fn hanging_server_times_out() {
    let server = Canned::start(|_, _| Answer::Hang);
    let settings = Settings { options: vec![("timeout", "300ms")], ..Settings::new(&server.endpoint(), "s3://bucket") };
    let error = settings.open().list("XYZ").unwrap_err();
    assert_eq!(error.kind, ErrorKind::TimedOut, "{}", words(&error));
}

#[test]
fn server_that_is_not_there_is_unavailable() {
    // A port that was free a moment ago.
    let port = std::net::TcpListener::bind(("127.0.0.1", 0)).unwrap().local_addr().unwrap().port();
    let error = Settings::new(&format!("http://127.0.0.1:{port}"), "s3://bucket").open().list("XYZ").unwrap_err();
    assert_eq!(error.kind, ErrorKind::Unavailable, "{}", words(&error));
    assert!(words(&error).contains("refused"), "{}", words(&error));
}

#[test]
fn overloaded_server_is_asked_again() {
    const EMPTY: &str = "<ListBucketResult><IsTruncated>false</IsTruncated></ListBucketResult>";
    let server = Canned::start(|n, _| match n {
        0 => Answer::Http("503 Service Unavailable", "<Error><Code>SlowDown</Code></Error>".into()),
        1 => Answer::Http("429 Too Many Requests", String::new()),
        2 => Answer::Http("500 Internal Server Error", String::new()),
        _ => Answer::Http("200 OK", EMPTY.into()),
    });
    let settings = Settings { retry_for: Duration::from_mins(1), ..Settings::new(&server.endpoint(), "s3://bucket") };
    assert!(settings.open().list("XYZ").unwrap().is_empty());
    assert_eq!(server.requests(), 4);
}

#[test]
fn refusal_is_final_and_says_why() {
    let body = "<Error><Code>AccessDenied</Code><Message>Not you.</Message></Error>";
    let server = Canned::start(move |_, _| Answer::Http("403 Forbidden", body.into()));
    let settings =
        Settings { retry_for: Duration::from_mins(1), ..Settings::new(&server.endpoint(), "s3://bucket/cm") };
    let error = settings.open().list("XYZ").unwrap_err();
    assert_eq!(error.kind, ErrorKind::PermissionDenied);
    assert_eq!(words(&error), "cannot list s3://bucket/cm/XYZ: the server answered 403 AccessDenied: Not you.");
    assert_eq!(server.requests(), 1);
}

#[test]
fn bucket_that_does_not_exist_is_not_found_and_not_an_empty_one() {
    let body = "<Error><Code>NoSuchBucket</Code><Message>There is none.</Message></Error>";
    let server = Canned::start(move |_, _| Answer::Http("404 Not Found", body.into()));
    let destination = Settings::new(&server.endpoint(), "s3://bucket").open();
    assert_eq!(destination.list("XYZ").unwrap_err().kind, ErrorKind::NotFound);
    assert_eq!(destination.folders().unwrap_err().kind, ErrorKind::NotFound);
    assert_eq!(destination.put_new("XYZ/a", b"").unwrap_err().kind, ErrorKind::NotFound);
    assert_eq!(destination.delete("XYZ/a").unwrap_err().kind, ErrorKind::NotFound);
}

#[test]
fn answer_that_makes_no_sense_is_an_error() {
    let bodies: [&'static [u8]; 3] = [
        b"SSH-2.0-OpenSSH_9.2p1 Debian-2+deb12u3\r\n",
        b"HTTP/1.1 200 OK\r\ncontent-length: 26\r\nconnection: close\r\n\r\n<html><body>Hello!</body>\r\n",
        b"\0\0\0",
    ];
    for bytes in bodies {
        let server = Canned::start(move |_, _| Answer::Raw(bytes));
        let error = Settings::new(&server.endpoint(), "s3://bucket").open().list("XYZ").unwrap_err();
        assert_eq!(error.kind, ErrorKind::Other, "{}", words(&error));
    }
}

#[test]
fn object_under_retention_is_locked() {
    let body = "<DeleteResult><Error><Key>XYZ/a</Key><Code>AccessDenied</Code>\
                <Message>Access Denied because object protected by object lock.</Message></Error></DeleteResult>";
    let server = Canned::start(move |_, _| Answer::Http("200 OK", body.into()));
    let error = Settings::new(&server.endpoint(), "s3://bucket").open().delete("XYZ/a").unwrap_err();
    assert_eq!(error.kind, ErrorKind::Locked, "{}", words(&error));
}

#[test]
fn store_that_ignores_the_condition_is_noticed() {
    // Somebody else's object appears between our look and our put, and the put is accepted all the same.
    let server = Canned::start(|n, line| match n {
        0 => Answer::Http("404 Not Found", String::new()),
        1 => {
            assert!(line.starts_with("put"), "{line}");
            Answer::Raw(b"HTTP/1.1 200 OK\r\netag: \"1\"\r\ncontent-length: 0\r\nconnection: close\r\n\r\n")
        }
        _ => Answer::Raw(
            b"HTTP/1.1 200 OK\r\netag: \"2\"\r\nlast-modified: Sun, 22 Nov 2026 23:59:00 GMT\r\n\
              content-length: 6\r\nconnection: close\r\n\r\ntheirs",
        ),
    });
    let error = Settings::new(&server.endpoint(), "s3://bucket").open().put_new("XYZ/a", b"mine!!").unwrap_err();
    assert_eq!(error.kind, ErrorKind::AlreadyExists, "{}", words(&error));
}

#[test]
fn put_whose_answer_was_lost_is_recognised_as_ours() {
    let server = Canned::start(|n, line| match n {
        0 => Answer::Http("404 Not Found", String::new()),
        // Carried out, but the answer breaks off.
        1 => Answer::Raw(b""),
        2 => {
            assert!(line.starts_with("put"), "{line}");
            Answer::Http("412 Precondition Failed", String::new())
        }
        _ => Answer::Raw(
            b"HTTP/1.1 200 OK\r\netag: \"2\"\r\nlast-modified: Sun, 22 Nov 2026 23:59:00 GMT\r\n\
              content-length: 4\r\nconnection: close\r\n\r\nmine",
        ),
    });
    let settings = Settings { retry_for: Duration::from_mins(1), ..Settings::new(&server.endpoint(), "s3://bucket") };
    settings.open().put_new("XYZ/a", b"mine").unwrap();
}

#[test]
fn no_request_hides_a_secret_in_messages() {
    let server = Canned::start(|_, _| Answer::Http("500 Internal Server Error", String::new()));
    let settings = Settings { secret_key: "hunter2".into(), ..Settings::new(&server.endpoint(), "s3://bucket") };
    let destination = settings.open();
    let error = destination.list("XYZ").unwrap_err();
    assert!(!format!("{error:?} {destination:?}").contains("hunter2"));
}

/// The server of tests/ceph.sh.
pub(crate) fn ceph(bucket: &str) -> Settings {
    let variable = |name: &str| {
        let name = format!("AFTERBACKUP_TEST_S3_{name}");
        std::env::var(&name).unwrap_or_else(|_| panic!("{name} is not set"))
    };
    Settings {
        access_key: variable("ACCESS_KEY"),
        secret_key: variable("SECRET_KEY"),
        retry_for: Duration::from_secs(30),
        ..Settings::new(&variable("ENDPOINT"), &format!("s3://{bucket}"))
    }
}

/// A bucket of its own on Ceph. With Object Lock, what is put is locked for a day, which its administrator may lift.
pub(crate) fn ceph_bucket(purpose: &str, locked: bool) -> Settings {
    let began = std::time::SystemTime::UNIX_EPOCH.elapsed().unwrap().as_nanos();
    let settings = ceph(&format!("{purpose}-{began}"));
    let lock: &[_] = if locked { &[("x-amz-bucket-object-lock-enabled", "true")] } else { &[] };
    assert_eq!(request(&settings, "PUT", "", lock, "").0, 200);
    if locked {
        let rule = "<ObjectLockConfiguration><ObjectLockEnabled>Enabled</ObjectLockEnabled><Rule><DefaultRetention>\
                    <Mode>GOVERNANCE</Mode><Days>1</Days></DefaultRetention></Rule></ObjectLockConfiguration>";
        let (status, answer) = request(&settings, "PUT", "?object-lock", &[], rule);
        assert_eq!(status, 200, "{answer}");
    }
    settings
}

/// What no destination needs to do: a signed request to the bucket itself.
pub(crate) fn request(
    settings: &Settings,
    method: &str,
    tail: &str,
    headers: &[(&str, &str)],
    body: &str,
) -> (u16, String) {
    let url = format!("{}/{}{tail}", settings.endpoint, settings.bucket());
    let mut request = hyper::Request::builder().method(method).uri(&url);
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let mut request = request.body(body.to_owned().into()).unwrap();
    let credential =
        AwsCredential { key_id: settings.access_key.clone(), secret_key: settings.secret_key.clone(), token: None };
    AwsAuthorizer::new(&credential, "s3", "us-east-1").try_authorize(&mut request, None).unwrap();
    let address = settings.endpoint.strip_prefix("http://").unwrap();
    let mut socket = TcpStream::connect(address).unwrap();
    write!(socket, "{method} {} HTTP/1.1\r\n", request.uri().path_and_query().unwrap()).unwrap();
    request.headers_mut().insert("host", address.parse().unwrap());
    for (name, value) in request.headers() {
        write!(socket, "{name}: {}\r\n", value.to_str().unwrap()).unwrap();
    }
    write!(socket, "content-length: {}\r\nconnection: close\r\n\r\n{body}", body.len()).unwrap();
    let mut answer = String::new();
    socket.read_to_string(&mut answer).unwrap();
    let status = answer.split(' ').nth(1).unwrap().parse().unwrap();
    (status, answer)
}

#[test]
#[ignore = "needs the Ceph server of tests/ceph.sh"]
fn ceph_keeps_the_contract() {
    let settings = ceph_bucket("suite", false);
    let count = AtomicU64::new(0);
    suite::run(|| {
        let url = format!("{}/{}", settings.url, count.fetch_add(1, Ordering::Relaxed));
        Settings { url, retry_for: Duration::from_secs(30), ..ceph("x") }.open()
    });
    let (_, uploads) = request(&settings, "GET", "?uploads", &[], "");
    assert!(!uploads.contains("<UploadId>"), "{uploads}");
}

#[test]
#[ignore = "needs the Ceph server of tests/ceph.sh"]
fn ceph_refuses_wrong_credentials() {
    let settings = ceph_bucket("refused", false);
    settings.open().put_new("XYZ/a", b"1").unwrap();
    assert_refused(&*Settings { secret_key: "wrong".into(), ..ceph(settings.bucket()) }.open());
    assert_refused(&*Settings { access_key: "wrong".into(), ..ceph(settings.bucket()) }.open());
}

#[test]
#[ignore = "needs the Ceph server of tests/ceph.sh"]
fn ceph_bucket_that_does_not_exist_is_not_found() {
    let destination = ceph("there-is-no-such-bucket").open();
    assert_eq!(destination.list("XYZ").unwrap_err().kind, ErrorKind::NotFound);
    assert_eq!(destination.folders().unwrap_err().kind, ErrorKind::NotFound);
    assert_eq!(destination.put_new("XYZ/a", b"").unwrap_err().kind, ErrorKind::NotFound);
    assert_eq!(push(&*destination, KEY, &sample(9 * MIB, 1), |_| ()).unwrap_err().kind, ErrorKind::NotFound);
}

#[test]
#[ignore = "needs the Ceph server of tests/ceph.sh"]
fn ceph_bucket_with_object_lock_takes_archives_and_keeps_what_is_deleted() {
    let settings = ceph_bucket("locked", true);
    let destination = settings.open();
    let bytes = sample(20 * MIB, 3);
    push(&*destination, KEY, &bytes, |_| ()).unwrap();
    destination.put_new("XYZ/XYZ-20261122T235900Z.json", b"{}").unwrap();
    assert_holds(&*destination, KEY, &bytes);
    assert_eq!(destination.list("XYZ").unwrap().len(), 2);

    let (_, versions) = request(&settings, "GET", &format!("?versions&prefix={}", KEY.replace('/', "%2F")), &[], "");
    let (_, tail) = versions.split_once("<VersionId>").unwrap();
    let version = tail.split_once('<').unwrap().0;
    let (status, answer) = request(&settings, "DELETE", &format!("/{KEY}?versionId={version}"), &[], "");
    assert_eq!(status, 403, "{answer}");

    // Deleting adds a marker: the archive is no longer listed, its bytes stay until the retention ends.
    destination.delete(KEY).unwrap();
    assert_eq!(destination.list("XYZ").unwrap().len(), 1);
    assert!(destination.stat(KEY).unwrap_err().is_not_found());
    let (_, versions) = request(&settings, "GET", "?versions", &[], "");
    assert!(versions.contains(version));
}

#[test]
#[ignore = "needs the Ceph server of tests/ceph.sh, and takes a minute"]
fn ceph_away_for_a_minute_costs_a_minute_and_nothing_else() {
    let settings = ceph_bucket("away", false);
    let proxy = Proxy::start(settings.endpoint.strip_prefix("http://").unwrap().parse().unwrap());
    let through = Settings { endpoint: proxy.endpoint(), retry_for: Duration::from_mins(5), ..ceph(settings.bucket()) };
    let destination = through.open();
    let bytes = sample(100 * MIB, 4);
    let began = Instant::now();
    push(&*destination, KEY, &bytes, |n| {
        if n == 50 {
            proxy.away_for(Duration::from_mins(1));
        }
    })
    .unwrap();
    assert!(began.elapsed() >= Duration::from_mins(1));
    eprintln!("went on after {:?}, with {} connections dropped", began.elapsed(), proxy.connections().1);
    assert_holds(&*destination, KEY, &bytes);
    let (_, uploads) = request(&settings, "GET", "?uploads", &[], "");
    assert!(!uploads.contains("<UploadId>"), "{uploads}");
}

#[test]
#[ignore = "needs the Ceph server of tests/ceph.sh"]
fn ceph_away_for_good_fails_cleanly_and_is_swept_later() {
    let settings = ceph_bucket("gone", false);
    let proxy = Proxy::start(settings.endpoint.strip_prefix("http://").unwrap().parse().unwrap());
    let through = Settings { endpoint: proxy.endpoint(), retry_for: Duration::from_secs(2), ..ceph(settings.bucket()) };
    let error = push(&*through.open(), KEY, &sample(100 * MIB, 5), |n| {
        if n == 50 {
            proxy.away();
        }
    })
    .unwrap_err();
    assert!(error.is_transient(), "{}", words(&error));
    let destination = settings.open();
    assert!(destination.list("XYZ").unwrap().is_empty());
    assert!(request(&settings, "GET", "?uploads", &[], "").1.contains("<UploadId>"));
    for leftover in destination.leftovers("XYZ").unwrap() {
        destination.remove_leftover(&leftover).unwrap();
    }
    assert!(!request(&settings, "GET", "?uploads", &[], "").1.contains("<UploadId>"));
    assert!(destination.leftovers("XYZ").unwrap().is_empty());
}
