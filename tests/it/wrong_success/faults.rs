//! The faults, each in a scene of its own.

use std::fs;
use std::path::Path;

use jiff::SignedDuration;

use super::Fault;
use crate::harness::{COMPLETED, Scene, at, log_of_completed_run, noise, remove_tree, status_message, text, touch};
use crate::sql_backups::Backups;
use crate::synthetic::{Backup, Data, Headers, log};

/// The archive of the first night.
pub(crate) const FIRST: &str = "XYZ-20211122T235900Z";
/// That of the second.
const SECOND: &str = "XYZ-20211123T235900Z";
/// The same, named after its metadata.
const SECOND_BY_METADATA: &str = "XYZ-20211123T235859Z";
const SECOND_COMPLETED: &str = "2021-11-23T23:59:00Z";
/// Of SQL Server's own backups.
pub(crate) const SQL_FIRST: &str = "XYZ.SQL-20211121T210100Z";
const SQL_SECOND: &str = "XYZ.SQL-20211122T210100Z";

const MDF: &str = "SiteDBServer/CM_XYZ.mdf";
const LDF: &str = "SiteDBServer/CM_XYZ_log.ldf";
const PAGE: usize = 8192;

fn data() -> Vec<u8> {
    Data::default().build()
}

/// One night is archived, on two destinations.
fn first_night() -> Scene {
    let mut scene = Scene::new();
    scene.destination("offsite");
    scene.section("[report]\noverdue = '100 years'\n[retention]\nlast = 1");
    scene.run(&["run"]).exits(0);
    scene
}

/// Completes the snapshot of the second night.
fn complete(scene: &Scene) {
    scene.complete(SECOND_COMPLETED);
}

/// What becomes of a second night.
fn second_night(
    what: &str,
    named: &'static [&'static str],
    cells: &'static str,
    good: &'static str,
    night: impl FnOnce(&mut Scene),
) -> Fault {
    let mut scene = first_night();
    night(&mut scene);
    Fault { what: what.to_owned(), scene, named, cells, run_last: false, good }
}

/// The second night's snapshot is made with this fault in it, and completed.
fn before(
    what: &str,
    named: &'static [&'static str],
    cells: &'static str,
    good: &'static str,
    fault: impl FnOnce(&Scene),
) -> Fault {
    second_night(what, named, cells, good, |scene| {
        fault(scene);
        complete(scene);
    })
}

/// The fault happens to the second night's snapshot once it is complete.
fn after(
    what: &str,
    named: &'static [&'static str],
    cells: &'static str,
    good: &'static str,
    fault: impl FnOnce(&mut Scene),
) -> Fault {
    second_night(what, named, cells, good, |scene| {
        complete(scene);
        fault(scene);
    })
}

/// Two nights are archived, then something happens.
fn archived(
    what: &str,
    named: &'static [&'static str],
    cells: &'static str,
    good: &'static str,
    fault: impl FnOnce(&mut Scene),
) -> Fault {
    let fault = after(what, named, cells, good, |scene| {
        scene.sections = scene.sections.replace("last = 1", "last = 2");
        scene.configure();
        scene.run(&["run"]).exits(0);
        fault(scene);
    });
    Fault { run_last: true, ..fault }
}

/// Fillings of a file that is none of SQL Server.
fn fillings(whole: &[u8]) -> Vec<(&'static str, Vec<u8>)> {
    vec![
        ("random bytes", noise(9, whole.len())),
        ("zeros", vec![0; whole.len()]),
        ("text", text(whole.len())),
        ("empty", Vec::new()),
        ("cut to a sector", whole[..512].to_vec()),
        ("cut in the middle", whole[..whole.len() / 2].to_vec()),
    ]
}

/// Cells of a snapshot whose database is not what it must be: archived, said, and never good.
const DAMAGED: &str = "!!!bbbcbed";

