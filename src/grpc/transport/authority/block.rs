//! Header blocks: decoded with an HPACK library, checked, and encoded again (RFC 7541).

use axum::http::uri::Authority;
use loona_hpack::Decoder;

/// The authority that replaces one that h2 would refuse.
const LOCALHOST: &[u8] = b"localhost";
const AUTHORITY: &[u8] = b":authority";
/// The table size that HTTP/2 starts with (RFC 9113 §6.5.2), which h2 leaves as it is.
const TABLE_SIZE: usize = 4096;
/// The longest header list that is rewritten, in bytes of names and values. The server's own limit is 16 KiB: a list
/// between the two fails one call, and not the connection.
const MAX_HEADER_LIST_LENGTH: usize = 64 * 1024;

/// A decoded header block.
pub(super) struct Block(Vec<(Vec<u8>, Vec<u8>)>);

/// An HPACK decoder with the dynamic table of one connection.
pub(super) struct BlockDecoder(Decoder<'static>);

impl Default for BlockDecoder {
    fn default() -> Self {
        let mut decoder = Decoder::new();
        decoder.set_max_allowed_table_size(TABLE_SIZE);
        Self(decoder)
    }
}

impl BlockDecoder {
    /// Decodes the next block; `None` when it is not HPACK or too long.
    pub(super) fn decode(&mut self, encoded: &[u8]) -> Option<Block> {
        let (mut headers, mut length) = (Vec::new(), 0usize);
        let decoded = self.0.decode_with_cb(encoded, |name, value| {
            length = length.saturating_add(name.len() + value.len() + 1);
            if length <= MAX_HEADER_LIST_LENGTH {
                headers.push((name.into_owned(), value.into_owned()));
            }
        });
        (decoded.is_ok() && length <= MAX_HEADER_LIST_LENGTH).then_some(Block(headers))
    }
}

impl Block {
    /// Returns whether h2 accepts this block's authority. It accepts a block without one too, such as trailers.
    pub(super) fn is_acceptable(&self) -> bool {
        let authority = self.0.iter().find(|(name, _)| name == AUTHORITY);
        authority.is_none_or(|(_, value)| Authority::try_from(value.as_slice()).is_ok())
    }

    /// Encodes the block with `localhost` as its authority, every field a literal without indexing (RFC 7541 §6.2.2),
    /// so that there is no dynamic table to synchronise with h2's.
    pub(super) fn encode_with_localhost(&self) -> Vec<u8> {
        let mut out = Vec::new();
        for (name, value) in &self.0 {
            out.push(0);
            write_string(&mut out, name);
            write_string(&mut out, if name == AUTHORITY { LOCALHOST } else { value });
        }
        out
    }
}

/// Writes a string literal without Huffman coding (RFC 7541 §5.2).
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
