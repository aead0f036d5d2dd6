//! The generated parts of docs/. `UPDATE_DOCS=1` rewrites them.

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
