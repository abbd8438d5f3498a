//! What a differential archive holds: what its base holds, without what is gone, with what is new.

use std::cmp::Ordering;

use super::index::{Entry, Index, IndexError, archive_order};

/// Completes `own`, the index of a differential archive as it is stored, from that of its base.
pub(super) fn merge(base: Index, mut own: Index) -> Result<Index, IndexError> {
    let mut entries = Vec::with_capacity(base.entries.len().max(own.entries.len()));
    let mut changed = std::mem::take(&mut own.entries).into_iter().peekable();
    let mut removed = own.removed.iter().peekable();
    for mut before in base.entries {
        before.same = false;
        while let Some(new) = changed.next_if(|new| archive_order(&new.path, &before.path).is_lt()) {
            entries.push(placed(new, None)?);
        }
        let order = removed.peek().map(|path| archive_order(path, &before.path));
        if order == Some(Ordering::Less) {
            break;
        }
        let same = changed.next_if(|new| new.path == before.path);
        match (order == Some(Ordering::Equal), same) {
            (true, None) => drop(removed.next()),
            (true, Some(new)) => return Err(IndexError::Order(new.path)),
            (false, Some(new)) => entries.push(placed(new, Some(before))?),
            (false, None) => entries.push(before),
        }
    }
    // What is removed was there.
    if let Some(path) = removed.next() {
        return Err(IndexError::NoBase(path.clone()));
    }
    for new in changed {
        entries.push(placed(new, None)?);
    }
    own.entries = entries;
    Ok(own)
}

/// Says where the bytes of an entry are.
fn placed(mut new: Entry, before: Option<Entry>) -> Result<Entry, IndexError> {
    if !new.same && new.delta.is_none() {
        return Ok(new);
    }
    let Some(before) = before.filter(|before| !before.folder && !new.folder) else {
        return Err(IndexError::NoBase(new.path));
    };
    if let Some(delta) = &mut new.delta {
        delta.from = Some(Box::new(before));
        return Ok(new);
    }
    if (before.size, before.sha256) != (new.size, new.sha256) {
        return Err(IndexError::NoBase(new.path));
    }
    Ok(Entry { offset: before.offset, delta: before.delta, link: before.link, ..new })
}
