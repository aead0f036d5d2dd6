//! The limit on large header blocks that are collected at a time, over all connections.

use std::sync::Arc;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// The longest block in bytes that is not large: a KMS client's is below 1 KiB.
const MAX_SMALL_BLOCK: usize = 4 * 1024;
/// Large blocks at a time; more are passed through, for h2 to check.
const MAX_LARGE_BLOCKS: usize = 64;

/// The permits of large blocks. Clones share them.
#[derive(Clone)]
pub(crate) struct LargeBlocks(Arc<Semaphore>);

/// The permit of one block, once it is large.
#[derive(Default)]
pub(super) struct LargeBlockPermit(Option<OwnedSemaphorePermit>);

impl Default for LargeBlocks {
    fn default() -> Self {
        Self(Arc::new(Semaphore::new(MAX_LARGE_BLOCKS)))
    }
}

impl LargeBlocks {
    /// Returns whether the block may have that length in bytes. Acquires its permit if it is large.
    pub(super) fn admit(&self, permit: &mut LargeBlockPermit, length: usize) -> bool {
        if length > MAX_SMALL_BLOCK && permit.0.is_none() {
            permit.0 = self.0.clone().try_acquire_owned().ok();
        }
        length <= MAX_SMALL_BLOCK || permit.0.is_some()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_so_many_blocks_may_be_large_and_any_number_small() {
        let (blocks, mut held) = (LargeBlocks::default(), Vec::new());
        for count in 0..=MAX_LARGE_BLOCKS {
            let mut permit = LargeBlockPermit::default();
            assert!(blocks.admit(&mut permit, MAX_SMALL_BLOCK));
            assert_eq!(blocks.admit(&mut permit, MAX_SMALL_BLOCK + 1), count < MAX_LARGE_BLOCKS);
            held.push(permit);
        }
        held.clear();
        assert!(blocks.admit(&mut LargeBlockPermit::default(), MAX_SMALL_BLOCK + 1));
    }
}
