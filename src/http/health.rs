//! Kubernetes' health endpoints, byte for byte: `?verbose`, `?exclude=`, one path a check. Only `?verbose` says more
//! than theirs: the reason of a failure, which is fit for everybody to see.

use axum::http::StatusCode;

use super::checks::Outcome;
use crate::kms::{Code, KmsError};

/// The query parameters that these endpoints know.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Query {
    verbose: bool,
    exclude: Vec<String>,
}

impl Query {
    /// Reads `verbose` and every `exclude=`; ignores the rest.
    pub(super) fn parse(query: Option<&str>) -> Self {
        let mut parsed = Self::default();
        for pair in query.unwrap_or_default().split('&') {
            match pair.split_once('=').unwrap_or((pair, "")) {
                ("verbose", _) => parsed.verbose = true,
                ("exclude", name) => parsed.exclude.push(name.to_owned()),
                _ => {}
            }
        }
        parsed
    }
}

/// The answer of an endpoint (`healthz`, `livez` or `readyz`) to its checks.
pub(super) fn answer(endpoint: &str, checks: &[Outcome], query: &Query) -> (StatusCode, String) {
    let mut lines: Vec<String> = checks.iter().map(|check| line(check, query)).collect();
    let failed: Vec<&Outcome> =
        checks.iter().filter(|check| check.1.is_err() && !excluded(check, query)).collect();
    if let Some(warning) = unknown(checks, query) {
        lines.push(warning);
    }
    for (name, outcome) in &failed {
        if let Err(reason) = outcome {
            tracing::info!(endpoint, check = name, err = %reason, "Health check failed");
        }
    }
    match (failed.is_empty(), query.verbose) {
        (true, false) => (StatusCode::OK, "ok".into()),
        (true, true) => (StatusCode::OK, format!("{}\n{endpoint} check passed\n", lines.join("\n"))),
        (false, _) => {
            (StatusCode::INTERNAL_SERVER_ERROR, format!("{}\n{endpoint} check failed\n", lines.join("\n")))
        }
    }
}

/// The answer of one check's own path.
///
/// # Errors
/// There is no such check.
pub(super) fn single(checks: &[Outcome], name: &str) -> Result<(StatusCode, String), KmsError> {
    let found = checks.iter().find(|(known, _)| *known == name);
    let (_, outcome) = found.ok_or_else(|| KmsError::new(Code::NotFound, "404 page not found"))?;
    Ok(match outcome {
        Ok(()) => (StatusCode::OK, "ok".into()),
        Err(reason) => (StatusCode::INTERNAL_SERVER_ERROR, format!("internal server error: {reason}\n")),
    })
}

fn excluded((name, _): &Outcome, query: &Query) -> bool {
    query.exclude.iter().any(|excluded| excluded == name)
}

fn line(check: &Outcome, query: &Query) -> String {
    let (name, outcome) = check;
    match outcome {
        _ if excluded(check, query) => format!("[+]{name} excluded: ok"),
        Ok(()) => format!("[+]{name} ok"),
        Err(reason) if query.verbose => format!("[-]{name} failed: {reason}"),
        Err(_) => format!("[-]{name} failed: reason withheld"),
    }
}

fn unknown(checks: &[Outcome], query: &Query) -> Option<String> {
    let known = |name: &String| checks.iter().any(|(check, _)| check == name);
    let unknown: Vec<String> =
        query.exclude.iter().filter(|name| !known(name)).map(|name| format!("{name:?}")).collect();
    let names = unknown.join(",");
    (!unknown.is_empty())
        .then(|| format!("warn: some health checks cannot be excluded: no matches for {names}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn checks() -> Vec<Outcome> {
        vec![("actors", Ok(())), ("token", Err("Entra ID cannot be reached".into()))]
    }

    #[test]
    fn a_failure_is_500_and_verbose_and_withholds_its_reason() {
        let expected = "[+]actors ok\n[-]token failed: reason withheld\nhealthz check failed\n";
        let answer = answer("healthz", &checks(), &Query::default());
        assert_eq!(answer, (StatusCode::INTERNAL_SERVER_ERROR, expected.into()));
    }

    #[test]
    fn a_verbose_failure_says_why() {
        let verbose = Query::parse(Some("verbose"));
        let body = answer("healthz", &checks(), &verbose).1;
        assert!(body.contains("[-]token failed: Entra ID cannot be reached\n"), "{body}");
    }

    #[test]
    fn health_is_ok_without_a_newline_or_verbose_when_asked() {
        let passing = &checks()[..1];
        assert_eq!(answer("livez", passing, &Query::default()), (StatusCode::OK, "ok".into()));
        let verbose = Query::parse(Some("verbose"));
        assert_eq!(answer("livez", passing, &verbose).1, "[+]actors ok\nlivez check passed\n");
    }

    #[test]
    fn an_excluded_check_does_not_count_and_an_unknown_one_is_warned_of() {
        let query = Query::parse(Some("verbose=1&exclude=token&exclude=nonsense"));
        let (status, body) = answer("readyz", &checks(), &query);
        assert_eq!(status, StatusCode::OK);
        assert!(body.contains("[+]token excluded: ok\n"), "{body}");
        assert!(
            body.contains("warn: some health checks cannot be excluded: no matches for \"nonsense\"\n"),
            "{body}"
        );
    }

    #[test]
    fn a_check_has_a_path_of_its_own() {
        assert_eq!(single(&checks(), "actors"), Ok((StatusCode::OK, "ok".into())));
        assert!(single(&checks(), "token").unwrap().1.starts_with("internal server error: "));
        assert_eq!(single(&checks(), "nonsense").unwrap_err().code, Code::NotFound);
    }
}
