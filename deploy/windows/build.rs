//! Gives the Windows program its resources: the version that Explorer and inventories show, a manifest, and the
//! messages of its event log entries.
//!
//! For other targets there is nothing to do. Resources are compiled by `windres` (mingw) or `rc.exe` (MSVC); neither is
//! needed elsewhere. A failure stops the build: a program without its manifest would look the same and trip over long
//! paths on a server.

use std::path::{Path, PathBuf};
use std::{env, fs};

#[path = "../../src/event/table.rs"]
#[allow(dead_code, unreachable_pub, reason = "written for the library; only the ids are needed here")]
mod event;
mod messages;

/// Everything that [`TEMPLATE`] includes lies beside it.
const FOLDER: &str = "deploy/windows";
const TEMPLATE: &str = "afterbackup.rc.in";
const INCLUDED: [&str; 1] = ["afterbackup.exe.manifest"];

fn main() {
    println!("cargo::rerun-if-changed={FOLDER}");
    println!("cargo::rerun-if-changed=src/event/table.rs");
    if env::var_os("CARGO_CFG_WINDOWS").is_none() {
        return;
    }
    let out = PathBuf::from(variable("OUT_DIR"));
    let mut text = read(TEMPLATE);
    for (placeholder, value) in [
        ("@MAJOR@", variable("CARGO_PKG_VERSION_MAJOR")),
        ("@MINOR@", variable("CARGO_PKG_VERSION_MINOR")),
        ("@PATCH@", variable("CARGO_PKG_VERSION_PATCH")),
        ("@VERSION@", variable("CARGO_PKG_VERSION")),
        ("@DESCRIPTION@", variable("CARGO_PKG_DESCRIPTION")),
    ] {
        text = text.replace(placeholder, &value);
    }
    let script = out.join("afterbackup.rc");
    write(&script, text);
    for name in INCLUDED {
        // Resource compilers look beside the script; a path in it would need each one's own quoting.
        write(&out.join(name), read(name));
    }
    let ids: Vec<u16> = event::EventKind::ALL.iter().filter_map(|kind| kind.windows_id()).collect();
    write(&out.join("messages.bin"), messages::table(&ids));
    embed_resource::compile(&script, embed_resource::NONE)
        .manifest_required()
        .unwrap_or_else(|error| panic!("cannot compile {}: {error}", script.display()));
}

fn variable(name: &str) -> String {
    env::var(name).unwrap_or_else(|error| panic!("cargo did not set {name}: {error}"))
}

fn read(name: &str) -> String {
    let path = Path::new(FOLDER).join(name);
    fs::read_to_string(&path).unwrap_or_else(|error| panic!("cannot read {}: {error}", path.display()))
}

#[allow(clippy::disallowed_methods, reason = "files of the build")]
fn write(path: &Path, content: impl AsRef<[u8]>) {
    fs::write(path, content).unwrap_or_else(|error| panic!("cannot write {}: {error}", path.display()));
}