pub(crate) fn database_files() -> Vec<Fault> {
    let mut faults = Vec::new();
    for (what, bytes) in fillings(&data()) {
        let cells = if bytes.is_empty() { REFUSED } else { DAMAGED };
        faults.push(before(&format!("data file: {what}"), &["CM_XYZ"], cells, FIRST, |scene| scene.file(MDF, &bytes)));
    }
    for (what, bytes) in fillings(&log(0, 26)) {
        faults.push(before(&format!("transaction log: {what}"), &["CM_XYZ_log.ldf"], DAMAGED, FIRST, |scene| {
            scene.file(LDF, &bytes);
        }));
    }
    faults.extend([
        before("data file: one bit of a page flipped", &["CM_XYZ"], DAMAGED, FIRST, |scene| {
            let mut bytes = data();
            bytes[20 * PAGE + 3000] ^= 4;
            scene.file(MDF, &bytes);
        }),
        before("data file: half of its pages zeroed", &["CM_XYZ"], DAMAGED, FIRST, |scene| {
            let mut bytes = data();
            bytes[30 * PAGE..].fill(0);
            scene.file(MDF, &bytes);
        }),
        before("data file: a backup file under its name", &["CM_XYZ"], DAMAGED, FIRST, |scene| {
            scene.file(MDF, &Backup::of(&data(), true).bytes);
        }),
        before("data file: the transaction log under its name", &["CM_XYZ"], DAMAGED, FIRST, |scene| {
            scene.file(MDF, &log(0, 26));
        }),
        before("data file: of another site", &["CM_ABC"], DAMAGED, FIRST, |scene| {
            scene.file(MDF, &Data { name: "CM_ABC", ..Data::default() }.build());
        }),
        before("data file: its second part is missing", &["CM_XYZ_3"], DAMAGED, FIRST, |scene| {
            scene.file(MDF, &Data { has_further: true, ..Data::default() }.build());
        }),
        before("data file: its second part is random bytes", &["CM_XYZ_3"], DAMAGED, FIRST, |scene| {
            scene.file(MDF, &Data { has_further: true, ..Data::default() }.build());
            scene.file("SiteDBServer/CM_XYZ_3.ndf", &noise(4, 64 * PAGE));
        }),
        before("transaction log: of another time", &["CM_XYZ"], DAMAGED, FIRST, |scene| scene.file(LDF, &log(0, 20))),
        before("transaction log: of another database", &["CM_XYZ"], DAMAGED, FIRST, |scene| {
            scene.file(LDF, &log(3, 26));
        }),
        before("a second database: random bytes", &["SUSDB"], DAMAGED, FIRST, |scene| {
            scene.file("SiteDBServer/SUSDB.mdf", &noise(5, 64 * PAGE));
            scene.file("SiteDBServer/SUSDB_log.ldf", &log(1, 26));
        }),
        before("the database keeps no page checksums any more", &["CM_XYZ"], DAMAGED, FIRST, |scene| {
            scene.file(MDF, &Data { status: 0x4000_0008, ..Data::default() }.build());
        }),
        before(
            "data file and transaction log are missing",
            &["SiteDBServer", "CM_XYZ", "mdf", "no database"],
            REFUSED,
            FIRST,
            |scene| {
                fs::remove_file(scene.snapshot().join(MDF)).unwrap();
                fs::remove_file(scene.snapshot().join(LDF)).unwrap();
            },
        ),
        before(
            "the transaction log is missing",
            &["SiteDBServer", "CM_XYZ", "mdf", "no database"],
            "!!!aaaaaa!",
            FIRST,
            |scene| {
                fs::remove_file(scene.snapshot().join(LDF)).unwrap();
            },
        ),
        before("the data file is a folder", &["CM_XYZ", ".mdf"], REFUSED, FIRST, |scene| {
            fs::remove_file(scene.snapshot().join(MDF)).unwrap();
            fs::create_dir(scene.snapshot().join(MDF)).unwrap();
        }),
        before("the data file is a link", &["CM_XYZ", ".mdf"], REFUSED, FIRST, |scene| {
            let path = scene.snapshot().join(MDF);
            fs::rename(&path, scene.path("moved.mdf")).unwrap();
            std::os::unix::fs::symlink(scene.path("moved.mdf"), &path).unwrap();
        }),
    ]);
    faults
}

/// Cells of a snapshot that is not archived.
const REFUSED: &str = "!!!aaaaaad";

