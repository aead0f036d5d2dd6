//! In which form a z-page is asked for: Kubernetes' reading of the Accept header, for the two forms that we have.

use axum::http::{HeaderMap, header};
use mime::{Mime, STAR};

/// The group of Kubernetes' z-pages.
pub(super) const GROUP: &str = "config.k8s.io";
/// The current version of their structured form.
pub(super) const CURRENT: &str = "v1beta1";
/// The one before, of which Kubernetes warns.
const DEPRECATED: &str = "v1alpha1";

/// The form of an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Representation {
    /// Text for people.
    Text,
    /// An object of Kubernetes in JSON, in that version.
    Object(&'static str),
}

/// The form in which that kind is asked for; text if none is named. `None` if it is none of ours.
pub(super) fn form(headers: &HeaderMap, kind: &str) -> Option<Representation> {
    let accept = headers.get(header::ACCEPT).map_or("", |accept| accept.to_str().unwrap_or("unreadable"));
    if accept.trim().is_empty() {
        return Some(Representation::Text);
    }
    let mut ranges: Vec<Mime> = accept.split(',').filter_map(|range| range.trim().parse().ok()).collect();
    ranges.sort_by(|one, other| {
        let general = |range: &Mime| (range.type_() == STAR, range.subtype() == STAR);
        quality(other).total_cmp(&quality(one)).then(general(one).cmp(&general(other)))
    });
    ranges.iter().find_map(|range| of_range(range, kind))
}

fn quality(range: &Mime) -> f32 {
    range.get_param("q").map_or(1.0, |quality| quality.as_str().parse().unwrap_or(0.0))
}

/// An object only if it is named in full, and text only if none is.
fn of_range(range: &Mime, kind: &str) -> Option<Representation> {
    let covers = |top, sub| {
        (range.type_() == STAR || range.type_() == top) && (range.subtype() == STAR || range.subtype() == sub)
    };
    let param = |name| range.get_param(name).map(|value| value.as_str().to_owned());
    match (param("g").as_deref(), param("v").as_deref(), param("as").as_deref()) {
        (None, None, None) => covers(mime::TEXT, mime::PLAIN).then_some(Representation::Text),
        (Some(GROUP), Some(version), Some(asked))
            if asked == kind && covers(mime::APPLICATION, mime::JSON) =>
        {
            [CURRENT, DEPRECATED].into_iter().find(|known| *known == version).map(Representation::Object)
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked(accept: &str) -> Option<Representation> {
        let headers = HeaderMap::from_iter([(header::ACCEPT, accept.parse().unwrap())]);
        form(&headers, "Statusz")
    }

    fn object(version: &'static str) -> Option<Representation> {
        Some(Representation::Object(version))
    }

    #[test]
    fn text_is_the_default_and_what_a_browser_gets() {
        assert_eq!(form(&HeaderMap::new(), "Statusz"), Some(Representation::Text));
        for accept in ["", " ", "*/*", "text/*", "text/plain; charset=utf-8", "text/html,*/*;q=0.8"] {
            assert_eq!(asked(accept), Some(Representation::Text), "{accept:?}");
        }
    }

    #[test]
    fn an_object_is_to_be_named_in_full() {
        assert_eq!(asked("application/json;v=v1beta1;g=config.k8s.io;as=Statusz"), object("v1beta1"));
        assert_eq!(asked("application/json; as=Statusz; g=config.k8s.io; v=v1alpha1"), object("v1alpha1"));
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
            assert_eq!(asked(accept), None, "{accept:?}");
        }
    }

    #[test]
    fn the_better_quality_counts_and_then_the_closer_range() {
        let json = "application/json;v=v1beta1;g=config.k8s.io;as=Statusz";
        assert_eq!(asked(&format!("*/*,{json}")), object("v1beta1"));
        assert_eq!(asked(&format!("{json};q=0.5,text/plain;q=0.9")), Some(Representation::Text));
        assert_eq!(asked(&format!("text/plain;q=0.5,{json}")), object("v1beta1"));
    }
}
