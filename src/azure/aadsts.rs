//! The error numbers of Entra ID (`AADSTS…`) and their meaning for this plugin.
//!
//! All numbers: learn.microsoft.com, "Microsoft Entra authentication & authorization error codes".

/// Error numbers and their meaning, as the end of a sentence. Each has a heading in docs/troubleshooting.md.
const HINTS: [(u64, &str); 16] = [
    (50_001, "the vault's resource is not known in this cloud or tenant"),
    (70_011, "the vault's resource is not a valid scope in this cloud"),
    (70_021, "no federated credential of the application matches the token's issuer, subject and audience"),
    (90_002, "there is no such tenant in this cloud"),
    (90_033, "Entra ID has a passing problem"),
    (500_011, "the vault's resource is not known in this tenant"),
    (700_016, "the application is not in this tenant"),
    (700_024, "the assertion is outside its time range: check this machine's clock, or the token file's age"),
    (700_027, "the certificate is not registered for the application, or its key does not match"),
    (700_211, "no federated credential of the application matches the token's issuer"),
    (700_212, "no federated credential of the application matches the token's audience"),
    (700_213, "no federated credential of the application matches the token's subject"),
    (900_023, "the tenant id is not valid"),
    (7_000_112, "the application is disabled"),
    (7_000_215, "the client secret is wrong"),
    (7_000_222, "the client secret has expired"),
];

/// Returns the meaning of that number, as the end of a sentence; empty for other numbers.
pub(super) fn hint(number: u64) -> String {
    let hint = HINTS.iter().find(|(known, _)| *known == number);
    hint.map(|(_, hint)| format!(": {hint}; see docs/troubleshooting.md#aadsts{number}")).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_hint_has_its_anchor_in_the_troubleshooting_page() {
        let page = include_str!("../../docs/troubleshooting.md");
        for (number, _) in HINTS {
            assert!(page.contains(&format!("\n### AADSTS{number}\n")), "{number}");
        }
    }
}
