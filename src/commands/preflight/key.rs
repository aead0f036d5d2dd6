//! The description of the key, or the error in its place: access to the vault, and the properties of the key.

use std::time::{Duration, SystemTime};

use chrono::{DateTime, Utc};

use super::advice::Advice;
use super::checks::{Check, KEY};
use super::report::CheckResult;
use crate::vault::{Failure, KeyDescription, VaultError};

/// The time before the expiry of a key in which it is a warning.
const SOON: Duration = Duration::from_secs(30 * 24 * 3600);

/// Makes the checks that the description of the key allows, or the error in its place.
pub(super) fn checks(
    advice: &Advice<'_>,
    description: &Result<KeyDescription, VaultError>,
) -> Vec<CheckResult> {
    match description {
        Ok(key) => vec![
            access(),
            Check::Key.passed("exists, and the identity may read it"),
            enabled(advice, key),
            validity(advice, key),
            key_type(advice, key),
            operations(advice, key),
            recovery(advice, key),
        ],
        Err(error) => no_description(advice, error),
    }
}

fn access() -> CheckResult {
    Check::VaultAccess.passed("the vault lets this machine in and takes the token")
}

/// Tells apart errors of the key, of the right to read it, which is not needed, and of the vault as a whole.
fn no_description(advice: &Advice<'_>, error: &VaultError) -> Vec<CheckResult> {
    let (cause, fix) = (error.with_cause(), advice.for_error(error));
    match error.failure {
        Failure::NotFound => vec![access(), Check::Key.failed(cause, fix)],
        Failure::KeyUnusable => {
            let unusable = Check::KeyEnabled.failed(cause, advice.key("set-attributes", "--enabled true"));
            vec![access(), Check::Key.passed("exists"), unusable]
        }
        Failure::Forbidden if !is_of_the_network(error) => {
            let code = error.code.as_deref().unwrap_or("HTTP 403");
            let reason = format!("the identity may not read the key ({code}), and need not");
            let unread = KEY.map(|check| check.skipped(reason.as_str()));
            std::iter::once(access()).chain(unread).collect()
        }
        _ => vec![Check::VaultAccess.failed(cause, fix)],
    }
}

fn is_of_the_network(error: &VaultError) -> bool {
    matches!(error.code.as_deref(), Some("ForbiddenByFirewall" | "ForbiddenByConnection"))
}

fn enabled(advice: &Advice<'_>, key: &KeyDescription) -> CheckResult {
    if key.enabled {
        Check::KeyEnabled.passed("the key version is enabled")
    } else {
        let fix = advice.key("set-attributes", "--enabled true");
        Check::KeyEnabled.failed("the key version is disabled", fix)
    }
}

fn validity(advice: &Advice<'_>, key: &KeyDescription) -> CheckResult {
    let now = SystemTime::now();
    let fix = |flag: &str, time: &str| advice.key("set-attributes", &format!("--{flag} {time}"));
    match (key.not_before, key.expires) {
        (Some(from), _) if from > now => {
            let cause = format!("the key version is not valid before {} (nbf)", day(from));
            Check::KeyValidity.failed(cause, fix("not-before", &day(now)))
        }
        (_, Some(until)) if until <= now => {
            let cause = format!("the key version expired at {} (exp): it encrypts no more", day(until));
            Check::KeyValidity.failed(cause, fix("expires", "LATER (YYYY-MM-DDThh:mm:ssZ)"))
        }
        (_, Some(until)) if until < now + SOON => {
            let cause = format!("the key version expires at {} (exp)", day(until));
            Check::KeyValidity.warned(cause, fix("expires", "LATER (YYYY-MM-DDThh:mm:ssZ)"))
        }
        (_, Some(until)) => Check::KeyValidity.passed(format!("valid until {}", day(until))),
        (_, None) => Check::KeyValidity.passed("valid, and does not expire"),
    }
}

fn day(time: SystemTime) -> String {
    DateTime::<Utc>::from(time).format("%Y-%m-%dT%H:%M:%SZ").to_string()
}