pub(crate) fn parts() -> Vec<Fault> {
    let gone = |path: &Path| if path.is_dir() { remove_tree(path) } else { fs::remove_file(path).unwrap() };
    let mut faults = Vec::new();
    for part in ["SiteServer", "SiteDBServer", "CD.Latest", "BackupDocument.xml", "SiteServer/SMSServer/Logs/log7.log"]
    {
        faults.push(after(
            &format!("`{part}` was deleted afterwards"),
            &["SiteServer", "SiteDBServer", "CD.Latest", "BackupDocument.xml", "folder"],
            REFUSED,
            FIRST,
            |scene| {
                gone(&scene.snapshot().join(part));
            },
        ));
    }
    for part in ["SiteServer", "SiteDBServer", "CD.Latest"] {
        faults.push(before(
            &format!("`{part}` was not written"),
            &["SiteServer", "SiteDBServer", "CD.Latest", "no database"],
            REFUSED,
            FIRST,
            |scene| {
                gone(&scene.snapshot().join(part));
            },
        ));
    }
    for part in ["SiteServer", "SiteDBServer", "CD.Latest"] {
        faults.push(before(
            &format!("`{part}` is a link"),
            &["SiteServer", "SiteDBServer", "CD.Latest", "CM_XYZ", "no database"],
            DAMAGED,
            FIRST,
            |scene| {
                let path = scene.snapshot().join(part);
                fs::rename(&path, scene.path("moved")).unwrap();
                std::os::unix::fs::symlink(scene.path("moved"), &path).unwrap();
            },
        ));
    }
    faults.extend([
        after("`BackupDocument.xml` is empty", &["BackupDocument.xml"], "!!!iiiciid", SECOND, |scene| {
            let written = at(SECOND_COMPLETED) - SignedDuration::from_secs(1);
            let path = scene.snapshot().join("BackupDocument.xml");
            fs::write(&path, "").unwrap();
            touch(&path, written);
            scene.settle(written);
        }),
        after("a file was changed afterwards", &["log7.log"], REFUSED, FIRST, |scene| {
            touch(
                &scene.snapshot().join("SiteServer/SMSServer/Logs/log7.log"),
                at(SECOND_COMPLETED) + SignedDuration::from_hours(1),
            );
        }),
        after("a file came afterwards", &["SMSServer"], REFUSED, FIRST, |scene| {
            let path = scene.snapshot().join("SiteServer/SMSServer/new.txt");
            fs::write(&path, "new").unwrap();
        }),
        after("a file is dated in the future", &["log7.log"], "iiiiiiciid", SECOND, |scene| {
            touch(&scene.snapshot().join("SiteServer/SMSServer/Logs/log7.log"), at("2100-01-01T00:00:00Z"));
            scene.snapshot_key("quiet = '0s'");
        }),
        before("a file is a link", &["SiteServer/link"], "!!!kkkckkd", SECOND, |scene| {
            std::os::unix::fs::symlink("/etc/hostname", scene.snapshot().join("SiteServer/link")).unwrap();
        }),
        before("a file is a socket", &["SiteServer/socket"], "!!!kkkckkd", SECOND, |scene| {
            drop(std::os::unix::net::UnixListener::bind(scene.snapshot().join("SiteServer/socket")).unwrap());
        }),
    ]);
    faults
}

