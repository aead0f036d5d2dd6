//! The vault's answer to the question for the key: who is let in, and what the key is.

use std::time::{Duration, SystemTime};

use chrono::{DateTime, Utc};

use super::advice::Advice;
use super::report::Check;
use crate::vault::{Failure, KeyDescription, VaultError};

pub(super) const ACCESS: &str = "vault-access";
const KEY: &str = "key";
const ENABLED: &str = "key-enabled";
const VALIDITY: &str = "key-validity";
const TYPE: &str = "key-type";
const OPERATIONS: &str = "key-operations";
const RECOVERY: &str = "key-recovery";
/// What is only known of a key that may be read, after whether it exists.
pub(super) const OF_THE_KEY: [&str; 6] = [KEY, ENABLED, VALIDITY, TYPE, OPERATIONS, RECOVERY];

/// The day on which a key expires should not come as a surprise.
const SOON: Duration = Duration::from_secs(30 * 24 * 3600);

/// The checks that one answer gives.
pub(super) fn checks(advice: &Advice<'_>, answer: &Result<KeyDescription, VaultError>) -> Vec<Check> {
    match answer {
        Ok(key) => {
            let mut checks = vec![
                Check::passed(ACCESS, "the vault lets this machine in and takes the token"),
                Check::passed(KEY, "exists, and the identity may read it"),
            ];
            checks.extend([enabled, validity, of_type, operations, recovery].map(|check| check(advice, key)));
            checks
        }
        Err(error) => refused(advice, error),
    }
}

/// A refusal tells of the key, of the right to read it, which is not needed, or of the vault as a whole.
fn refused(advice: &Advice<'_>, error: &VaultError) -> Vec<Check> {
    let cause = error.with_cause();
    let mend = advice.for_error(error);
    let let_in = Check::passed(ACCESS, "the vault lets this machine in and takes the token");
    match error.failure {
        Failure::NotFound => after(vec![let_in, Check::failed(KEY, cause, mend)], "since key failed"),
        Failure::KeyUnusable => {
            let exists = Check::passed(KEY, "exists");
            let unusable = Check::failed(ENABLED, cause, advice.key("set-attributes", "--enabled true"));
            after(vec![let_in, exists, unusable], "since key-enabled failed")
        }
        Failure::Forbidden if !is_the_network(error) => {
            let code = error.code.as_deref().unwrap_or("HTTP 403");
            after(vec![let_in], &format!("the identity may not read the key ({code}), and need not"))
        }
        _ => after(vec![Check::failed(ACCESS, cause, mend)], "since vault-access failed"),
    }
}

fn is_the_network(error: &VaultError) -> bool {
    matches!(error.code.as_deref(), Some("ForbiddenByFirewall" | "ForbiddenByConnection"))
}

/// Those checks, and the rest as skipped.
fn after(mut made: Vec<Check>, why: &str) -> Vec<Check> {
    let rest: Vec<_> =
        OF_THE_KEY.into_iter().filter(|name| made.iter().all(|check| check.name != *name)).collect();
    made.extend(rest.into_iter().map(|name| Check::skipped(name, why)));
    made
}

fn enabled(advice: &Advice<'_>, key: &KeyDescription) -> Check {
    match key.enabled {
        true => Check::passed(ENABLED, "the key version is enabled"),
        false => Check::failed(
            ENABLED,
            "the key version is disabled",
            advice.key("set-attributes", "--enabled true"),
        ),
    }
}

fn validity(advice: &Advice<'_>, key: &KeyDescription) -> Check {
    let now = SystemTime::now();
    let mend = |flag: &str, time: &str| advice.key("set-attributes", &format!("--{flag} {time}"));
    match (key.not_before, key.expires) {
        (Some(from), _) if from > now => {
            let cause = format!("the key version is not valid before {} (nbf)", day(from));
            Check::failed(VALIDITY, cause, mend("not-before", &day(now)))
        }
        (_, Some(until)) if until <= now => {
            let cause = format!("the key version expired at {} (exp): it encrypts no more", day(until));
            Check::failed(VALIDITY, cause, mend("expires", "LATER (YYYY-MM-DDThh:mm:ssZ)"))
        }
        (_, Some(until)) if until < now + SOON => {
            let cause = format!("the key version expires at {} (exp)", day(until));
            Check::warned(VALIDITY, cause, mend("expires", "LATER (YYYY-MM-DDThh:mm:ssZ)"))
        }
        (_, Some(until)) => Check::passed(VALIDITY, format!("valid until {}", day(until))),
        (_, None) => Check::passed(VALIDITY, "valid, and does not expire"),
    }
}

