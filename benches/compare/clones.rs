//! Makes many archives out of one, for measuring lists: links to the same bytes, and manifests with other times.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result, ensure};
use serde_json::Value;

/// Clones the one archive in `vault`, so that there are `count` with one day between them, the newest being the
/// original.
pub(crate) fn in_folder(vault: &Path, count: u32) -> Result<()> {
    let site = vault.join("XYZ");
    let manifests: Vec<_> = fs::read_dir(&site)
        .with_context(|| format!("cannot read {}", site.display()))?
        .filter_map(Result::ok)
        .map(|entry| entry.path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "json"))
        .collect();
    let [manifest] = manifests.as_slice() else {
        ensure!(false, "{} has {} manifests instead of one", site.display(), manifests.len());
        return Ok(());
    };
    let original: Value = serde_json::from_slice(&fs::read(manifest)?)?;
    let field = |name: &str| original[name].as_str().with_context(|| format!("the manifest has no {name}"));
    let (id, archive) = (field("id")?, field("archive")?);
    let completed: jiff::Timestamp = field("completed")?.parse()?;
    for day in 1..count {
        let completed = completed - jiff::SignedDuration::from_hours(24 * i64::from(day));
        let new_id = format!("XYZ-{}", completed.strftime("%Y%m%dT%H%M%SZ"));
        let new_archive = archive.replace(id, &new_id);
        let mut clone = original.clone();
        clone["id"] = new_id.clone().into();
        clone["archive"] = new_archive.clone().into();
        clone["completed"] = completed.to_string().into();
        fs::hard_link(site.join(archive), site.join(new_archive))?;
        fs::write(site.join(format!("{new_id}.json")), serde_json::to_vec_pretty(&clone)?)?;
    }
    Ok(())
}
