//! What only Windows has: paths beyond 260 characters and names that it would edit, sharing, attributes, shares.
//!
//! Under Wine the share of the last tests is made by deploy/test.sh (`WINE_UNC`) and named in `AFTERBACKUP_TEST_SHARE`;
//! on a Windows machine the administrative share of the drive serves.

use std::fs::{self, File, OpenOptions};
use std::os::windows::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::process::Child;

use jiff::{SignedDuration, Timestamp};
use windows_sys::Win32::Storage::FileSystem::{FILE_ATTRIBUTE_HIDDEN, FILE_ATTRIBUTE_READONLY, FILE_ATTRIBUTE_SYSTEM};

use crate::harness::{
    COMPLETED, ID, Output, Scene, assert_same_tree, at, names, noise, program, read_only, settle, skip, touch, until,
};

/// Folders below each other whose names alone have more than 400 characters.
fn deep() -> String {
    ["a folder of the tree with quite a long name indeed"; 8].join("/")
}

/// A path that Windows takes as it is.
fn literal(path: &Path) -> PathBuf {
    PathBuf::from(format!(r"\\?\{}", path.display()).replace('/', "\\"))
}

/// When the files of the snapshot were written.
fn before() -> Timestamp {
    at(COMPLETED) - SignedDuration::from_mins(1)
}

/// Opens a file for this test alone.
fn exclusively(path: &Path) -> File {
    OpenOptions::new().read(true).share_mode(0).open(path).unwrap()
}

/// A run that takes its time: the archive goes out at 200 KiB a second, and the test goes on once it has begun.
fn slow_run(scene: &mut Scene) -> Child {
    scene.destinations[0].push_str("\nbandwidth = '200 KiB/s'");
    scene.configure();
    scene.file("SiteDBServer/CM_XYZ.mdf", &noise(7, 12_000_000));
    scene.complete(COMPLETED);
    let mut child = scene.spawn(&["run"]);
    until("the archive is under way", || {
        assert!(child.try_wait().unwrap().is_none(), "the run has ended");
        scene.held("vault").iter().any(|name| name.contains(".partial-"))
    });
    child
}

#[test]
fn tree_beyond_260_characters_is_archived_and_fetched() {
    let scene = Scene::new();
    let long = format!("SiteServer/{}/{}.txt", deep(), "n".repeat(200));
    scene.file(&long, b"far down");
    scene.complete(COMPLETED);
    scene.run(&["run"]).exits(0);
    scene.run(&["verify"]).exits(0);
    scene.run(&["fetch", "latest", "--to", "back"]).exits(0);
    assert_same_tree(&scene.path("back/XYZBackup"), &scene.snapshot());
}