pub(crate) fn logs() -> Vec<Fault> {
    let second = at(SECOND_COMPLETED);
    let whole = || (log_of_completed_run(at(COMPLETED)) + &log_of_completed_run(second)).into_bytes();
    // With the log outside the snapshot, as most have it.
    let with =
        |what: &str, named: &'static [&'static str], cells: &'static str, good: &'static str, log: Option<Vec<u8>>| {
            after(what, named, cells, good, |scene| {
                if let Some(log) = log {
                    fs::write(scene.path("task.log"), log).unwrap();
                }
                scene.snapshot_key("log = 'task.log'\nquiet = '0s'");
            })
        };
    let and = |more: &[u8]| Some([&whole()[..], more].concat());
    let soon = second + SignedDuration::from_mins(5);
    let failed = log_of_completed_run(at(COMPLETED))
        + &status_message(5055, second - SignedDuration::from_mins(30))
        + &status_message(5049, second);
    let cut = {
        let text = String::from_utf8(whole()).unwrap();
        text.rsplit_once("STATMSG: ID=5035").unwrap().0.to_owned()
    };
    let mut zeroed = whole();
    let half = zeroed.len() / 2;
    zeroed[half..].fill(0);
    let of_abc = String::from_utf8(whole()).unwrap().replace("SITE=XYZ", "SITE=ABC");
    vec![
        with("the configured log is missing", &["task.log"], "!!!iiiciid", SECOND, None),
        with("the configured log is empty", &["task.log"], "!!!iiiciid", SECOND, Some(Vec::new())),
        with(
            "the configured log is another program's",
            &["task.log"],
            "!!!iiiciid",
            SECOND,
            Some(b"x  $$<SMS_EXECUTIVE><11-22-2021 01:00:00.000+000><thread=1 (0x1)>\r\n".to_vec()),
        ),
        with("the configured log is random bytes", &["task.log"], "!!!iiiciid", SECOND, Some(noise(6, 9000))),
        with("the log is of another site", &["task.log", "log"], "!!!iiiciid", SECOND, Some(of_abc.into_bytes())),
        with(
            "the task has begun again",
            &["began", "begun", "running"],
            REFUSED,
            FIRST,
            and(status_message(5055, soon).as_bytes()),
        ),
        with(
            "the task has begun again, behind zeros in the log",
            &["began", "begun", "running"],
            REFUSED,
            FIRST,
            and(&[&[0; 3000][..], status_message(5055, soon).as_bytes()].concat()),
        ),
        with("the task has failed", &["5049"], REFUSED, FIRST, Some(failed.into_bytes())),
        with("the log ends before the completion", &["log"], REFUSED, FIRST, Some(cut.into_bytes())),
        with("zeros behind the completion in the log", &["log"], "iiiiiiciid", SECOND, and(&[0; 3000])),
        with("the log is zeros from its middle on", &["log"], "!!!iiiciid", SECOND_BY_METADATA, Some(zeroed)),
    ]
}

fn file_on(scene: &Scene, destination: &str, name: &str) -> std::path::PathBuf {
    scene.path(destination).join("XYZ").join(name)
}

/// What happens to a file on a destination.
type Deed = fn(&Path);
type BoxedDeed = Box<dyn Fn(&Path)>;

/// On one destination or on both.
const PLACES: [(&str, &[&str]); 2] = [("", &["vault", "offsite"]), (" on one of two destinations", &["vault"])];

fn flip(path: &Path, at: impl FnOnce(usize) -> usize) {
    let mut bytes = fs::read(path).unwrap();
    let at = at(bytes.len());
    bytes[at] ^= 0x10;
    fs::write(path, bytes).unwrap();
}

/// Cells of an archive that is not whole, on both destinations and on one of them.
const LACKING: [&str; 2] = ["j!!!w!c!e-", "j!!!ggg!e-"];
/// Of one that is not what it was.
const SPOILT: [&str; 2] = ["fffff!!!e-", "fffffgg!e-"];
/// Of one whose manifest cannot be read.
const UNREADABLE: [&str; 2] = ["j!!!www!e-", "j!!!ggg!e-"];
/// Of one that a newer version has written.
const NEWER: [&str; 2] = ["ppp!www!e-", "ppp!www!e-"];

pub(crate) fn archives() -> Vec<Fault> {
    let mut faults = Vec::new();
    let deeds: [(&str, Deed, [&str; 2]); 9] = [
        ("is missing", |path| fs::remove_file(path).unwrap(), LACKING),
        ("is empty", |path| fs::write(path, "").unwrap(), LACKING),
        (
            "is cut in the middle",
            |path| {
                let bytes = fs::read(path).unwrap();
                fs::write(path, &bytes[..bytes.len() / 2]).unwrap();
            },
            LACKING,
        ),
        (
            "has more behind its end",
            |path| {
                let mut bytes = fs::read(path).unwrap();
                bytes.extend([0; 512]);
                fs::write(path, bytes).unwrap();
            },
            ["j!!!wqc!e-", "j!!!ggg!e-"],
        ),
        (
            "is random bytes of its size",
            |path| {
                let bytes = fs::read(path).unwrap();
                fs::write(path, noise(8, bytes.len())).unwrap();
            },
            SPOILT,
        ),
        (
            "is that of another night",
            |path| {
                fs::copy(path.with_file_name(format!("{FIRST}.tar.zst")), path).unwrap();
            },
            LACKING,
        ),
        ("has a flipped bit in its files", |path| flip(path, |length| length / 3), SPOILT),
        ("has a flipped bit in its index", |path| flip(path, |length| length - 700), SPOILT),
        ("has a flipped bit in its seek table", |path| flip(path, |length| length - 20), ["fffffqq!e-", "fffffgg!e-"]),
    ];
    for (what, deed, cells) in deeds {
        for ((where_, places), cells) in PLACES.into_iter().zip(cells) {
            let good = if places.len() == 1 || cells.starts_with('j') || cells.contains('q') { SECOND } else { FIRST };
            faults.push(archived(&format!("the archive {what}{where_}"), &[SECOND, "damaged"], cells, good, |scene| {
                for place in places {
                    deed(&file_on(scene, place, &format!("{SECOND}.tar.zst")));
                }
            }));
        }
    }
    faults
}

