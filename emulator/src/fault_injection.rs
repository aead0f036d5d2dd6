//! Plays one request to a service under the faults that are in force, and by the services' clock.

use std::future::Future;

use axum::body::Body;
use axum::http::{HeaderValue, Response, header};

use crate::faults::{BodyFault, Outcome, Service};
use crate::reply;
use crate::server::{Answer, Reset};
use crate::state::State;

/// Gives what `serve` answers, or the error of the service (`fail`) with the status that was asked for.
pub(crate) async fn play(
    state: &State,
    service: Service,
    fail: impl Fn(u16) -> Response<Body>,
    serve: impl Future<Output = Response<Body>>,
) -> Answer {
    let mut response = respond(state, service, fail, serve).await?;
    state.clock.date(&mut response);
    Ok(response)
}

async fn respond(
    state: &State,
    service: Service,
    fail: impl Fn(u16) -> Response<Body>,
    serve: impl Future<Output = Response<Body>>,
) -> Answer {
    match state.faults.outcome(service).await {
        Outcome::Reset => Err(Reset),
        Outcome::Throttle(retry_after) => {
            state.stats.throttled();
            Ok(retry_later(fail(429), retry_after))
        }
        Outcome::Fail(status) => Ok(spoil(state.faults.of(service).body, fail(status)).await),
        Outcome::Serve => {
            let response = serve.await;
            let fault = state.faults.of(service).body.filter(|_| response.status().is_success());
            Ok(spoil(fault, response).await)
        }
    }
}

fn retry_later(mut response: Response<Body>, retry_after: Option<u64>) -> Response<Body> {
    if let Some(seconds) = retry_after {
        response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from(seconds));
    }
    response
}

async fn spoil(fault: Option<BodyFault>, response: Response<Body>) -> Response<Body> {
    let Some(fault) = fault else { return response };
    let status = response.status();
    let body = reply::body(response.into_body()).await.unwrap_or_default();
    match fault {
        // what a gateway says: HTTP's own name of the status
        BodyFault::Html => reply::page(status.as_u16(), &status.to_string()),
        BodyFault::Truncated => {
            let half = String::from_utf8_lossy(&body[..body.len() / 2]).into_owned();
            reply::text(status.as_u16(), reply::JSON, half)
        }
    }
}
