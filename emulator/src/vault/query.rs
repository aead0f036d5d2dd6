//! What the query of a URL says.

use crate::reply::VaultError;

/// The query of a call, whose API version is known.
#[derive(Clone, Copy)]
pub(super) struct Query<'a> {
    text: &'a str,
    pub(super) api_version: &'a str,
}

/// Which part of a list to give.
pub(super) struct Page {
    pub(super) skip: usize,
    pub(super) size: usize,
}

impl<'a> Query<'a> {
    /// # Errors
    /// There is no API version, which has no default, or it is unknown. The text for the former is by analogy.
    pub(super) fn read(text: &'a str) -> Result<Self, VaultError> {
        match parameter(text, "api-version").unwrap_or_default() {
            "" => Err(VaultError::bad_parameter("The api-version query parameter is required.")),
            api_version if is_known(api_version) => Ok(Self { text, api_version }),
            other => Err(VaultError::bad_parameter(format!(
                "The specified version ({other}) is not recognized. \
                 Consider using the latest supported version (2025-07-01)."
            ))),
        }
    }

    /// # Errors
    /// A page has from 1 to 25 lines.
    pub(super) fn page(&self) -> Result<Page, VaultError> {
        let size = parameter(self.text, "maxresults").map_or(Ok(25), str::parse).unwrap_or(0);
        let token = parameter(self.text, "$skiptoken").or_else(|| parameter(self.text, "%24skiptoken"));
        let skip = token.and_then(|token| token.parse().ok()).unwrap_or(0);
        match size {
            1..=25 => Ok(Page { skip, size }),
            _ => Err(VaultError::bad_parameter("maxresults must be between 1 and 25.\r\n")),
        }
    }
}

fn parameter<'a>(query: &'a str, name: &str) -> Option<&'a str> {
    let pairs = query.split('&').filter_map(|pair| pair.split_once('='));
    pairs.into_iter().find(|(known, _)| *known == name).map(|(_, value)| value)
}

fn is_known(version: &str) -> bool {
    match version.strip_prefix("7.") {
        Some(minor) => is_known_minor(minor),
        None => matches!(version, "2015-06-01" | "2016-10-01" | "2025-07-01" | "2026-03-01-preview"),
    }
}

/// 0 to 6, each with `-preview` or `-preview.n` if there is more.
fn is_known_minor(minor: &str) -> bool {
    let (number, stage) = minor.split_once('-').unwrap_or((minor, "preview"));
    let known = matches!(number.as_bytes(), [b'0'..=b'6']);
    let numbered = |stage: &str| {
        let digits = stage.strip_prefix("preview.").unwrap_or_default();
        !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit())
    };
    known && (stage == "preview" || numbered(stage))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn api_versions_are_those_of_azure_and_no_others() {
        for version in
            ["2015-06-01", "2016-10-01", "7.0", "7.6", "7.3-preview", "7.6-preview.2", "2025-07-01"]
        {
            assert!(is_known(version), "{version}");
        }
        for version in ["7", "7.", "7.7", "7.1xyz", "7.10", "7.1-", "7.1-preview.", "7.1-preview.x", "2025"] {
            assert!(!is_known(version), "{version}");
        }
    }
}
