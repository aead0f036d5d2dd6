//! HTTP/2 frames, as far as header blocks need them (RFC 9113 §4.1, §6.2, §6.10).

/// The length of a frame's header in bytes.
pub(super) const HEADER_LENGTH: usize = 9;
/// The longest payload that a peer may send in bytes: the initial SETTINGS_MAX_FRAME_SIZE, which h2 never changes.
pub(super) const MAX_FRAME_SIZE: usize = 16_384;

const END_STREAM: u8 = 0x1;
const END_HEADERS: u8 = 0x4;
const PADDED: u8 = 0x8;
const PRIORITY: u8 = 0x20;
const PRIORITY_LENGTH: usize = 5;

/// A frame type.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum FrameType {
    Headers,
    Continuation,
    Other,
}

/// The header of a frame.
#[derive(Clone, Copy, Debug)]
pub(super) struct Header {
    pub length: usize,
    pub frame_type: FrameType,
    flags: u8,
    pub stream: u32,
}

impl Header {
    /// Parses the header at the start of `bytes`; `None` while it is incomplete.
    pub(super) fn parse(bytes: &[u8]) -> Option<Self> {
        let &[a, b, c, frame_type, flags, s0, s1, s2, s3] = bytes.first_chunk::<HEADER_LENGTH>()?;
        let frame_type = match frame_type {
            0x1 => FrameType::Headers,
            0x9 => FrameType::Continuation,
            _ => FrameType::Other,
        };
        let length = u32::from_be_bytes([0, a, b, c]) as usize;
        Some(Self { length, frame_type, flags, stream: u32::from_be_bytes([s0, s1, s2, s3]) })
    }

    /// Returns whether this is the last frame of its header block.
    pub(super) fn ends_block(&self) -> bool {
        self.flags & END_HEADERS != 0
    }

    /// Parses the payload of a HEADERS frame; `None` when its padding or priority does not fit.
    pub(super) fn parse_payload<'a>(&self, payload: &'a [u8]) -> Option<HeadersPayload<'a>> {
        let (padding, rest) = match self.flags & PADDED {
            0 => (0, payload),
            _ => payload.split_first().map(|(length, rest)| (usize::from(*length), rest))?,
        };
        let (priority, rest) = match self.flags & PRIORITY {
            0 => (&[][..], rest),
            _ => rest.split_at_checked(PRIORITY_LENGTH)?,
        };
        let fragment = rest.get(..rest.len().checked_sub(padding)?)?;
        Some(HeadersPayload { is_end_stream: self.flags & END_STREAM != 0, priority, fragment })
    }
}

/// The payload of a HEADERS frame.
pub(super) struct HeadersPayload<'a> {
    pub is_end_stream: bool,
    /// Empty, or five bytes.
    pub priority: &'a [u8],
    pub fragment: &'a [u8],
}

/// Writes one header block as a HEADERS frame and, if it is long, CONTINUATION frames.
pub(super) fn write_block(
    out: &mut Vec<u8>,
    stream: u32,
    is_end_stream: bool,
    priority: &[u8],
    block: &[u8],
) {
    let first = block.len().min(MAX_FRAME_SIZE - priority.len());
    let (first, rest) = block.split_at(first);
    let mut flags = if is_end_stream { END_STREAM } else { 0 };
    flags |= if priority.is_empty() { 0 } else { PRIORITY };
    flags |= if rest.is_empty() { END_HEADERS } else { 0 };
    write_header(out, priority.len() + first.len(), 0x1, flags, stream);
    out.extend_from_slice(priority);
    out.extend_from_slice(first);
    let mut fragments = rest.chunks(MAX_FRAME_SIZE).peekable();
    while let Some(fragment) = fragments.next() {
        let flags = if fragments.peek().is_none() { END_HEADERS } else { 0 };
        write_header(out, fragment.len(), 0x9, flags, stream);
        out.extend_from_slice(fragment);
    }
}

fn write_header(out: &mut Vec<u8>, length: usize, frame_type: u8, flags: u8, stream: u32) {
    out.extend_from_slice(&(length as u32).to_be_bytes()[1..]);
    out.extend_from_slice(&[frame_type, flags]);
    out.extend_from_slice(&stream.to_be_bytes());
}