fn day(time: SystemTime) -> String {
    DateTime::<Utc>::from(time).format("%Y-%m-%dT%H:%M:%SZ").to_string()
}

fn of_type(advice: &Advice<'_>, key: &KeyDescription) -> Check {
    let bits = key.modulus.map(|bytes| bytes * 8);
    match (key.kind.as_str(), bits) {
        ("RSA" | "RSA-HSM", Some(bits @ (2048 | 3072 | 4096))) => {
            Check::passed(TYPE, format!("{} with {bits} bits", key.kind))
        }
        (kind, bits) => {
            let bits = bits.map(|bits| format!(" with {bits} bits")).unwrap_or_default();
            let cause =
                format!("the key is {kind}{bits}; only RSA and RSA-HSM with 2048, 3072 or 4096 bits will do");
            Check::failed(TYPE, cause, advice.new_key())
        }
    }
}

fn operations(advice: &Advice<'_>, key: &KeyDescription) -> Check {
    let wanted = advice.operations();
    let missing: Vec<_> = wanted
        .into_iter()
        .filter(|wanted| !key.operations.iter().any(|operation| operation == wanted))
        .collect();
    match missing.is_empty() {
        true => Check::passed(OPERATIONS, format!("the key allows {}", wanted.join(" and "))),
        false => Check::failed(
            OPERATIONS,
            format!("the key does not allow {} (key_ops)", missing.join(" and ")),
            advice.allow_operations(&key.operations, &missing),
        ),
    }
}

/// A purged key takes every secret in etcd with it.
fn recovery(advice: &Advice<'_>, key: &KeyDescription) -> Check {
    let Some(level) = key.recovery_level.as_deref() else {
        return Check::skipped(RECOVERY, "since the vault does not tell its recovery level");
    };
    let days = key.recoverable_days.map(|days| format!(" for {days} days")).unwrap_or_default();
    match (level.contains("Recoverable"), level.contains("Purgeable")) {
        (true, false) => {
            Check::passed(RECOVERY, format!("a deleted key can be recovered{days}, and not be purged"))
        }
        (true, true) => Check::warned(
            RECOVERY,
            format!("a deleted key can be recovered{days}, unless somebody purges it ({level})"),
            advice.protect(),
        ),
        (false, _) => {
            Check::warned(RECOVERY, format!("a deleted key is gone for good ({level})"), advice.soft_delete())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::advice::tests::key as config;
    use super::super::report::Outcome;
    use super::*;
    use crate::config::{Access, Operations};

    fn outcome(name: &str, key: KeyDescription) -> Outcome {
        let (config, access) = (config(Operations::Encrypt), Access::of_this_machine());
        let made = checks(&Advice::new(&config, &access, false), &Ok(key));
        made.into_iter().find(|check| check.name == name).unwrap().outcome
    }

    fn of_kind(kind: &str, bits: Option<usize>) -> Outcome {
        let modulus = bits.map(|bits| bits / 8);
        outcome(TYPE, KeyDescription { kind: kind.into(), modulus, ..KeyDescription::default() })
    }

    fn of_level(level: &str) -> Outcome {
        outcome(RECOVERY, KeyDescription { recovery_level: Some(level.into()), ..KeyDescription::default() })
    }

    #[test]
    fn only_rsa_keys_of_the_sizes_of_key_vault_will_do() {
        for (kind, bits) in [("RSA", 2048), ("RSA", 3072), ("RSA-HSM", 4096)] {
            assert!(matches!(of_kind(kind, Some(bits)), Outcome::Passed(_)), "{kind} {bits}");
        }
        for (kind, bits) in [("RSA", Some(1024)), ("EC", None), ("oct-HSM", None), ("RSA", None)] {
            let Outcome::Failed(finding) = of_kind(kind, bits) else { panic!("{kind}") };
            assert!(finding.cause.contains(kind) && finding.mend.contains("--kty RSA"));
        }
    }

    #[test]
    fn a_key_that_can_be_purged_or_is_gone_at_once_is_a_warning() {
        for safe in ["Recoverable", "Recoverable+ProtectedSubscription", "CustomizedRecoverable"] {
            assert!(matches!(of_level(safe), Outcome::Passed(_)), "{safe}");
        }
        for (level, says, mend) in [
            ("Recoverable+Purgeable", "purges", "--enable-purge-protection true"),
            ("Purgeable", "for good", "properties.enableSoftDelete=true"),
        ] {
            let Outcome::Warned(finding) = of_level(level) else { panic!("{level}") };
            assert!(finding.cause.contains(says) && finding.mend.contains(mend), "{finding:?}");
        }
        assert!(matches!(outcome(RECOVERY, KeyDescription::default()), Outcome::Skipped(_)));
    }
}