pub(crate) fn manifests() -> Vec<Fault> {
    let mut faults = Vec::new();
    let edited = |from: &'static str, to: &'static str| {
        move |path: &Path| {
            let text = fs::read_to_string(path).unwrap();
            assert!(text.contains(from), "{from} is not in {text}");
            fs::write(path, text.replacen(from, to, 1)).unwrap();
        }
    };
    let deeds: [(&str, BoxedDeed, [&str; 2]); 7] = [
        ("is missing", Box::new(|path: &Path| fs::remove_file(path).unwrap()), UNREADABLE),
        ("is empty", Box::new(|path: &Path| fs::write(path, "").unwrap()), ["j!!!www!!-", "j!!!ggg!!-"]),
        ("is not JSON", Box::new(|path: &Path| fs::write(path, noise(7, 900)).unwrap()), ["j!!!www!!-", "j!!!ggg!!-"]),
        (
            "is a folder",
            Box::new(|path: &Path| {
                fs::remove_file(path).unwrap();
                fs::create_dir(path).unwrap();
            }),
            ["!!!!www!e-", "!!!!ggg!e-"],
        ),
        ("is of a newer format", Box::new(edited("\"format\": 1", "\"format\": 9")), NEWER),
        (
            "is that of another night",
            Box::new(|path: &Path| {
                fs::copy(path.with_file_name(format!("{FIRST}.json")), path).unwrap();
            }),
            ["j!!!wwc!!-", "j!!!ggg!!-"],
        ),
        (
            "has another SHA-256",
            Box::new(|path: &Path| {
                let text = fs::read_to_string(path).unwrap();
                let at = text.find("\"sha256\": \"").unwrap() + 11;
                let mut bytes = text.into_bytes();
                bytes[at] = if bytes[at] == b'0' { b'1' } else { b'0' };
                fs::write(path, bytes).unwrap();
            }),
            ["fffffqq!e-", "fffffgg!e-"],
        ),
    ];
    for (what, deed, cells) in deeds {
        for ((where_, places), cells) in PLACES.into_iter().zip(cells) {
            let good = if places.len() == 1 || cells.starts_with('j') || cells.contains('q') { SECOND } else { FIRST };
            faults.push(archived(&format!("the manifest {what}{where_}"), &[SECOND], cells, good, |scene| {
                for place in places {
                    deed(&file_on(scene, place, &format!("{SECOND}.json")));
                }
            }));
        }
    }
    faults.extend([
        archived("an archive is dated in the future", &["2100", "future"], "h!!wwwc!ed", SECOND, |scene| {
            let text = fs::read_to_string(file_on(scene, "vault", &format!("{FIRST}.json"))).unwrap();
            let future = "XYZ-21001122T235900Z";
            fs::write(file_on(scene, "vault", &format!("{future}.json")), text.replace(FIRST, future)).unwrap();
            fs::copy(
                file_on(scene, "vault", &format!("{FIRST}.tar.zst")),
                file_on(scene, "vault", &format!("{future}.tar.zst")),
            )
            .unwrap();
        }),
        archived(
            "an unfinished run has left its partial file",
            &["partial", "unfinished"],
            "h!!hhhhhe-",
            SECOND,
            |scene| {
                let path = file_on(scene, "vault", ".XYZ-20211120T235900Z.tar.zst.partial-4711");
                fs::write(&path, "half").unwrap();
                touch(&path, at(COMPLETED));
            },
        ),
        archived(
            "an archive of an older night has no manifest",
            &["XYZ-20211120T235900Z"],
            "h!!!hhh!e-",
            SECOND,
            |scene| {
                let path = file_on(scene, "vault", "XYZ-20211120T235900Z.tar.zst");
                fs::copy(file_on(scene, "vault", &format!("{FIRST}.tar.zst")), &path).unwrap();
                touch(&path, at(COMPLETED));
            },
        ),
    ]);
    faults
}

