//! Content negotiation for the z-pages, as Kubernetes reads the Accept header, for the two representations we have.

use axum::http::{HeaderMap, header};
use mime::{Mime, STAR};

/// The API group of Kubernetes' z-pages.
pub(super) const GROUP: &str = "config.k8s.io";
/// The current version of their objects.
pub(super) const CURRENT_VERSION: &str = "v1beta1";
/// The previous version, for which Kubernetes returns a warning.
const DEPRECATED_VERSION: &str = "v1alpha1";

/// The representation of a z-page in a response.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Representation {
    /// Plain text.
    Text,
    /// A Kubernetes object in JSON, of that API version.
    Object(&'static str),
}

/// Negotiates the representation of that kind from the Accept header; text if there is none. Returns `None` if the
/// client accepts neither.
pub(super) fn negotiate(headers: &HeaderMap, kind: &str) -> Option<Representation> {
    let accept = headers.get(header::ACCEPT).map_or("", |accept| accept.to_str().unwrap_or("unreadable"));
    if accept.trim().is_empty() {
        return Some(Representation::Text);
    }
    let mut ranges: Vec<Mime> = accept.split(',').filter_map(|range| range.trim().parse().ok()).collect();
    ranges.sort_by(|one, other| {
        let wildcards = |range: &Mime| (range.type_() == STAR, range.subtype() == STAR);
        quality(other).total_cmp(&quality(one)).then(wildcards(one).cmp(&wildcards(other)))
    });
    ranges.iter().find_map(|range| representation(range, kind))
}

/// Returns the quality value of a media range (RFC 9110 §12.4.2).
fn quality(range: &Mime) -> f32 {
    range.get_param("q").map_or(1.0, |quality| quality.as_str().parse().unwrap_or(0.0))
}

/// Returns the representation that a media range accepts: an object only if it has all parameters of one, and text only
/// if it has none.
fn representation(range: &Mime, kind: &str) -> Option<Representation> {
    let covers = |top, sub| {
        (range.type_() == STAR || range.type_() == top) && (range.subtype() == STAR || range.subtype() == sub)
    };
    let param = |name| range.get_param(name).map(|value| value.as_str().to_owned());
    match (param("g").as_deref(), param("v").as_deref(), param("as").as_deref()) {
        (None, None, None) => covers(mime::TEXT, mime::PLAIN).then_some(Representation::Text),
        (Some(GROUP), Some(version), Some(object))
            if object == kind && covers(mime::APPLICATION, mime::JSON) =>
        {
            [CURRENT_VERSION, DEPRECATED_VERSION]
                .into_iter()
                .find(|known| *known == version)
                .map(Representation::Object)
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn negotiated(accept: &str) -> Option<Representation> {
        let headers = HeaderMap::from_iter([(header::ACCEPT, accept.parse().unwrap())]);
        negotiate(&headers, "Statusz")
    }

    fn object(version: &'static str) -> Option<Representation> {
        Some(Representation::Object(version))
    }

    #[test]
    fn text_is_the_default_and_what_a_browser_gets() {
        assert_eq!(negotiate(&HeaderMap::new(), "Statusz"), Some(Representation::Text));
        for accept in ["", " ", "*/*", "text/*", "text/plain; charset=utf-8", "text/html,*/*;q=0.8"] {
            assert_eq!(negotiated(accept), Some(Representation::Text), "{accept:?}");
        }
    }

    #[test]
    fn an_object_is_to_be_named_in_full() {
        assert_eq!(negotiated("application/json;v=v1beta1;g=config.k8s.io;as=Statusz"), object("v1beta1"));
        assert_eq!(
            negotiated("application/json; as=Statusz; g=config.k8s.io; v=v1alpha1"),
            object("v1alpha1")
        );
        for accept in [
            "application/json",
            "application/json;as=Statusz",
            "application/json;v=v1beta1;g=config.k8s.io;as=Flagz",
            "application/json;v=v1beta1;g=config.k8s.io;as=statusz",
            "application/json;v=v1;g=config.k8s.io;as=Statusz",
            "application/json;v=v1beta1;g=apps;as=Statusz",
            "text/plain;v=v1beta1;g=config.k8s.io;as=Statusz",
            "application/yaml;v=v1beta1;g=config.k8s.io;as=Statusz",
            "nonsense",
        ] {
            assert_eq!(negotiated(accept), None, "{accept:?}");
        }
    }

    #[test]
    fn the_better_quality_counts_and_then_the_closer_range() {
        let json = "application/json;v=v1beta1;g=config.k8s.io;as=Statusz";
        assert_eq!(negotiated(&format!("*/*,{json}")), object("v1beta1"));
        assert_eq!(negotiated(&format!("{json};q=0.5,text/plain;q=0.9")), Some(Representation::Text));
        assert_eq!(negotiated(&format!("text/plain;q=0.5,{json}")), object("v1beta1"));
    }
}
