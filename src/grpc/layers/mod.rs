//! The tower layers around both services: they see calls that no handler has yet.
//!
//! From the outside in: `audit` and `rejections` follow a call to its end, `buffer` takes its whole message within
//! `call_limit`, `status_text` words the statuses that tonic makes by itself.

mod audit;
mod buffer;
mod call_limit;
mod method;
mod rejections;
mod status_text;

pub(super) use audit::{Audit, AuditContext, AuditLayer};
pub(super) use buffer::{Buffer, BufferLayer};
pub(super) use call_limit::calls_in_flight;
pub(super) use rejections::{Handled, Rejections, RejectionsLayer};
pub(super) use status_text::{MESSAGE_LIMIT, StatusText, StatusTextLayer};
