//! Header blocks: decoded with an HPACK library, judged, and written again (RFC 7541).

use axum::http::uri::Authority;
use loona_hpack::Decoder;

/// What takes the place of an authority that h2 would refuse.
const LOCALHOST: &[u8] = b"localhost";
const AUTHORITY: &[u8] = b":authority";
/// The table size that HTTP/2 starts with (RFC 9113 §6.5.2), which h2 leaves as it is.
const TABLE_SIZE: usize = 4096;
/// The longest header list that is rewritten, names and values together. The server's own limit is 16 KiB:
/// what is longer than that and not than this costs one call, and not the connection.
const LONGEST_LIST: usize = 64 * 1024;

/// One decoded header block.
pub(super) struct Block(Vec<(Vec<u8>, Vec<u8>)>);

/// Keeps the dynamic table of one connection.
pub(super) struct BlockReader(Decoder<'static>);

impl Default for BlockReader {
    fn default() -> Self {
        let mut decoder = Decoder::new();
        decoder.set_max_allowed_table_size(TABLE_SIZE);
        Self(decoder)
    }
}

impl BlockReader {
    /// Decodes the next block; `None` when it is not HPACK or too long.
    pub(super) fn read(&mut self, encoded: &[u8]) -> Option<Block> {
        let (mut headers, mut length) = (Vec::new(), 0usize);
        let decoded = self.0.decode_with_cb(encoded, |name, value| {
            length = length.saturating_add(name.len() + value.len() + 1);
            if length <= LONGEST_LIST {
                headers.push((name.into_owned(), value.into_owned()));
            }
        });
        (decoded.is_ok() && length <= LONGEST_LIST).then_some(Block(headers))
    }
}

impl Block {
    /// Whether h2 takes this block's authority. None at all is fine with h2, and so are trailers.
    pub(super) fn is_acceptable(&self) -> bool {
        let authority = self.0.iter().find(|(name, _)| name == AUTHORITY);
        authority.is_none_or(|(_, value)| Authority::try_from(value.as_slice()).is_ok())
    }

    /// The block with `localhost` as its authority, every field a literal without indexing (RFC 7541 §6.2.2), so
    /// that there is no table to keep in step with h2's.
    pub(super) fn rewritten(&self) -> Vec<u8> {
        let mut out = Vec::new();
        for (name, value) in &self.0 {
            out.push(0);
            write_string(&mut out, name);
            write_string(&mut out, if name == AUTHORITY { LOCALHOST } else { value });
        }
        out
    }
}

/// A string literal without Huffman coding (RFC 7541 §5.2).
fn write_string(out: &mut Vec<u8>, text: &[u8]) {
    const PREFIX: usize = 0x7f;
    if text.len() < PREFIX {
        out.push(text.len() as u8);
    } else {
        out.push(PREFIX as u8);
        let mut rest = text.len() - PREFIX;
        while rest >= 0x80 {
            out.push((rest & 0x7f) as u8 | 0x80);
            rest >>= 7;
        }
        out.push(rest as u8);
    }
    out.extend_from_slice(text);
}
