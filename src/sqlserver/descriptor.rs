//! The headers of blocks in tape format.

use super::bytes::u16_at;
use super::checksum::header_sum;

/// Every type of descriptor in the backups of SQL Server, and the others that tapes know.
pub(super) const DESCRIPTORS: [&[u8; 4]; 14] = [
    b"TAPE", b"SFMB", b"SSET", b"VOLB", b"MSCI", b"MSDA", b"MSTL", b"MSLS", b"ESET", b"DIRB", b"FILE", b"CFIL",
    b"ESPB", b"EOTM",
];

/// Whether a descriptor's header has the right sum.
pub(super) fn descriptor_fits(header: &[u8]) -> bool {
    header.get(..50).is_some_and(|summed| header_sum(summed) == u16_at(header, 50))
}

/// Whether a descriptor's header begins here.
pub(super) fn is_descriptor(header: &[u8]) -> bool {
    DESCRIPTORS.iter().any(|known| header.starts_with(known.as_slice()))
}
