//! The tower layers around both services. They see every call before its handler does.
//!
//! From the outside in: `audit` and `rejections` record how a call ends, `buffer` receives its whole message within
//! `call_limit`, `status_text` rewrites the statuses that tonic generates itself.

mod audit;
mod buffer;
mod call_limit;
mod method;
mod rejections;
mod status_text;

pub(super) use audit::{Audit, AuditContext, AuditLayer};
pub(super) use buffer::{Buffer, BufferLayer};
pub(super) use call_limit::max_calls;
pub(super) use rejections::{Handled, Rejections, RejectionsLayer};
pub(super) use status_text::{MESSAGE_LIMIT, StatusText, StatusTextLayer};
