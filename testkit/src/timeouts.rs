//! How long clients and tests wait.

use std::time::Duration;

/// kube-apiserver's default timeout of a KMS call.
pub const CALL_TIMEOUT: Duration = Duration::from_secs(3);
/// Timeout of everything that a test waits for; longer than anything here takes on a busy machine.
pub const TEST_TIMEOUT: Duration = Duration::from_secs(30);
