//! Variables of the environment that libraries read by themselves, and ignore silently when they are wrong. Their values
//! may hold passwords, and are never repeated.

use hyper_util::client::proxy::matcher::Matcher;

use super::access::Env;

/// The variables of proxies, each in the order in which the HTTP client looks for it; the first that is set counts, empty
/// or not.
const PROXIES: [[&str; 2]; 2] = [["HTTPS_PROXY", "https_proxy"], ["ALL_PROXY", "all_proxy"]];
const EXEMPT: [&str; 2] = ["NO_PROXY", "no_proxy"];
/// The variables of the exporter of traces, in the same way.
const HEADERS: [&str; 2] = ["OTEL_EXPORTER_OTLP_TRACES_HEADERS", "OTEL_EXPORTER_OTLP_HEADERS"];
const ATTRIBUTES: [&str; 1] = ["OTEL_RESOURCE_ATTRIBUTES"];

/// The effect of a proxy's URL on the HTTP client.
enum Effect {
    Proxied,
    Ignored,
    Unsupported,
}

/// Warns of each proxy that is not used as its variable says, on the way to those hosts.
pub(super) fn proxies(env: &Env, hosts: &[&str]) -> Vec<String> {
    let mut warnings = Vec::new();
    for (name, value) in PROXIES.iter().filter_map(|names| first(env, names)) {
        let mut warn = |problem: &str| {
            warnings.push(format!("{name}: {problem}; it must be such as http://10.0.0.1:3128"));
        };
        match effect(&value) {
            Effect::Ignored => {
                warn("is no URL of a proxy, and is ignored");
                continue;
            }
            Effect::Proxied => {}
            Effect::Unsupported => {
                let lost = behind(&value, env, hosts).join(" and ");
                if !lost.is_empty() {
                    warn(&format!(
                        "is a SOCKS proxy, of which there is no support: no connection to {lost} will be made"
                    ));
                }
            }
        }
        break; // the next one does not count then
    }
    warnings
}

/// Keeps the hosts that are reached through that proxy.
fn behind<'a>(proxy: &str, env: &Env, hosts: &[&'a str]) -> Vec<&'a str> {
    let exempt = first(env, &EXEMPT).map_or_else(String::new, |(_, value)| value);
    let matcher = Matcher::builder().https(proxy).no(exempt).build();
    let url = |host: &str| format!("https://{host}/").parse::<hyper::Uri>();
    let mut hosts = hosts.to_vec();
    hosts.retain(|host| url(host).is_ok_and(|url| matcher.intercept(&url).is_some()));
    hosts
}

fn effect(value: &str) -> Effect {
    let azure = hyper::Uri::from_static("https://vault.azure.net/");
    match Matcher::builder().https(value).build().intercept(&azure) {
        Some(proxy) if matches!(proxy.uri().scheme_str(), Some("http" | "https")) => Effect::Proxied,
        Some(_) => Effect::Unsupported,
        None => Effect::Ignored,
    }
}

/// Warns of each variable of OpenTelemetry of which a part is ignored.
pub(super) fn traces(env: &Env) -> Vec<String> {
    let given = [first(env, &HEADERS), first(env, &ATTRIBUTES)].into_iter().flatten();
    let broken = given.filter(|(_, value)| !value.trim_end_matches(',').split(',').all(is_pair));
    broken
        .map(|(name, _)| format!("{name}: what is not KEY=VALUE, with commas between, is ignored"))
        .collect()
}

fn is_pair(text: &str) -> bool {
    text.split_once('=').is_some_and(|(key, value)| !key.trim().is_empty() && !value.trim().is_empty())
}

