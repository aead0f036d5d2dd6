//! The generated parts of docs/. `UPDATE_DOCS=1` rewrites them.

use std::path::Path;

use crate::harness::run;

const CONFIGURATION: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/configuration.md");
const BEGIN: &str = "rewrites it -->\n";
const END: &str = "<!-- /help -->";

#[test]
fn the_documented_flags_are_those_of_the_program() {
    let (code, help, _) = run(&["--help"]);
    assert_eq!(code, 0);
    let page = std::fs::read_to_string(CONFIGURATION).unwrap();
    let (before, rest) = page.split_once(BEGIN).unwrap();
    let (_, after) = rest.split_once(END).unwrap();
    let help: Vec<&str> = help.trim().lines().map(str::trim_end).collect();
    let expected = format!("{before}{BEGIN}\n```text\n{}\n```\n\n{END}{after}", help.join("\n"));
    if std::env::var_os("UPDATE_DOCS").is_some() {
        return std::fs::write(CONFIGURATION, &expected).unwrap();
    }
    assert!(page == expected, "docs/configuration.md is out of date: run `just docs`");
}

/// The pages whose links are checked, from the root of the repository.
const PAGES: [&str; 15] = [
    "CHANGELOG.md",
    "CONTRIBUTING.md",
    "README.md",
    "SECURITY.md",
    "docs/architecture.md",
    "docs/benchmarks.md",
    "docs/compatibility.md",
    "docs/configuration.md",
    "docs/install.md",
    "docs/metrics.md",
    "docs/operations.md",
    "docs/reliability.md",
    "docs/security.md",
    "docs/troubleshooting.md",
    "interop/README.md",
];

#[test]
fn every_link_leads_somewhere() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    for page in PAGES {
        let path = root.join(page);
        let text = std::fs::read_to_string(&path).unwrap();
        for link in text.split("](").skip(1).map(|rest| rest.split(')').next().unwrap()) {
            if link.starts_with("https://") {
                continue;
            }
            let (file, anchor) = link.split_once('#').unwrap_or((link, ""));
            let target = if file.is_empty() { path.clone() } else { path.parent().unwrap().join(file) };
            assert!(target.exists(), "{page}: {link}");
            assert!(anchor.is_empty() || anchors(&target).contains(&anchor.to_owned()), "{page}: {link}");
        }
    }
}

/// The headings as GitHub names them, and the anchors that are set by hand.
pub(crate) fn anchors(page: &Path) -> Vec<String> {
    let text = std::fs::read_to_string(page).unwrap();
    let kept = |c: &char| c.is_alphanumeric() || matches!(c, ' ' | '-' | '_');
    let slug =
        |heading: &str| heading.to_lowercase().chars().filter(kept).collect::<String>().replace(' ', "-");
    let headings = text
        .lines()
        .filter(|line| line.starts_with('#'))
        .map(|line| slug(line.trim_start_matches('#').trim()));
    let set = text.split("<a id=\"").skip(1).map(|rest| rest.split('"').next().unwrap().to_owned());
    headings.chain(set).collect()
}
