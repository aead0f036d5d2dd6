//! The query of a URL: API version and page.

use crate::response::VaultError;

/// The query of a request, whose API version is supported.
#[derive(Clone, Copy)]
pub(super) struct Query<'a> {
    /// The whole query.
    text: &'a str,
    /// The API version.
    pub(super) api_version: &'a str,
}

/// The part of a list that a response has.
pub(super) struct Page {
    /// The number of items before it.
    pub(super) skip: usize,
    /// The largest number of items in it.
    pub(super) size: usize,
}

impl<'a> Query<'a> {
    /// Reads the API version, which has no default.
    ///
    /// # Errors
    /// There is none, or it is unknown. The text for the former is by analogy.
    pub(super) fn parse(text: &'a str) -> Result<Self, VaultError> {
        match parameter(text, "api-version").unwrap_or_default() {
            "" => Err(VaultError::bad_parameter("The api-version query parameter is required.")),
            api_version if is_known(api_version) => Ok(Self { text, api_version }),
            other => Err(VaultError::bad_parameter(format!(
                "The specified version ({other}) is not recognized. \
                 Consider using the latest supported version (2025-07-01)."
            ))),
        }
    }

    /// Reads `maxresults` (25 by default) and `$skiptoken`.
    ///
    /// # Errors
    /// `maxresults` is not from 1 to 25.
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

/// Returns the value of the first parameter of that name, as it is encoded.
fn parameter<'a>(query: &'a str, name: &str) -> Option<&'a str> {
    let pairs = query.split('&').filter_map(|pair| pair.split_once('='));
    pairs.into_iter().find(|(known, _)| *known == name).map(|(_, value)| value)
}

/// Reports whether Azure has that API version.
fn is_known(version: &str) -> bool {
    match version.strip_prefix("7.") {
        Some(minor) => is_known_minor(minor),
        None => matches!(version, "2015-06-01" | "2016-10-01" | "2025-07-01" | "2026-03-01-preview"),
    }
}

/// Reports whether the text after `7.` is 0 to 6, alone or with `-preview` or `-preview.n`.
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