#[test]
fn everything_may_lie_beyond_260_characters() {
    let scene = Scene::new();
    let far = scene.path(&deep());
    fs::create_dir_all(far.join("vault")).unwrap();
    crate::harness::copy_tree(&scene.path("E"), &far.join("E"));
    // Copied folders have the time of today.
    settle(&far.join("E/XYZBackup"), before());
    // Relative, with slashes and detours, as people type.
    let toml = format!(
        "lock-file = '{deep}/lock'\n[snapshot]\npath = './{deep}/../{last}/E'\n\
         [[destination]]\nname = 'vault'\npath = '{deep}/vault/.'\n",
        deep = deep(),
        last = deep().rsplit('/').next().unwrap(),
    );
    fs::write(scene.config(), toml).unwrap();
    scene.run(&["run"]).exits(0);
    scene.run(&["list"]).exits(0).says(ID);
    let output = scene.run(&["fetch", "latest", "--to", &format!("{}/x/../back", deep())]).exits(0);
    assert_same_tree(&far.join("back/XYZBackup"), &far.join("E/XYZBackup"));
    // People see the paths that they wrote.
    output.says_not(r"\\?\");
    let output = scene.run(&["fetch", "latest", "--raw", "--to", far.join("raw").to_str().unwrap()]).exits(0);
    output.says("raw").says_not(r"\\?\");
    fs::remove_dir_all(far.join("vault")).unwrap();
    scene.run(&["run"]).exits(1).says(&far.join("vault").display().to_string().replace('/', "\\")).says_not(r"\\?\");
}

#[test]
fn names_that_windows_would_edit_are_archived_and_refused_on_fetch() {
    let scene = Scene::new();
    let folder = literal(&scene.snapshot().join("SiteServer"));
    for name in ["dot.", "blank "] {
        fs::write(folder.join(name), name).unwrap();
        touch(&folder.join(name), before());
    }
    scene.complete(COMPLETED);
    scene.run(&["run"]).exits(0);
    scene.run(&["show", "latest", "--files"]).exits(0).says("SiteServer/dot.");
    scene.run(&["verify"]).exits(0);
    let output = scene.run(&["fetch", "latest", "--to", "back"]).exits(1);
    output.says("Windows would drop the dot or blank at the end of a name").says("fetch other files by pattern");
    assert!(names(&scene.path("back")).is_empty());
    scene.run(&["fetch", "latest", "--to", "back", "XYZBackup/SiteDBServer"]).exits(0);
}

#[test]
fn attributes_come_back() {
    let scene = Scene::new();
    let dressed = [
        ("SiteServer/hidden.dat", FILE_ATTRIBUTE_HIDDEN),
        ("SiteServer/system.dat", FILE_ATTRIBUTE_SYSTEM),
        ("SiteServer/both.dat", FILE_ATTRIBUTE_HIDDEN | FILE_ATTRIBUTE_SYSTEM),
        ("SiteServer/all.dat", FILE_ATTRIBUTE_HIDDEN | FILE_ATTRIBUTE_SYSTEM | FILE_ATTRIBUTE_READONLY),
    ];
    for (name, attributes) in dressed {
        let path = scene.snapshot().join(name);
        OpenOptions::new().write(true).create_new(true).attributes(attributes).open(&path).unwrap();
        touch(&path, before());
        if attributes & FILE_ATTRIBUTE_READONLY != 0 {
            read_only(&path, true);
        }
    }
    scene.complete(COMPLETED);
    scene.run(&["run"]).exits(0);
    // Again, over read-only and hidden files.
    for arguments in [&["fetch", "latest", "--to", "back"][..], &["fetch", "latest", "--to", "back", "--force"]] {
        scene.run(arguments).exits(0);
        for (name, attributes) in dressed {
            let found = fs::metadata(scene.path("back/XYZBackup").join(name)).unwrap().file_attributes();
            let all = FILE_ATTRIBUTE_HIDDEN | FILE_ATTRIBUTE_SYSTEM | FILE_ATTRIBUTE_READONLY;
            assert_eq!(found & all, attributes, "{name}");
        }
        let other = scene.path("back/XYZBackup/SiteServer/all.dat");
        read_only(&other, false);
        fs::remove_file(&other).unwrap();
    }
}

#[test]
fn file_that_another_program_has_for_itself_is_named() {
    let scene = Scene::new();
    let database = exclusively(&scene.snapshot().join("SiteDBServer/CM_XYZ.mdf"));
    scene.run(&["run"]).exits(1).says("CM_XYZ.mdf: another program has it open for itself alone");
    assert_eq!(scene.held("vault"), Vec::<String>::new());
    drop(database);
    // Any other file is left out.
    let _held = exclusively(&scene.snapshot().join("SiteServer/SMSServer/data/hman.ini"));
    let output = scene.run(&["run"]).exits(3);
    output.says("hman.ini is not in the archive: cannot be read: another program has it open for itself alone");
}

#[test]
fn file_that_another_program_gives_back_soon_is_archived() {
    let scene = Scene::new();
    let held = exclusively(&scene.snapshot().join("CD.Latest/SMSSETUP/BIN/X64/setup.exe"));
    let mut child = scene.spawn(&["run"]);
    until("the archive is under way", || {
        assert!(child.try_wait().unwrap().is_none(), "the run has ended");
        scene.held("vault").iter().any(|name| name.contains(".partial-"))
    });
    drop(held);
    assert_eq!(child.wait().unwrap().code(), Some(0));
    scene.run(&["verify"]).exits(0);
}

/// What the backup task does when it begins again. A handle that does not share deleting would make it fail.
#[test]
fn snapshot_can_be_deleted_and_renamed_while_it_is_read() {
    let mut scene = Scene::new();
    let mut child = slow_run(&mut scene);
    let database = scene.snapshot().join("SiteDBServer");
    // The database is what is being read.
    fs::rename(database.join("CM_XYZ.mdf"), database.join("renamed.mdf")).unwrap();
    fs::remove_file(database.join("renamed.mdf")).unwrap();
    let skpswi = scene.snapshot().join("CD.Latest/skpswi.dat");
    read_only(&skpswi, false);
    // A deleted file stays until its last handle is closed, and its folder with it.
    until("the snapshot is gone", || fs::remove_dir_all(scene.snapshot()).is_ok() || !scene.snapshot().exists());
    assert_eq!(child.wait().unwrap().code(), Some(4));
    assert_eq!(scene.held("vault"), Vec::<String>::new());
}

#[test]
fn files_being_read_can_be_written_by_others() {
    let mut scene = Scene::new();
    let mut child = slow_run(&mut scene);
    OpenOptions::new().append(true).open(scene.snapshot().join("SiteDBServer/CM_XYZ.mdf")).unwrap();
    child.kill().unwrap();
    child.wait().unwrap();
}

/// `\\server\share\folder`, made for this test.
struct Share(PathBuf);

impl Share {
    fn new(scene: &Scene) -> Option<Self> {
        let name = scene.root().file_name().unwrap().to_str().unwrap().replace('.', "");
        let share = match std::env::var("AFTERBACKUP_TEST_SHARE") {
            Ok(share) => PathBuf::from(share).join(format!("vault {name}")),
            Err(_) => {
                let root = scene.root().display().to_string();
                PathBuf::from(format!(r"\\localhost\{}\vault", root.replacen(':', "$", 1)))
            }
        };
        match fs::create_dir_all(&share) {
            Ok(()) => Some(Self(share)),
            Err(error) => {
                skip(&format!("no share: {}: {error}", share.display()));
                None
            }
        }
    }

    fn says(&self) -> String {
        self.0.display().to_string()
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        drop(fs::remove_dir_all(&self.0));
    }
}

#[test]
fn share_is_a_destination_like_any_other() {
    let mut scene = Scene::new();
    let Some(share) = Share::new(&scene) else { return };
    scene.destinations.clear();
    scene.section(&format!("[retention]\nlast = 1\n[[destination]]\nname = 'share'\npath = '{}'", share.says()));
    scene.run(&["run"]).exits(0);
    scene.run(&["run"]).exits(0);
    scene.run(&["list"]).exits(0).says(ID).says("share");
    scene.run(&["verify"]).exits(0);
    scene.run(&["pin", "latest"]).exits(0);
    scene.run(&["unpin", "latest"]).exits(0);
    let held = names(&share.0.join("XYZ"));
    assert_eq!(held, [format!("{ID}.json"), format!("{ID}.tar.zst")]);
    let next = at(COMPLETED) + SignedDuration::from_hours(24);
    scene.complete(&next.to_string());
    scene.run(&["run"]).exits(0);
    assert_eq!(names(&share.0.join("XYZ")).len(), 2, "the older one is pruned");
    // From a bare machine, with the share alone.
    let mut command = program();
    let back = scene.path("back");
    command.args(["fetch", "latest", "--destination", &share.says(), "--to"]).arg(&back);
    Output::of(command).exits(0);
    assert_same_tree(&back.join("XYZBackup"), &scene.snapshot());
}

#[test]
fn snapshot_on_a_share_is_archived() {
    let scene = Scene::new();
    let Some(share) = Share::new(&scene) else { return };
    let moved = share.0.join("E");
    crate::harness::copy_tree(&scene.path("E"), &moved);
    settle(&moved.join("XYZBackup"), before());
    let toml = format!(
        "lock-file = 'lock'\n[snapshot]\npath = '{}'\n[[destination]]\nname = 'vault'\npath = 'vault'\n",
        moved.display()
    );
    fs::write(scene.config(), toml).unwrap();
    scene.run(&["run"]).exits(0);
    scene.run(&["fetch", "latest", "--to", "back"]).exits(0);
    assert_same_tree(&scene.path("back/XYZBackup"), &moved.join("XYZBackup"));
}
