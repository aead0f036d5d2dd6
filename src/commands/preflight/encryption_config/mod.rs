//! The comparison of kube-apiserver's EncryptionConfiguration with the daemon's flags.

mod document;

use super::checks::Check;
use super::report::CheckResult;
use crate::config::{ListenAddr, positive_duration};
use document::{Document, Kms, Provider};

/// Makes a check for each thing that can disagree.
pub(super) fn checks(path: &str, content: &str, address: &ListenAddr) -> Vec<CheckResult> {
    let document = match Document::parse(content) {
        Ok(document) => document,
        Err(problem) => {
            let fix = "correct that field: kube-apiserver does not start with it";
            return vec![Check::EncryptionConfig.failed(format!("{path}: {problem}"), fix)];
        }
    };
    let file = Check::EncryptionConfig.passed(format!("{path} is an EncryptionConfiguration"));
    let ours: Vec<Kms> = document.all_kms().filter(|kms| is_ours(kms, address)).cloned().collect();
    if ours.is_empty() {
        return vec![file, no_endpoint(&document, address)];
    }
    let endpoint = Check::EncryptionEndpoint.passed(format!("kms {:?} is at {address}", ours[0].name));
    vec![
        file,
        endpoint,
        api_version(&ours),
        order(&document, address),
        cache_size(&document),
        names(&document),
        timeout(&document),
    ]
}

fn is_ours(kms: &Kms, address: &ListenAddr) -> bool {
    ListenAddr::parse(&kms.endpoint).as_ref() == Ok(address)
}

fn no_endpoint(document: &Document, address: &ListenAddr) -> CheckResult {
    let endpoints: Vec<_> = document.all_kms().map(|kms| format!("{:?}", kms.endpoint)).collect();
    let cause = if endpoints.is_empty() {
        "there is no kms provider".to_owned()
    } else {
        format!("no kms provider has the endpoint {address}; they have {}", endpoints.join(", "))
    };
    Check::EncryptionEndpoint.failed(cause, format!("endpoint: {address}, or --listen-addr"))
}

fn api_version(ours: &[Kms]) -> CheckResult {
    let gate = "apiVersion: v2, or kube-apiserver's --feature-gates=KMSv1=true";
    let wrong = ours.iter().find(|kms| !matches!(kms.api_version.as_deref(), Some("v2")));
    match wrong.map(|kms| kms.api_version.as_deref()) {
        None => Check::EncryptionApiVersion.passed("v2"),
        Some(Some("v1")) => {
            Check::EncryptionApiVersion.warned("v1, which Kubernetes 1.29 and later refuse", gate)
        }
        Some(None) => Check::EncryptionApiVersion
            .warned("absent, which means v1: Kubernetes 1.29 and later refuse that", gate),
        Some(Some(other)) => {
            Check::EncryptionApiVersion.failed(format!("{other:?} is neither v1 nor v2"), "apiVersion: v2")
        }
    }
}

/// Checks which provider writes: the first of a list. The others only read.
fn order(document: &Document, address: &ListenAddr) -> CheckResult {
    let ours = |provider: &Provider| provider.kms().is_some_and(|kms| is_ours(kms, address));
    let lists = document.0.iter().enumerate().filter(|(_, list)| list.iter().any(ours));
    for (at, list) in lists {
        let fix = "put kms first: the first provider writes, the others only read";
        match list.first() {
            Some(Provider::Identity) => {
                let cause =
                    format!("resources[{at}]: identity is first, so objects are written in plain text");
                return Check::EncryptionOrder.failed(cause, fix);
            }
            Some(Provider::Local(name)) => {
                let cause = format!("resources[{at}]: {name} is first, so this plugin encrypts nothing");
                return Check::EncryptionOrder.failed(cause, fix);
            }
            Some(first @ Provider::Kms(kms)) if !ours(first) => {
                let cause =
                    format!("resources[{at}]: kms {:?} is first, and this plugin only decrypts", kms.name);
                return Check::EncryptionOrder
                    .warned(cause, "put this one first, unless a rotation is under way");
            }
            _ => {}
        }
    }
    Check::EncryptionOrder.passed("this plugin writes")
}

fn cache_size(document: &Document) -> CheckResult {
    for kms in document.all_kms() {
        match (kms.api_version.as_deref(), kms.cache_size) {
            (Some("v2"), Some(_)) => {
                let cause = format!("kms {:?}: v2 must not have cachesize", kms.name);
                return Check::EncryptionCacheSize.failed(cause, "remove cachesize");
            }
            (_, Some(0)) => {
                let cause = format!("kms {:?}: cachesize must not be 0", kms.name);
                return Check::EncryptionCacheSize.failed(cause, "cachesize: 1000, or remove it");
            }
            _ => {}
        }
    }
    Check::EncryptionCacheSize.passed("as the versions allow")
}

fn names(document: &Document) -> CheckResult {
    let all: Vec<_> = document.all_kms().collect();
    for (at, kms) in all.iter().enumerate() {
        let (v2, name) = (kms.api_version.as_deref() == Some("v2"), kms.name.as_str());
        let same = |other: &&&Kms| other.name == name;
        if name.is_empty() {
            return Check::EncryptionNames.failed("a kms provider has no name", "name: azurekmsprovider");
        }
        if v2 && name.contains(':') {
            let cause = format!("kms {name:?}: a name of v2 must not hold a colon");
            return Check::EncryptionNames.failed(cause, "another name");
        }
        let Some(other) = all[..at].iter().find(same) else { continue };
        if v2 || other.api_version.as_deref() == Some("v2") {
            let cause = format!("two kms providers have the name {name:?}, which v2 refuses");
            return Check::EncryptionNames
                .failed(cause, "another name for the newer one: what is stored names the other");
        }
    }
    Check::EncryptionNames.passed(all.iter().map(|kms| kms.name.as_str()).collect::<Vec<_>>().join(", "))
}

fn timeout(document: &Document) -> CheckResult {
    for kms in document.all_kms() {
        if let Some(Err(problem)) = kms.timeout.as_deref().map(positive_duration) {
            return Check::EncryptionTimeout.failed(format!("kms {:?}: {problem}", kms.name), "timeout: 3s");
        }
    }
    Check::EncryptionTimeout.passed("positive, or the default of 3 s")
}
