//! Files as OpenSSL and Azure make them. `tests/certificates/make` made them; their keys guard nothing.

use super::*;

const PASSWORD: &str = "p4ss w0rd";

fn file(name: &str) -> Vec<u8> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/certificates");
    std::fs::read(folder.join(name)).unwrap()
}

fn problem(name: &str, password: &str) -> String {
    parse(&file(name), password).err().unwrap()
}

#[test]
fn every_form_of_a_certificate_is_read_with_its_own_certificate_first() {
    for (name, password, certificates) in [
        ("modern.pfx", PASSWORD, 1),
        ("chain.pfx", PASSWORD, 2),
        ("legacy-3des.pfx", PASSWORD, 1),
        ("legacy-rc2.pfx", PASSWORD, 1),
        ("no-password.pfx", "", 1),
        ("no-mac.pfx", PASSWORD, 1),
        ("pkcs8.pem", "", 1),
        ("pkcs1.pem", "", 1),
        ("chain.pem", "", 2),
        ("chain-backwards.pem", "", 2),
    ] {
        let (key, chain) = parse(&file(name), password).unwrap_or_else(|problem| panic!("{name}: {problem}"));
        assert_eq!(chain.len(), certificates, "{name}");
        assert!(belongs_to(&chain[0], &key), "{name}");
    }
}

#[test]
fn what_cannot_be_used_is_refused_with_the_reason() {
    for (name, password, reason) in [
        ("modern.pfx", "wrong", "with aadClientCertPassword: that is not its password"),
        ("modern.pfx", "", "none is given (aadClientCertPassword)"),
        ("legacy-3des.pfx", "wrong", "with aadClientCertPassword: that is not its password"),
        ("legacy-3des.pfx", "", "none is given (aadClientCertPassword)"),
        ("encrypted-key.pem", "", "encrypted key"),
        ("only-certificate.pem", "", "no private key"),
        ("only-key.pem", "", "no certificate of its private key"),
        ("other-certificate.pem", "", "no certificate of its private key"),
        ("elliptic.pem", "", "not RSA"),
        ("elliptic.pfx", PASSWORD, "not RSA"),
        ("expired.pem", "", "expired on"),
        ("future.pem", "", "not valid before"),
        ("only-certificate.pfx", PASSWORD, "no private key"),
    ] {
        let problem = problem(name, password);
        assert!(problem.contains(reason), "{name}: {problem}");
    }
}

#[test]
fn what_is_cut_short_or_no_certificate_at_all_is_refused() {
    let whole = file("modern.pfx");
    for content in [&whole[..whole.len() / 2], b"rubbish", &[0x30, 0x80], b"-----BEGIN NONSENSE-----"] {
        assert!(parse(content, PASSWORD).is_err());
    }
}

#[test]
fn debug_shows_nothing_of_the_key() {
    let (key, chain) = parse(&file("modern.pfx"), PASSWORD).unwrap();
    let path = PathBuf::from("/x.pfx");
    let certificate = ClientCertificate { key: Arc::new(key), chain, path, is_chain_needed: false };
    assert_eq!(format!("{certificate:?}"), "ClientCertificate { .. }");
}