/// Returns the first of them that is set, unless it is empty.
fn first(env: &Env, names: &[&'static str]) -> Option<(&'static str, String)> {
    let set = names.iter().find_map(|name| Some((*name, env(name)?)));
    set.filter(|(_, value)| !value.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn env(set: &'static [(&str, &str)]) -> Box<Env> {
        Box::new(|name| set.iter().find(|(known, _)| *known == name).map(|(_, value)| (*value).to_owned()))
    }

    const HOSTS: [&str; 2] = ["kv.vault.azure.net", "login.microsoftonline.com"];

    #[test]
    fn a_proxy_that_can_be_used_or_is_none_is_not_warned_of() {
        for set in [
            &[][..],
            &[("HTTPS_PROXY", "http://10.0.0.1:3128")],
            &[("HTTPS_PROXY", "proxy:3128")],
            &[("https_proxy", "https://user:secret@proxy:3128/")],
            &[("HTTPS_PROXY", ""), ("https_proxy", "nonsense://")],
            &[("HTTPS_PROXY", "http://proxy"), ("ALL_PROXY", "socks5://proxy")],
        ] {
            assert_eq!(proxies(&*env(set), &HOSTS), [""; 0], "{set:?}");
        }
    }

    #[test]
    fn a_proxy_that_is_ignored_or_cannot_be_used_is_named_and_its_value_is_not() {
        for (set, name, says) in [
            (&[("HTTPS_PROXY", "ftp://user:s3cr3t@proxy:21")][..], "HTTPS_PROXY: ", "ignored"),
            (&[("https_proxy", "http:// s3cr3t")], "https_proxy: ", "ignored"),
            (&[("ALL_PROXY", "socks5h://user:s3cr3t@proxy:1080")], "ALL_PROXY: ", "SOCKS"),
        ] {
            let warnings = proxies(&*env(set), &HOSTS);
            assert!(warnings.len() == 1 && warnings[0].starts_with(name), "{warnings:?}");
            assert!(warnings[0].contains(says) && !warnings[0].contains("s3cr3t"), "{warnings:?}");
        }
    }

    #[test]
    fn a_socks_proxy_is_warned_of_for_the_hosts_that_it_stands_before() {
        const SOCKS: (&str, &str) = ("ALL_PROXY", "socks5://proxy");
        for set in [
            &[SOCKS, ("NO_PROXY", "vault.azure.net,.microsoftonline.com")][..],
            &[SOCKS, ("no_proxy", "*")],
            &[SOCKS, ("NO_PROXY", "*"), ("no_proxy", "")],
        ] {
            assert_eq!(proxies(&*env(set), &HOSTS), [""; 0], "{set:?}");
        }
        assert_eq!(proxies(&*env(&[SOCKS]), &[]), [""; 0]);
        for (set, lost) in [
            (&[SOCKS][..], "kv.vault.azure.net and login.microsoftonline.com"),
            (&[SOCKS, ("NO_PROXY", "vault.azure.net")], "login.microsoftonline.com"),
            (
                &[SOCKS, ("NO_PROXY", ""), ("no_proxy", "*")],
                "kv.vault.azure.net and login.microsoftonline.com",
            ),
        ] {
            let warnings = proxies(&*env(set), &HOSTS);
            assert!(warnings.len() == 1 && warnings[0].contains(&format!(" to {lost} will")), "{warnings:?}");
        }
    }

    #[test]
    fn a_second_proxy_does_not_count_beside_the_first() {
        let warnings =
            proxies(&*env(&[("HTTPS_PROXY", "socks5://proxy"), ("ALL_PROXY", "ftp://proxy")]), &HOSTS);
        assert!(warnings.len() == 1 && warnings[0].starts_with("HTTPS_PROXY: "), "{warnings:?}");
    }

    #[test]
    fn what_opentelemetry_leaves_out_is_warned_of_by_the_variable_s_name() {
        let well = [
            ("OTEL_EXPORTER_OTLP_HEADERS", "authorization=Bearer%20s3cr3t, x=y="),
            ("OTEL_RESOURCE_ATTRIBUTES", "k8s.cluster.name=prod,"),
        ];
        assert_eq!(
            traces(&move |name: &str| {
                well.iter().find(|(known, _)| *known == name).map(|(_, value)| (*value).to_owned())
            }),
            [""; 0]
        );
        let warnings = traces(&*env(&[
            ("OTEL_EXPORTER_OTLP_HEADERS", "authorization: s3cr3t"),
            ("OTEL_RESOURCE_ATTRIBUTES", "a=b,c"),
        ]));
        assert!(warnings.len() == 2 && !warnings.concat().contains("s3cr3t"), "{warnings:?}");
        assert!(warnings[0].starts_with("OTEL_EXPORTER_OTLP_HEADERS: "), "{warnings:?}");
        assert!(warnings[1].starts_with("OTEL_RESOURCE_ATTRIBUTES: "), "{warnings:?}");
    }
}
