//! What the targets of SQL Server files share: the fuzzer edits a valid file, so that it gets past the first bytes.

#[path = "../../support/sqlserver.rs"]
#[allow(dead_code, reason = "each target builds one kind of file")]
pub mod synthetic;

use afterbackup::sqlserver::check_in_pieces;

/// Every six bytes are an edit: where (four bytes), what (one), and how (one): set, cut there, or a border of pieces.
pub fn check(mut file: Vec<u8>, edits: &[u8]) {
    let mut cuts = Vec::new();
    for edit in edits.chunks_exact(6) {
        if file.is_empty() {
            break;
        }
        let at = u32::from_le_bytes([edit[0], edit[1], edit[2], edit[3]]) as usize % file.len();
        match edit[5] % 16 {
            0 => file.truncate(at),
            1 => cuts.push(at),
            _ => file[at] = edit[4],
        }
    }
    // In pieces or whole: the same report, and never a panic.
    let whole = check_in_pieces(&file, &[]);
    cuts.sort_unstable();
    assert_eq!(check_in_pieces(&file, &cuts), whole);
    // Without a valid file around them, too.
    check_in_pieces(edits, &[]);
}
