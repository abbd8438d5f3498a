//! Opens an archive where it lies: from manifest, index and seek table, with three requests; a differential one with
//! all that it needs.

use super::access::{Access, AccessError, Identities};
use super::index::{Entry, Index, MAX_TAIL_BYTES};
use super::layer::{Layer, index_of};
use super::manifest::{MAX_BYTES, Manifest};
use super::merge::merge;
pub use super::read_error::ReadError;
use super::salvage::{self, Proof};
use super::seek_table::SeekTable;
use crate::cancel::Cancel;
use crate::destination::Destination;
use crate::name::ArchiveId;

/// An open archive, with those that it needs.
pub struct Reader<'a> {
    /// The archive, then what it differs from, and so on down to a full one.
    layers: Vec<Layer<'a>>,
    index: Index,
}

impl std::fmt::Debug for Reader<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Reader").field("id", &self.index.id).finish_non_exhaustive()
    }
}

impl<'a> Reader<'a> {
    /// Opens the archive of a manifest on a destination, and those of its chain.
    ///
    /// # Errors
    /// When one cannot be read, cannot be decrypted, or its seek table or index is damaged.
    pub fn open(
        destination: &'a dyn Destination,
        manifest: Manifest,
        identities: &'a Identities,
    ) -> Result<Self, ReadError> {
        let (layer, index) = Layer::open(destination, manifest, identities)?;
        let mut reader = Self { layers: vec![layer], index };
        reader.add_bases(destination, identities)?;
        Ok(reader)
    }

    /// Opens what the archive builds on, and completes the index from it. On an error the index is as it was.
    fn add_bases(&mut self, destination: &'a dyn Destination, identities: &'a Identities) -> Result<(), ReadError> {
        let Some(base) = self.manifest().base.clone() else { return Ok(()) };
        let (mut layers, mut indexes) = (Vec::new(), Vec::new());
        let mut sha256 = base.index_sha256;
        for (at, id) in base.chain.iter().enumerate().rev() {
            let of_base = |error| ReadError::of_base(id, error);
            let manifest = read_manifest(destination, id).map_err(of_base)?;
            if manifest.index.sha256 != sha256 {
                return Err(of_base(ReadError::OtherBase));
            }
            // By its index it is the right one: so is what that says of its own base.
            if manifest.chain() != &base.chain[..at] {
                return Err(of_base(ReadError::Contradiction("the archives that it needs")));
            }
            if let Some(next) = &manifest.base {
                sha256 = next.index_sha256;
            }
            let (layer, index) = Layer::open(destination, manifest, identities).map_err(of_base)?;
            layers.push(layer);
            indexes.push(index);
        }
        let mut index = indexes.pop().unwrap_or_else(|| Index::empty(self.index.id.clone()));
        while let Some(next) = indexes.pop() {
            index = merge(index, next)?;
        }
        self.index = merge(index, self.index.clone())?;
        self.layers.append(&mut layers);
        Ok(())
    }

    /// Opens an archive whose seek table or index is damaged, by reading it from its first frame on: slow, and what is
    /// left is found. Says what the files can be compared with.
    ///
    /// # Errors
    /// When it cannot be read or decrypted, or has no frame and no member that can be told.
    pub fn open_in_order(
        destination: &'a dyn Destination,
        manifest: Manifest,
        identities: &'a Identities,
        cancel: &Cancel,
    ) -> Result<(Self, Proof), ReadError> {
        let access = Access::new(destination, &manifest, identities);
        let from = manifest.index.frame_offset.min(manifest.compressed_bytes);
        let small = manifest.compressed_bytes - from <= MAX_TAIL_BYTES;
        let tail = small.then(|| access.range(from..manifest.compressed_bytes)).transpose().map_err(ReadError::from);
        let stored = match tail {
            Ok(None) => SeekTable::default(),
            Ok(Some(tail)) => SeekTable::parse(&tail, manifest.compressed_bytes).unwrap_or_default(),
            Err(error) if error.is_damage() => SeekTable::default(),
            Err(error) => return Err(error),
        };
        // A frame that is damaged may hide where the next begins, which a seek table that fits still says.
        let fits = !stored.is_empty() && stored.total().1 == manifest.uncompressed_bytes;
        let table = if fits { stored } else { salvage::find_frames(&mut *access.stream()?.reader, cancel)? };
        let (index, proof) = match index_of(&access, &manifest, &table) {
            Ok(index) => (index, Proof::Index),
            Err(error) if error.is_damage() => salvage::index_of_tar(&access, &table, &manifest, cancel)?,
            Err(error) => return Err(error),
        };
        if index.entries.is_empty() {
            return Err(ReadError::Contradiction("everything: nothing of it can be read"));
        }
        let mut reader = Self { layers: vec![Layer { access, manifest, table }], index };
        if proof == Proof::Frames {
            let link = reader.own().link();
            reader.index.entries.iter_mut().for_each(|entry| entry.link = link);
            return Ok((reader, proof));
        }
        match reader.add_bases(destination, identities) {
            Ok(()) => Ok((reader, proof)),
            Err(error) if error.is_damage() => Ok((reader, Proof::Part)),
            Err(error) => Err(error),
        }
    }

    /// Of one archive that needs no other.
    pub(super) fn of_one(layer: Layer<'a>, index: Index) -> Self {
        Self { layers: vec![layer], index }
    }

    /// What is known of the archive.
    #[must_use]
    pub fn manifest(&self) -> &Manifest {
        &self.own().manifest
    }

    /// What it holds, wherever the bytes are.
    #[must_use]
    pub fn index(&self) -> &Index {
        &self.index
    }

    /// How many bytes were read so far, of all archives together.
    #[must_use]
    pub fn read_bytes(&self) -> u64 {
        self.layers.iter().map(|layer| layer.access.read_bytes()).sum()
    }

    /// The archive itself.
    pub(super) fn own(&self) -> &Layer<'a> {
        &self.layers[0]
    }

    /// The archive that has the bytes of a file, or how they differ. `None` where it is not at hand: without the base,
    /// nothing says where the bytes of an unchanged file are.
    pub(super) fn layer_of(&self, file: &Entry) -> Option<&Layer<'a>> {
        let own = self.own().link();
        let at = own.checked_sub(file.link).filter(|&at| at > 0 || !file.same)?;
        self.layers.get(usize::from(at))
    }

    /// The archive, then what it differs from, and so on.
    pub(super) fn layers(&self) -> &[Layer<'a>] {
        &self.layers
    }
}

fn read_manifest(destination: &dyn Destination, id: &ArchiveId) -> Result<Manifest, ReadError> {
    let name = id.manifest_name();
    let bytes = destination.read(&id.key(&name), MAX_BYTES).map_err(AccessError::from)?;
    Ok(Manifest::parse(&name, &bytes)?)
}
