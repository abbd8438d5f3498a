//! A destination that cannot be opened is that destination's failure alone.

use std::fs;

use crate::harness::{ID, Scene};

/// A destination that needs what is not there.
const BROKEN: [(&str, &str); 4] = [
    ("variable NO_SUCH_KEY is not set", "access-key-env = 'NO_SUCH_KEY'\nsecret-key-env = 'NO_SUCH_SECRET'"),
    ("there is no such file", "access-key-env = 'PATH'\nsecret-key-file = 'gone.secret'"),
    ("cannot read the certificates in", "ca-file = 'gone.pem'"),
    ("cannot set up s3://archives/cm", "options = { aws_checksum_algorithm = 'md4' }"),
];

fn scene(keys: &str) -> Scene {
    let mut scene = Scene::new();
    scene.section(&format!("[[destination]]\nname = 'offsite'\nurl = 's3://archives/cm'\n{keys}"));
    scene
}

#[test]
fn what_one_destination_lacks_keeps_no_archive_from_the_others() {
    for (words, keys) in BROKEN {
        let scene = scene(keys);
        scene.run(&["run"]).exits(3).says(&format!("{ID} is not on offsite")).says(words);
        assert_eq!(scene.manifests("vault"), 1, "{words}");
        scene.run(&["list"]).exits(3).says(ID).says("offsite is left out").says(words);
        scene.run(&["status", "--json"]).says(words);
        scene.run(&["prune"]).exits(3).says(words);
        scene.run(&["pin", "latest"]).exits(3).says("on vault").says(words);
    }
}

#[test]
fn command_for_one_destination_does_not_look_at_the_others() {
    for (words, keys) in BROKEN {
        let scene = scene(keys);
        scene.run(&["run"]).exits(3);
        for command in [&["list"][..], &["verify"], &["show", "latest"], &["fetch", "latest", "--to", "back"]] {
            let arguments: Vec<&str> = command.iter().copied().chain(["-d", "vault"]).collect();
            scene.run(&arguments).exits(0).says_not(words).says_not("offsite");
        }
        assert!(scene.path("back/XYZBackup").is_dir());
    }
}

#[test]
fn secret_is_explained_where_it_is_missed_and_never_printed() {
    let scene = scene("access-key-env = 'hunter2'\nsecret-key-env = 'hunter2'");
    let output = scene.run(&["run"]).exits(3).says("NAME of an environment variable");
    assert!(!output.stderr.contains("hunter2") && !output.stdout.contains("hunter2"), "{output}");
    // Where it is the only one, nothing is safe.
    let text =
        fs::read_to_string(scene.config()).unwrap().replace("[[destination]]\nname = 'vault'\npath = 'vault'\n", "");
    fs::write(scene.config(), text).unwrap();
    scene.run(&["run"]).exits(1).says("is not set");
}
