//! The rewriter: takes a connection's bytes in pieces of any size, and returns them with header blocks that h2 accepts.

use tokio::io::ReadBuf;

use super::block::BlockDecoder;
use super::frame::{FrameType, HEADER_LENGTH, Header, MAX_FRAME_SIZE, write_block};
use super::large::{LargeBlockPermit, LargeBlocks};
use crate::grpc::transport::PREFACE_LENGTH;

/// The longest header block that is collected, in bytes over all its frames.
const MAX_BLOCK_LENGTH: usize = 64 * 1024;
/// The number of frames that one header block may have.
const MAX_FRAMES: usize = 64;

/// The treatment of a connection's header blocks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Mode {
    /// The first header block has not ended yet.
    Undecided,
    /// The first authority was refused: every block is rewritten.
    Rewrite,
    /// All bytes are passed through.
    PassThrough,
}

/// A header block whose frames are being collected.
#[derive(Default)]
struct Collected {
    stream: u32,
    is_end_stream: bool,
    priority: Vec<u8>,
    block: Vec<u8>,
    /// The frames as received, in case they are to be passed through.
    raw: Vec<u8>,
    frames: usize,
}

/// The rewriter of one connection.
pub(super) struct Rewriter {
    mode: Mode,
    decoder: BlockDecoder,
    input: Vec<u8>,
    output: Vec<u8>,
    /// Bytes of the output that were read.
    consumed: usize,
    /// Bytes to pass through before the next frame's header: the preface, or a frame without a header block.
    bytes_to_pass_through: usize,
    collected: Option<Collected>,
    large_blocks: LargeBlocks,
    /// The permit of the collected block.
    permit: LargeBlockPermit,
}

impl Rewriter {
    /// Makes the rewriter of a new connection.
    pub(super) fn new(large_blocks: LargeBlocks) -> Self {
        Self {
            mode: Mode::Undecided,
            decoder: BlockDecoder::default(),
            input: Vec::new(),
            output: Vec::new(),
            consumed: 0,
            bytes_to_pass_through: PREFACE_LENGTH,
            collected: None,
            large_blocks,
            permit: LargeBlockPermit::default(),
        }
    }

    /// Moves output into `buf`; returns false when there is none.
    pub(super) fn read(&mut self, buf: &mut ReadBuf<'_>) -> bool {
        let ready = &self.output[self.consumed..];
        let count = ready.len().min(buf.remaining());
        buf.put_slice(&ready[..count]);
        self.consumed += count;
        if self.consumed == self.output.len() {
            self.output.clear();
            self.consumed = 0;
        }
        count > 0
    }

    /// Returns whether everything that follows is passed through, and all output was read.
    pub(super) fn is_done(&self) -> bool {
        self.mode == Mode::PassThrough && self.consumed == self.output.len()
    }

    /// Ends the connection: passes through the bytes that are pending.
    pub(super) fn finish(&mut self) {
        self.stop_rewriting();
    }

    /// Adds the next bytes of the connection.
    pub(super) fn push(&mut self, bytes: &[u8]) {
        self.input.extend_from_slice(bytes);
        while self.mode != Mode::PassThrough && self.step() {}
        if self.mode == Mode::PassThrough {
            self.output.append(&mut self.input);
        }
    }

    /// Processes one frame, or a part of a payload; returns false when more bytes are needed.
    fn step(&mut self) -> bool {
        if self.bytes_to_pass_through > 0 {
            let count = self.bytes_to_pass_through.min(self.input.len());
            self.output.extend(self.input.drain(..count));
            self.bytes_to_pass_through -= count;
            return count > 0;
        }
        let Some(header) = Header::parse(&self.input) else { return false };
        match (header.frame_type, &self.collected) {
            (FrameType::Other, None) => {
                self.bytes_to_pass_through = HEADER_LENGTH + header.length;
                true
            }
            (FrameType::Headers, None) | (FrameType::Continuation, Some(_)) => self.collect(header),
            _ => self.stop_rewriting(), // a block is interrupted, or continued without a start
        }
    }

    fn collect(&mut self, header: Header) -> bool {
        if header.length > MAX_FRAME_SIZE {
            return self.stop_rewriting();
        }
        let before = self.collected.as_ref().map_or(0, |collected| collected.block.len());
        if !self.large_blocks.admit(&mut self.permit, before + header.length) {
            return self.stop_rewriting();
        }
        let end = HEADER_LENGTH + header.length;
        if self.input.len() < end {
            return false;
        }
        let frame: Vec<u8> = self.input.drain(..end).collect();
        if !self.append(header, &frame) {
            return self.stop_rewriting();
        }
        if header.ends_block() {
            self.end_block();
            self.permit = LargeBlockPermit::default();
        }
        true
    }

    /// Adds one frame to the block; returns false when it does not fit. Its bytes are kept in either case.
    fn append(&mut self, header: Header, frame: &[u8]) -> bool {
        let collected = self.collected.get_or_insert_default();
        collected.raw.extend_from_slice(frame);
        collected.frames += 1;
        let payload = &frame[HEADER_LENGTH..];
        if header.frame_type == FrameType::Continuation {
            collected.block.extend_from_slice(payload);
            let is_within_limits =
                collected.block.len() <= MAX_BLOCK_LENGTH && collected.frames <= MAX_FRAMES;
            return header.stream == collected.stream && is_within_limits;
        }
        let Some(headers) = header.parse_payload(payload) else { return false };
        collected.stream = header.stream;
        collected.is_end_stream = headers.is_end_stream;
        collected.priority.extend_from_slice(headers.priority);
        collected.block.extend_from_slice(headers.fragment);
        true
    }

    fn end_block(&mut self) {
        let Some(collected) = self.collected.take() else { return };
        match self.decoder.decode(&collected.block) {
            Some(block) if self.mode == Mode::Undecided && block.is_acceptable() => {
                self.pass_through_from(collected)
            }
            Some(block) => {
                self.mode = Mode::Rewrite;
                let Collected { stream, is_end_stream, priority, .. } = collected;
                let block = block.encode_with_localhost();
                write_block(&mut self.output, stream, is_end_stream, &priority, &block);
            }
            None => self.pass_through_from(collected),
        }
    }

    fn pass_through_from(&mut self, collected: Collected) {
        self.output.extend_from_slice(&collected.raw);
        self.mode = Mode::PassThrough;
    }

    /// Passes through everything from the collected block on; returns false. If blocks were rewritten before, h2's
    /// dynamic table is empty, so a reference to an older entry is an error there and never another header.
    fn stop_rewriting(&mut self) -> bool {
        let collected = self.collected.take().unwrap_or_default();
        self.permit = LargeBlockPermit::default();
        self.pass_through_from(collected);
        self.output.append(&mut self.input);
        false
    }
}
