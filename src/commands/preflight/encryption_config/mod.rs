//! Whether kube-apiserver's EncryptionConfiguration and the daemon agree.

mod document;

use super::report::Check;
use crate::config::{ListenAddr, positive_duration};
use document::{Document, Kms, Provider};

const FILE: &str = "encryption-config";
const ENDPOINT: &str = "encryption-config-endpoint";
const API_VERSION: &str = "encryption-config-api-version";
const ORDER: &str = "encryption-config-order";
const CACHE_SIZE: &str = "encryption-config-cachesize";
const NAMES: &str = "encryption-config-names";
const TIMEOUT: &str = "encryption-config-timeout";

/// One check for each thing that can disagree.
pub(super) fn checks(path: &str, content: &str, address: &ListenAddr) -> Vec<Check> {
    let document = match Document::parse(content) {
        Ok(document) => document,
        Err(problem) => {
            let mend = "correct that field: kube-apiserver does not start with it";
            return alone(Check::failed(FILE, format!("{path}: {problem}"), mend));
        }
    };
    let file = Check::passed(FILE, format!("{path} is an EncryptionConfiguration"));
    let ours: Vec<Kms> = document.all_kms().filter(|kms| is_ours(kms, address)).cloned().collect();
    if ours.is_empty() {
        let mut checks = alone(no_endpoint(&document, address));
        checks.insert(0, file);
        return checks;
    }
    let endpoint = Check::passed(ENDPOINT, format!("kms {:?} is at {address}", ours[0].name));
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

/// That check, and those after it as skipped.
fn alone(failed: Check) -> Vec<Check> {
    let all = [FILE, ENDPOINT, API_VERSION, ORDER, CACHE_SIZE, NAMES, TIMEOUT];
    let (why, rest) =
        (format!("since {} failed", failed.name), all.into_iter().skip_while(|name| *name != failed.name));
    let rest: Vec<_> = rest.skip(1).map(|name| Check::skipped(name, why.as_str())).collect();
    std::iter::once(failed).chain(rest).collect()
}

fn is_ours(kms: &Kms, address: &ListenAddr) -> bool {
    ListenAddr::parse(&kms.endpoint).as_ref() == Ok(address)
}

fn no_endpoint(document: &Document, address: &ListenAddr) -> Check {
    let endpoints: Vec<_> = document.all_kms().map(|kms| format!("{:?}", kms.endpoint)).collect();
    let cause = match endpoints.is_empty() {
        true => "there is no kms provider".to_owned(),
        false => format!("no kms provider has the endpoint {address}; they have {}", endpoints.join(", ")),
    };
    Check::failed(ENDPOINT, cause, format!("endpoint: {address}, or --listen-addr"))
}

fn api_version(ours: &[Kms]) -> Check {
    let gate = "apiVersion: v2, or kube-apiserver's --feature-gates=KMSv1=true";
    let wrong = ours.iter().find(|kms| !matches!(kms.api_version.as_deref(), Some("v2")));
    match wrong.map(|kms| kms.api_version.as_deref()) {
        None => Check::passed(API_VERSION, "v2"),
        Some(Some("v1")) => Check::warned(API_VERSION, "v1, which Kubernetes 1.29 and later refuse", gate),
        Some(None) => {
            Check::warned(API_VERSION, "absent, which means v1: Kubernetes 1.29 and later refuse that", gate)
        }
        Some(Some(other)) => {
            Check::failed(API_VERSION, format!("{other:?} is neither v1 nor v2"), "apiVersion: v2")
        }
    }
}

/// The first provider of a list writes; the others only read.
fn order(document: &Document, address: &ListenAddr) -> Check {
    let ours = |provider: &Provider| provider.kms().is_some_and(|kms| is_ours(kms, address));
    let lists = document.0.iter().enumerate().filter(|(_, list)| list.iter().any(ours));
    for (at, list) in lists {
        let mend = "put kms first: the first provider writes, the others only read";
        match list.first() {
            Some(Provider::Identity) => {
                let cause =
                    format!("resources[{at}]: identity is first, so objects are written in plain text");
                return Check::failed(ORDER, cause, mend);
            }
            Some(Provider::Local(name)) => {
                let cause = format!("resources[{at}]: {name} is first, so this plugin encrypts nothing");
                return Check::failed(ORDER, cause, mend);
            }
            Some(first @ Provider::Kms(kms)) if !ours(first) => {
                let cause =
                    format!("resources[{at}]: kms {:?} is first, and this plugin only decrypts", kms.name);
                return Check::warned(ORDER, cause, "put this one first, unless a rotation is under way");
            }
            _ => {}
        }
    }
    Check::passed(ORDER, "this plugin writes")
}

fn cache_size(document: &Document) -> Check {
    for kms in document.all_kms() {
        match (kms.api_version.as_deref(), kms.cache_size) {
            (Some("v2"), Some(_)) => {
                let cause = format!("kms {:?}: v2 must not have cachesize", kms.name);
                return Check::failed(CACHE_SIZE, cause, "remove cachesize");
            }
            (_, Some(0)) => {
                let cause = format!("kms {:?}: cachesize must not be 0", kms.name);
                return Check::failed(CACHE_SIZE, cause, "cachesize: 1000, or remove it");
            }
            _ => {}
        }
    }
    Check::passed(CACHE_SIZE, "as the versions allow")
}

fn names(document: &Document) -> Check {
    let all: Vec<_> = document.all_kms().collect();
    for (at, kms) in all.iter().enumerate() {
        let (v2, name) = (kms.api_version.as_deref() == Some("v2"), kms.name.as_str());
        let same = |other: &&&Kms| other.name == name;
        if name.is_empty() {
            return Check::failed(NAMES, "a kms provider has no name", "name: azurekmsprovider");
        }
        if v2 && name.contains(':') {
            let cause = format!("kms {name:?}: a name of v2 must not hold a colon");
            return Check::failed(NAMES, cause, "another name");
        }
        let Some(other) = all[..at].iter().find(same) else { continue };
        if v2 || other.api_version.as_deref() == Some("v2") {
            let cause = format!("two kms providers have the name {name:?}, which v2 refuses");
            return Check::failed(
                NAMES,
                cause,
                "another name for the newer one: what is stored names the other",
            );
        }
    }
    Check::passed(NAMES, all.iter().map(|kms| kms.name.as_str()).collect::<Vec<_>>().join(", "))
}

fn timeout(document: &Document) -> Check {
    for kms in document.all_kms() {
        if let Some(Err(problem)) = kms.timeout.as_deref().map(positive_duration) {
            return Check::failed(TIMEOUT, format!("kms {:?}: {problem}", kms.name), "timeout: 3s");
        }
    }
    Check::passed(TIMEOUT, "positive, or the default of 3 s")
}