pub(crate) fn surroundings() -> Vec<Fault> {
    let hook =
        |what: &str, named: &'static [&'static str], cells: &'static str, good: &'static str, section: &'static str| {
            after(what, named, cells, good, |scene| {
                if let Some((section, keys)) = section.split_once("[report]\n") {
                    assert!(section.is_empty());
                    scene.sections = scene.sections.replace("[report]\n", &format!("[report]\n{keys}\n"));
                    scene.configure();
                } else {
                    scene.section(section);
                }
            })
        };
    vec![
        after("a destination is away", &["vault"], "!!!!ggg!!d", SECOND, |scene| remove_tree(&scene.path("vault"))),
        after("a destination is a file", &["vault"], "!!!!ggg!!d", SECOND, |scene| {
            remove_tree(&scene.path("vault"));
            fs::write(scene.path("vault"), "").unwrap();
        }),
        after("the secret of a bucket is missing", &["cloud"], "!!!!ggg!!d", SECOND, |scene| {
            scene.section("[[destination]]\nname = 'cloud'\nurl = 's3://b/p'\nendpoint = 'http://127.0.0.1:9'\naccess-key-env = 'NONE_1'\nsecret-key-env = 'NONE_2'\nretry-for = '1s'");
        }),
        after("the CA file of a bucket is missing", &["cloud"], "!!!!ggg!!d", SECOND, |scene| {
            scene.section("[[destination]]\nname = 'cloud'\nurl = 's3://b/p'\nendpoint = 'https://127.0.0.1:9'\nca-file = 'none.pem'\nretry-for = '1s'");
        }),
        after("nobody answers for a bucket", &["cloud"], "!!!!ggg!!d", SECOND, |scene| {
            scene.section("[[destination]]\nname = 'cloud'\nurl = 's3://b/p'\nendpoint = 'http://127.0.0.1:9'\naccess-key-env = 'PATH'\nsecret-key-env = 'PATH'\nretry-for = '1s'");
        }),
        hook("`run-before` fails", &["run-before"], "!!!aaaaaad", FIRST, "[hooks]\nrun-before = ['exit 9']"),
        hook("`run-after` fails", &["run-after"], "!!!hhhchhd", SECOND, "[hooks]\nrun-after = ['exit 9']"),
        hook("`run-finally` fails", &["run-finally"], "!!!hhhchhd", SECOND, "[hooks]\nrun-finally = ['exit 9']"),
        hook(
            "a hook's program is missing",
            &["run-finally"],
            "!!!hhhchhd",
            SECOND,
            "[hooks]\nrun-finally = ['/nonexistent/program']",
        ),
        hook(
            "the heartbeat is not heard",
            &["heartbeat"],
            "ooohhhchhd",
            SECOND,
            "[report]\nheartbeat-url = 'http://127.0.0.1:9/x'",
        ),
        hook(
            "the metrics cannot be written",
            &["metrics"],
            "ooohhhchhd",
            SECOND,
            "[report]\nmetrics-file = 'none/x.prom'",
        ),
        hook(
            "a supplemental file is missing",
            &["Extra"],
            "!!!kkkckkd",
            SECOND,
            "[[supplemental]]\nname = 'Extra'\npath = 'none.txt'",
        ),
        archived("the state is cut", &["last runs"], "n!!hhhchhd", SECOND, |scene| {
            state(scene, |path| fs::write(path, "{").unwrap());
        }),
        archived("the state is a folder", &["state"], "n!!hhhchhd", SECOND, |scene| {
            state(scene, |path| {
                fs::remove_file(path).unwrap();
                fs::create_dir(path).unwrap();
            });
        }),
        archived("the lock file is a folder", &["lock"], "!!!hhhch!d", SECOND, |scene| {
            fs::remove_file(scene.path("lock")).unwrap();
            fs::create_dir(scene.path("lock")).unwrap();
        }),
        archived("the snapshot folder is away", &["E"], "!!!hhhchh!", SECOND, |scene| remove_tree(&scene.path("E"))),
    ]
}