fn key_type(advice: &Advice<'_>, key: &KeyDescription) -> CheckResult {
    let bits = key.modulus.map(|bytes| bytes * 8);
    match (key.kind.as_str(), bits) {
        ("RSA" | "RSA-HSM", Some(bits @ (2048 | 3072 | 4096))) => {
            Check::KeyType.passed(format!("{} with {bits} bits", key.kind))
        }
        (kind, bits) => {
            let bits = bits.map(|bits| format!(" with {bits} bits")).unwrap_or_default();
            let cause =
                format!("the key is {kind}{bits}; only RSA and RSA-HSM with 2048, 3072 or 4096 bits will do");
            Check::KeyType.failed(cause, advice.new_key())
        }
    }
}

fn operations(advice: &Advice<'_>, key: &KeyDescription) -> CheckResult {
    let wanted = advice.operations();
    let missing: Vec<_> = wanted
        .into_iter()
        .filter(|wanted| !key.operations.iter().any(|operation| operation == wanted))
        .collect();
    if missing.is_empty() {
        Check::KeyOperations.passed(format!("the key allows {}", wanted.join(" and ")))
    } else {
        let cause = format!("the key does not allow {} (key_ops)", missing.join(" and "));
        Check::KeyOperations.failed(cause, advice.allow_operations(&key.operations, &missing))
    }
}

/// Checks that a deleted key can be recovered: with a purged one, every secret in etcd is lost.
fn recovery(advice: &Advice<'_>, key: &KeyDescription) -> CheckResult {
    let Some(level) = key.recovery_level.as_deref() else {
        return Check::KeyRecovery.skipped("since the vault does not tell its recovery level");
    };
    let days = key.recoverable_days.map(|days| format!(" for {days} days")).unwrap_or_default();
    match (level.contains("Recoverable"), level.contains("Purgeable")) {
        (true, false) => {
            Check::KeyRecovery.passed(format!("a deleted key can be recovered{days}, and not be purged"))
        }
        (true, true) => Check::KeyRecovery.warned(
            format!("a deleted key can be recovered{days}, unless somebody purges it ({level})"),
            advice.protect(),
        ),
        (false, _) => Check::KeyRecovery
            .warned(format!("a deleted key is gone for good ({level})"), advice.soft_delete()),
    }
}

#[cfg(test)]
mod tests {
    use super::super::advice::tests::key as config;
    use super::super::report::Outcome;
    use super::*;
    use crate::config::{Access, Operations};

    fn outcome(check: Check, key: KeyDescription) -> Outcome {
        let (config, access) = (config(Operations::Encrypt), Access::of_this_machine());
        let made = checks(&Advice::new(&config, &access, false), &Ok(key));
        made.into_iter().find(|result| result.check == check).unwrap().outcome
    }

    fn of_kind(kind: &str, bits: Option<usize>) -> Outcome {
        let modulus = bits.map(|bits| bits / 8);
        outcome(Check::KeyType, KeyDescription { kind: kind.into(), modulus, ..KeyDescription::default() })
    }

    fn of_level(level: &str) -> Outcome {
        outcome(
            Check::KeyRecovery,
            KeyDescription { recovery_level: Some(level.into()), ..KeyDescription::default() },
        )
    }

    #[test]
    fn only_rsa_keys_of_the_sizes_of_key_vault_will_do() {
        for (kind, bits) in [("RSA", 2048), ("RSA", 3072), ("RSA-HSM", 4096)] {
            assert!(matches!(of_kind(kind, Some(bits)), Outcome::Passed(_)), "{kind} {bits}");
        }
        for (kind, bits) in [("RSA", Some(1024)), ("EC", None), ("oct-HSM", None), ("RSA", None)] {
            let Outcome::Failed(finding) = of_kind(kind, bits) else { panic!("{kind}") };
            assert!(finding.cause.contains(kind) && finding.fix.contains("--kty RSA"));
        }
    }

    #[test]
    fn a_key_that_can_be_purged_or_is_gone_at_once_is_a_warning() {
        for safe in ["Recoverable", "Recoverable+ProtectedSubscription", "CustomizedRecoverable"] {
            assert!(matches!(of_level(safe), Outcome::Passed(_)), "{safe}");
        }
        for (level, says, fix) in [
            ("Recoverable+Purgeable", "purges", "--enable-purge-protection true"),
            ("Purgeable", "for good", "properties.enableSoftDelete=true"),
        ] {
            let Outcome::Warned(finding) = of_level(level) else { panic!("{level}") };
            assert!(finding.cause.contains(says) && finding.fix.contains(fix), "{finding:?}");
        }
        assert!(matches!(outcome(Check::KeyRecovery, KeyDescription::default()), Outcome::Skipped(_)));
    }
}
