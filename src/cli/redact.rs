//! The flags as anybody may see them: names as on the command line, and secrets replaced.

use serde_json::Value;

use super::flags::Flags;

/// The text in place of a secret, as in Kubernetes' own pages.
const CLASSIFIED: &str = "CLASSIFIED";
/// Words in the name of a flag whose value is a secret.
const SECRET_WORDS: [&str; 4] = ["secret", "password", "token", "credential"];

impl Flags {
    /// Returns every flag and its value, defaults included, sorted by name.
    pub(crate) fn redacted(&self) -> Vec<(String, String)> {
        let Ok(Value::Object(flags)) = serde_json::to_value(self) else { return Vec::new() };
        let mut redacted: Vec<_> =
            flags.iter().map(|(name, value)| (name.clone(), redact(name, value))).collect();
        redacted.sort();
        redacted
    }
}

fn redact(name: &str, value: &Value) -> String {
    match value {
        Value::Array(values) => values.iter().map(|value| redact(name, value)).collect::<Vec<_>>().join(","),
        Value::String(text) if is_secret(name, text) => CLASSIFIED.to_owned(),
        Value::String(text) => text.clone(),
        _ => String::new(), // a flag that was not given and has no default
    }
}

fn is_secret(name: &str, value: &str) -> bool {
    let named = name.split('-').any(|word| SECRET_WORDS.contains(&word));
    !value.is_empty() && (named || has_userinfo(value))
}

/// Returns true if an address begins with `USER@` or `USER:PASSWORD@`, after its scheme if it has one.
fn has_userinfo(value: &str) -> bool {
    let address = value.split_once("://").map_or(value, |(_, rest)| rest);
    let authority = address.split(['/', '?', '#']).next().unwrap_or_default();
    authority.rsplit_once('@').is_some_and(|(user, _)| !user.is_empty())
}

#[cfg(test)]
mod tests {
    use clap::{CommandFactory, Parser};

    use super::super::flags::PROGRAM;
    use super::*;

    fn redacted(args: &[&str]) -> Vec<(String, String)> {
        Flags::parse_from([PROGRAM].iter().chain(args)).redacted()
    }

    fn value(args: &[&str], name: &str) -> String {
        redacted(args).into_iter().find(|(known, _)| known == name).unwrap().1
    }

    #[test]
    fn every_flag_is_shown_by_its_name_on_the_command_line_and_in_order() {
        let shown: Vec<String> = redacted(&[]).into_iter().map(|(name, _)| name).collect();
        let known = Flags::command();
        let mut known: Vec<&str> = known.get_arguments().filter_map(clap::Arg::get_long).collect();
        known.sort_unstable();
        assert_eq!(shown, known);
    }

    #[test]
    fn an_address_with_userinfo_is_classified() {
        for secret in ["user:s3cr3t@proxy", "s3cr3t@proxy", "http://user:s3cr3t@proxy:80/x"] {
            assert_eq!(value(&["--proxy-address", secret], "proxy-address"), CLASSIFIED);
        }
        let list = ["--ca-file=/a", "--ca-file=https://user:s3cr3t@host/b"];
        assert_eq!(value(&list, "ca-file"), format!("/a,{CLASSIFIED}"));
    }

    #[test]
    fn names_of_secrets_are_classified_and_an_abstract_socket_is_not() {
        assert!(is_secret("proxy-password", "x") && is_secret("client-secret", "x"));
        assert!(!is_secret("proxy-password", "") && !is_secret("key-name", "token"));
        for address in ["unix:///@name", "unix://@name"] {
            assert_eq!(value(&["--listen-addr", address], "listen-addr"), address);
        }
    }
}