fn state(scene: &Scene, deed: impl FnOnce(&Path)) {
    let name = crate::harness::names(scene.root()).into_iter().find(|name| name.contains(".state")).unwrap();
    deed(&scene.path(&name));
}

/// A full is archived; then a differential backup comes with a fault.
fn backups(
    what: &str,
    named: &'static [&'static str],
    cells: &'static str,
    good: &'static str,
    fault: impl FnOnce(&Backups),
) -> Fault {
    let mut backups = Backups::none();
    backups.scene.section("[report]\noverdue = '100 years'\n[retention]\nlast = 1");
    backups.add("FULL 20211121_220000");
    backups.scene.run(&["run"]).exits(0);
    fault(&backups);
    Fault { what: what.to_owned(), scene: backups.scene, named, cells, run_last: false, good }
}

pub(crate) fn sql() -> Vec<Fault> {
    let diff = "DIFF 20211122_220000";
    let mut faults = Vec::new();
    for (what, bytes) in fillings(&noise(3, 100_000)) {
        let bytes = if what.starts_with("cut") { None } else { Some(bytes) };
        faults.push(backups(
            &format!("new backup: {what}"),
            &["DIFF_20211122_220000.bak"],
            if what == "empty" { REFUSED } else { DAMAGED },
            SQL_FIRST,
            |backups| {
                backups.add(diff);
                let whole = fs::read(backups.file(diff)).unwrap();
                let length = if what == "cut to a sector" { 512 } else { whole.len() / 2 };
                backups.write(diff, &bytes.unwrap_or_else(|| whole[..length].to_vec()));
            },
        ));
    }
    faults.extend([
        backups("new backup: a bit flipped in a page", &["DIFF_20211122_220000.bak"], DAMAGED, SQL_FIRST, |backups| {
            backups.add(diff);
            let mut bytes = fs::read(backups.file(diff)).unwrap();
            let middle = bytes.len() / 2;
            bytes[middle] ^= 1;
            backups.write(diff, &bytes);
        }),
        backups("a stripe is missing", &["stripe 2 of 2", "file 1 of 2"], REFUSED, SQL_FIRST, |backups| {
            backups.add_as(diff, Headers { families: 2, family: 1, ..backups.headers(diff) });
        }),
        backups(
            "the base of a differential backup is foreign",
            &["DIFF_20211122_220000.bak"],
            REFUSED,
            SQL_FIRST,
            |backups| {
                backups.add_as(diff, Headers { base: Some((9, 9)), base_set: 99, ..backups.headers(diff) });
            },
        ),
        backups(
            "the full of the differential backup is gone",
            &["DIFF_20211122_220000.bak", "full"],
            REFUSED,
            SQL_FIRST,
            |backups| {
                backups.add(diff);
                fs::remove_file(backups.file("FULL 20211121_220000")).unwrap();
            },
        ),
        backups(
            "a log backup is missing between others",
            &["LOG_20211123_010000.trn"],
            "!!!rrrcred",
            SQL_SECOND,
            |backups| {
                for name in
                    ["FULL 20211122_220000", "LOG 20211122_230000", "LOG 20211123_000000", "LOG 20211123_010000"]
                {
                    backups.add(name);
                }
                fs::remove_file(backups.file("LOG 20211123_000000")).unwrap();
            },
        ),
        backups("a newer file is not understood", &["new naming.bak"], REFUSED, SQL_FIRST, |backups| {
            let path = backups.file("FULL 20211121_220000").with_file_name("new naming.bak");
            fs::write(&path, noise(1, 9000)).unwrap();
            touch(&path, at("2021-11-23T21:00:00Z"));
        }),
        backups("all backups are gone", &["backup"], REFUSED, SQL_FIRST, |backups| {
            remove_tree(&backups.scene.path("E/SQL_01$CM_INST"));
        }),
        backups("CD.Latest is gone", &["cd.latest", "CD.Latest"], DAMAGED, SQL_FIRST, |backups| {
            backups.add(diff);
            remove_tree(&backups.scene.path("CM01/cd.latest"));
        }),
    ]);
    faults
}
