//! Kubernetes' health endpoints, byte for byte: `?verbose`, `?exclude=`, one path per check. Only `?verbose` differs:
//! it includes the reason of a failure, which holds nothing confidential.

use axum::http::StatusCode;

use super::checks::CheckResult;
use crate::kms::{Code, KmsError};

/// The query parameters that these endpoints know.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Query {
    is_verbose: bool,
    excluded: Vec<String>,
}

impl Query {
    /// Parses `verbose` and every `exclude=`; ignores other parameters.
    pub(super) fn parse(query: Option<&str>) -> Self {
        let mut parsed = Self::default();
        for pair in query.unwrap_or_default().split('&') {
            match pair.split_once('=').unwrap_or((pair, "")) {
                ("verbose", _) => parsed.is_verbose = true,
                ("exclude", name) => parsed.excluded.push(name.to_owned()),
                _ => {}
            }
        }
        parsed
    }
}

/// Returns the response of an endpoint (`healthz`, `livez` or `readyz`) for the results of its checks.
pub(super) fn response(endpoint: &str, checks: &[CheckResult], query: &Query) -> (StatusCode, String) {
    let mut lines: Vec<String> = checks.iter().map(|check| line(check, query)).collect();
    let failed: Vec<&CheckResult> =
        checks.iter().filter(|check| check.1.is_err() && !is_excluded(check, query)).collect();
    if let Some(warning) = unknown_exclusions(checks, query) {
        lines.push(warning);
    }
    for (name, outcome) in &failed {
        if let Err(reason) = outcome {
            tracing::info!(endpoint, check = name, err = %reason, "Health check failed");
        }
    }
    let lines = lines.join("\n");
    if !failed.is_empty() {
        (StatusCode::INTERNAL_SERVER_ERROR, format!("{lines}\n{endpoint} check failed\n"))
    } else if query.is_verbose {
        (StatusCode::OK, format!("{lines}\n{endpoint} check passed\n"))
    } else {
        (StatusCode::OK, "ok".into())
    }
}

/// Returns the response of one check's own path.
///
/// # Errors
/// `NotFound` when there is no such check.
pub(super) fn single_response(checks: &[CheckResult], name: &str) -> Result<(StatusCode, String), KmsError> {
    let found = checks.iter().find(|(known, _)| *known == name);
    let (_, outcome) = found.ok_or_else(|| KmsError::new(Code::NotFound, "404 page not found"))?;
    Ok(match outcome {
        Ok(()) => (StatusCode::OK, "ok".into()),
        Err(reason) => (StatusCode::INTERNAL_SERVER_ERROR, format!("internal server error: {reason}\n")),
    })
}

fn is_excluded((name, _): &CheckResult, query: &Query) -> bool {
    query.excluded.iter().any(|excluded| excluded == name)
}

fn line(check: &CheckResult, query: &Query) -> String {
    let (name, outcome) = check;
    match outcome {
        _ if is_excluded(check, query) => format!("[+]{name} excluded: ok"),
        Ok(()) => format!("[+]{name} ok"),
        Err(reason) if query.is_verbose => format!("[-]{name} failed: {reason}"),
        Err(_) => format!("[-]{name} failed: reason withheld"),
    }
}

/// Returns the warning of Kubernetes for excluded checks that do not exist.
fn unknown_exclusions(checks: &[CheckResult], query: &Query) -> Option<String> {
    let is_known = |name: &String| checks.iter().any(|(check, _)| check == name);
    let unknown: Vec<String> =
        query.excluded.iter().filter(|name| !is_known(name)).map(|name| format!("{name:?}")).collect();
    let names = unknown.join(",");
    (!unknown.is_empty())
        .then(|| format!("warn: some health checks cannot be excluded: no matches for {names}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn checks() -> Vec<CheckResult> {
        vec![("actors", Ok(())), ("token", Err("Entra ID cannot be reached".into()))]
    }

    #[test]
    fn a_failure_is_500_and_verbose_and_withholds_its_reason() {
        let expected = "[+]actors ok\n[-]token failed: reason withheld\nhealthz check failed\n";
        let response = response("healthz", &checks(), &Query::default());
        assert_eq!(response, (StatusCode::INTERNAL_SERVER_ERROR, expected.into()));
    }

    #[test]
    fn a_verbose_failure_says_why() {
        let verbose = Query::parse(Some("verbose"));
        let body = response("healthz", &checks(), &verbose).1;
        assert!(body.contains("[-]token failed: Entra ID cannot be reached\n"), "{body}");
    }

    #[test]
    fn health_is_ok_without_a_newline_or_verbose_when_asked() {
        let passing = &checks()[..1];
        assert_eq!(response("livez", passing, &Query::default()), (StatusCode::OK, "ok".into()));
        let verbose = Query::parse(Some("verbose"));
        assert_eq!(response("livez", passing, &verbose).1, "[+]actors ok\nlivez check passed\n");
    }

    #[test]
    fn an_excluded_check_does_not_count_and_an_unknown_one_is_warned_of() {
        let query = Query::parse(Some("verbose=1&exclude=token&exclude=nonsense"));
        let (status, body) = response("readyz", &checks(), &query);
        assert_eq!(status, StatusCode::OK);
        assert!(body.contains("[+]token excluded: ok\n"), "{body}");
        assert!(
            body.contains("warn: some health checks cannot be excluded: no matches for \"nonsense\"\n"),
            "{body}"
        );
    }

    #[test]
    fn a_check_has_a_path_of_its_own() {
        assert_eq!(single_response(&checks(), "actors"), Ok((StatusCode::OK, "ok".into())));
        assert!(single_response(&checks(), "token").unwrap().1.starts_with("internal server error: "));
        assert_eq!(single_response(&checks(), "nonsense").unwrap_err().code, Code::NotFound);
    }
}
