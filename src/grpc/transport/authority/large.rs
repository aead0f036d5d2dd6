//! How many large header blocks are collected at a time, over all connections.

use std::sync::Arc;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// A block of up to this length is not large: a KMS client's is below 1 KiB.
const SMALL_BLOCK: usize = 4 * 1024;
/// Large blocks at a time; what comes beyond is handed on, for h2 to judge.
const MOST_LARGE: usize = 64;

/// The places of large blocks.
#[derive(Clone)]
pub(crate) struct LargeBlocks(Arc<Semaphore>);

/// The place of one large block, once it has one.
#[derive(Default)]
pub(super) struct LargeBlock(Option<OwnedSemaphorePermit>);

impl Default for LargeBlocks {
    fn default() -> Self {
        Self(Arc::new(Semaphore::new(MOST_LARGE)))
    }
}

impl LargeBlocks {
    /// Whether that block may be so long.
    pub(super) fn admit(&self, block: &mut LargeBlock, length: usize) -> bool {
        if length > SMALL_BLOCK && block.0.is_none() {
            block.0 = self.0.clone().try_acquire_owned().ok();
        }
        length <= SMALL_BLOCK || block.0.is_some()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_so_many_blocks_may_be_large_and_any_number_small() {
        let (places, mut held) = (LargeBlocks::default(), Vec::new());
        for count in 0..=MOST_LARGE {
            let mut block = LargeBlock::default();
            assert!(places.admit(&mut block, SMALL_BLOCK));
            assert_eq!(places.admit(&mut block, SMALL_BLOCK + 1), count < MOST_LARGE);
            held.push(block);
        }
        held.clear();
        assert!(places.admit(&mut LargeBlock::default(), SMALL_BLOCK + 1));
    }
}
