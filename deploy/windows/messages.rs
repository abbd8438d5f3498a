//! The table of messages that Event Viewer looks into: for every id of the event log a text, which is what we wrote.
//!
//! The layout is `MESSAGE_RESOURCE_DATA`: the number of blocks, then for each block the first and last id and where its
//! texts begin, then the texts, each behind its own length and a flag for UTF-16. Message compilers make the same; this
//! way the ids stand in one table, in Rust.

/// Shows the first string of the entry.
const TEXT: &str = "%1\r\n";
const UTF_16: u16 = 1;

/// The resource for these ids, which are in order.
pub(crate) fn table(ids: &[u16]) -> Vec<u8> {
    let entry = entry();
    let blocks = u32::try_from(ids.len()).expect("ids are 16 bits wide");
    let mut bytes = blocks.to_le_bytes().to_vec();
    // One block for each id: they are far apart.
    let texts = 4 + 12 * ids.len();
    for (number, id) in ids.iter().enumerate() {
        let offset = u32::try_from(texts + number * entry.len()).expect("some texts of some bytes");
        for word in [u32::from(*id), u32::from(*id), offset] {
            bytes.extend(word.to_le_bytes());
        }
    }
    for _ in ids {
        bytes.extend(&entry);
    }
    bytes
}

fn entry() -> Vec<u8> {
    let mut text: Vec<u8> = TEXT.encode_utf16().chain([0]).flat_map(u16::to_le_bytes).collect();
    // Entries begin where four bytes do.
    text.resize(text.len().next_multiple_of(4), 0);
    let length = u16::try_from(4 + text.len()).expect("a short text");
    let mut entry = [length.to_le_bytes(), UTF_16.to_le_bytes()].concat();
    entry.extend(text);
    entry
}
