//! Takes a connection's bytes in whatever pieces they come, and gives them back with acceptable header blocks.

use tokio::io::ReadBuf;

use super::block::BlockReader;
use super::frame::{HEADER_LENGTH, Header, Kind, LONGEST_PAYLOAD, write_block};
use super::large::{LargeBlock, LargeBlocks};

/// Length of the client's connection preface (RFC 9113 §3.4).
const PREFACE_LENGTH: usize = 24;
/// The longest header block that is collected, over all its frames.
const LONGEST_BLOCK: usize = 64 * 1024;
/// The most frames that one header block may take.
const MOST_FRAMES: usize = 64;

/// Whether the header blocks are still being looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Verdict {
    /// No header block was seen yet.
    Open,
    /// The first authority was bad: every block is rewritten.
    Rewriting,
    /// Everything is handed on as it comes.
    HandingOn,
}

/// A header block whose frames are being collected.
#[derive(Default)]
struct Collected {
    stream: u32,
    end_stream: bool,
    priority: Vec<u8>,
    block: Vec<u8>,
    /// The frames as they came, in case they are to be handed on.
    raw: Vec<u8>,
    frames: usize,
}

/// The state of one connection.
pub(super) struct Rewriter {
    verdict: Verdict,
    reader: BlockReader,
    input: Vec<u8>,
    output: Vec<u8>,
    taken: usize,
    /// Bytes to hand on before the next frame's header: the preface, or the payload of another frame.
    hand_on: usize,
    collected: Option<Collected>,
    large: LargeBlocks,
    /// The place of the collected block among the large ones.
    place: LargeBlock,
}

impl Rewriter {
    /// The state of a new connection.
    pub(super) fn new(large: LargeBlocks) -> Self {
        Self {
            verdict: Verdict::Open,
            reader: BlockReader::default(),
            input: Vec::new(),
            output: Vec::new(),
            taken: 0,
            hand_on: PREFACE_LENGTH,
            collected: None,
            large,
            place: LargeBlock::default(),
        }
    }

    /// Moves finished bytes into `buf`; false when there are none.
    pub(super) fn take(&mut self, buf: &mut ReadBuf<'_>) -> bool {
        let ready = &self.output[self.taken..];
        let count = ready.len().min(buf.remaining());
        buf.put_slice(&ready[..count]);
        self.taken += count;
        if self.taken == self.output.len() {
            self.output.clear();
            self.taken = 0;
        }
        count > 0
    }

    /// Whether the connection needs no more attention.
    pub(super) fn is_done(&self) -> bool {
        self.verdict == Verdict::HandingOn && self.taken == self.output.len()
    }

    /// The connection has ended: what is pending is handed on.
    pub(super) fn finish(&mut self) {
        self.give_up();
    }

    /// The next bytes of the connection.
    pub(super) fn push(&mut self, bytes: &[u8]) {
        self.input.extend_from_slice(bytes);
        while self.verdict != Verdict::HandingOn && self.step() {}
        if self.verdict == Verdict::HandingOn {
            self.output.append(&mut self.input);
        }
    }

    /// One frame, or a part of a payload; false when more bytes are needed.
    fn step(&mut self) -> bool {
        if self.hand_on > 0 {
            let count = self.hand_on.min(self.input.len());
            self.output.extend(self.input.drain(..count));
            self.hand_on -= count;
            return count > 0;
        }
        let Some(header) = Header::read(&self.input) else { return false };
        match (header.kind, &self.collected) {
            (Kind::Other, None) => {
                self.hand_on = HEADER_LENGTH + header.length;
                true
            }
            (Kind::Headers, None) | (Kind::Continuation, Some(_)) => self.collect(header),
            _ => self.give_up(), // a block is interrupted, or continued without a beginning
        }
    }

    fn collect(&mut self, header: Header) -> bool {
        if header.length > LONGEST_PAYLOAD {
            return self.give_up();
        }
        let before = self.collected.as_ref().map_or(0, |collected| collected.block.len());
        if !self.large.admit(&mut self.place, before + header.length) {
            return self.give_up();
        }
        let end = HEADER_LENGTH + header.length;
        if self.input.len() < end {
            return false;
        }
        let frame: Vec<u8> = self.input.drain(..end).collect();
        if !self.append(header, &frame) {
            return self.give_up();
        }
        if header.ends_block() {
            self.end_block();
            self.place = LargeBlock::default();
        }
        true
    }

    /// Adds one frame to the block; false when it does not fit. Its bytes are kept in either case.
    fn append(&mut self, header: Header, frame: &[u8]) -> bool {
        let collected = self.collected.get_or_insert_default();
        collected.raw.extend_from_slice(frame);
        collected.frames += 1;
        let payload = &frame[HEADER_LENGTH..];
        if header.kind == Kind::Continuation {
            collected.block.extend_from_slice(payload);
            let bounded = collected.block.len() <= LONGEST_BLOCK && collected.frames <= MOST_FRAMES;
            return header.stream == collected.stream && bounded;
        }
        let Some(opened) = header.open(payload) else { return false };
        collected.stream = header.stream;
        collected.end_stream = opened.end_stream;
        collected.priority.extend_from_slice(opened.priority);
        collected.block.extend_from_slice(opened.fragment);
        true
    }

    fn end_block(&mut self) {
        let Some(collected) = self.collected.take() else { return };
        match self.reader.read(&collected.block) {
            Some(block) if self.verdict == Verdict::Open && block.is_acceptable() => {
                self.hand_on_from(collected)
            }
            Some(block) => {
                self.verdict = Verdict::Rewriting;
                let Collected { stream, end_stream, priority, .. } = collected;
                write_block(&mut self.output, stream, end_stream, &priority, &block.rewritten());
            }
            None => self.hand_on_from(collected),
        }
    }

    fn hand_on_from(&mut self, collected: Collected) {
        self.output.extend_from_slice(&collected.raw);
        self.verdict = Verdict::HandingOn;
    }

    /// Hands on everything from the collected block on. If blocks were rewritten before, h2's table is empty, so a
    /// reference to an older entry is an error there and never another header.
    fn give_up(&mut self) -> bool {
        let collected = self.collected.take().unwrap_or_default();
        self.place = LargeBlock::default();
        self.hand_on_from(collected);
        self.output.append(&mut self.input);
        false
    }
}
