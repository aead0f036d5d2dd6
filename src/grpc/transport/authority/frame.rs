//! HTTP/2 frames, as far as header blocks need them (RFC 9113 §4.1, §6.2, §6.10).

/// Length of a frame's header.
pub(super) const HEADER_LENGTH: usize = 9;
/// The longest payload that a peer may send before SETTINGS say otherwise; h2 never says otherwise.
pub(super) const LONGEST_PAYLOAD: usize = 16_384;

const END_STREAM: u8 = 0x1;
const END_HEADERS: u8 = 0x4;
const PADDED: u8 = 0x8;
const PRIORITY: u8 = 0x20;
const PRIORITY_LENGTH: usize = 5;

/// The types of frames that matter here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Headers,
    Continuation,
    Other,
}

/// A frame's header.
#[derive(Clone, Copy, Debug)]
pub(super) struct Header {
    pub length: usize,
    pub kind: Kind,
    flags: u8,
    pub stream: u32,
}

impl Header {
    /// Reads the header at the front of `bytes`; `None` while it is not complete.
    pub(super) fn read(bytes: &[u8]) -> Option<Self> {
        let &[a, b, c, kind, flags, s0, s1, s2, s3] = bytes.first_chunk::<HEADER_LENGTH>()?;
        let kind = match kind {
            0x1 => Kind::Headers,
            0x9 => Kind::Continuation,
            _ => Kind::Other,
        };
        let length = u32::from_be_bytes([0, a, b, c]) as usize;
        Some(Self { length, kind, flags, stream: u32::from_be_bytes([s0, s1, s2, s3]) })
    }

    pub(super) fn ends_block(&self) -> bool {
        self.flags & END_HEADERS != 0
    }

    /// What a HEADERS payload holds; `None` when its padding or priority does not fit.
    pub(super) fn open<'a>(&self, payload: &'a [u8]) -> Option<Decrypted<'a>> {
        let (padding, rest) = match self.flags & PADDED {
            0 => (0, payload),
            _ => payload.split_first().map(|(length, rest)| (usize::from(*length), rest))?,
        };
        let (priority, rest) = match self.flags & PRIORITY {
            0 => (&[][..], rest),
            _ => rest.split_at_checked(PRIORITY_LENGTH)?,
        };
        let fragment = rest.get(..rest.len().checked_sub(padding)?)?;
        Some(Decrypted { end_stream: self.flags & END_STREAM != 0, priority, fragment })
    }
}

/// The parts of a HEADERS payload.
pub(super) struct Decrypted<'a> {
    pub end_stream: bool,
    /// Empty, or five octets.
    pub priority: &'a [u8],
    pub fragment: &'a [u8],
}

/// Writes one header block as HEADERS and, when it is long, CONTINUATION frames.
pub(super) fn write_block(out: &mut Vec<u8>, stream: u32, end_stream: bool, priority: &[u8], block: &[u8]) {
    let first = block.len().min(LONGEST_PAYLOAD - priority.len());
    let (first, rest) = block.split_at(first);
    let mut flags = if end_stream { END_STREAM } else { 0 };
    flags |= if priority.is_empty() { 0 } else { PRIORITY };
    flags |= if rest.is_empty() { END_HEADERS } else { 0 };
    write_header(out, priority.len() + first.len(), 0x1, flags, stream);
    out.extend_from_slice(priority);
    out.extend_from_slice(first);
    let mut fragments = rest.chunks(LONGEST_PAYLOAD).peekable();
    while let Some(fragment) = fragments.next() {
        let flags = if fragments.peek().is_none() { END_HEADERS } else { 0 };
        write_header(out, fragment.len(), 0x9, flags, stream);
        out.extend_from_slice(fragment);
    }
}

fn write_header(out: &mut Vec<u8>, length: usize, kind: u8, flags: u8, stream: u32) {
    out.extend_from_slice(&(length as u32).to_be_bytes()[1..]);
    out.extend_from_slice(&[kind, flags]);
    out.extend_from_slice(&stream.to_be_bytes());
}
