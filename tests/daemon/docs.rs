//! The generated parts of docs/. `UPDATE_DOCS=1` rewrites them.

use std::path::{Path, PathBuf};

use crate::harness::run;

const CONFIGURATION: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/configuration.md");
const BEGIN: &str = "rewrites it -->\n";
const END: &str = "<!-- /help -->";
const JUSTFILE: &str = include_str!("../../justfile");

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
const PAGES: [&str; 24] = [
    "CHANGELOG.md",
    "CONTRIBUTING.md",
    "README.md",
    "SECURITY.md",
    "docs/architecture.md",
    "docs/audit.md",
    "docs/benchmarks.md",
    "docs/compatibility.md",
    "docs/configuration.md",
    "docs/credentials.md",
    "docs/health.md",
    "docs/install.md",
    "docs/logs.md",
    "docs/metrics.md",
    "docs/operations.md",
    "docs/preflight.md",
    "docs/reliability.md",
    "docs/restarts.md",
    "docs/security.md",
    "docs/traces.md",
    "docs/troubleshooting.md",
    "docs/upgrades.md",
    "fuzz/README.md",
    "interop/README.md",
];

#[test]
fn no_page_of_docs_is_left_out() {
    let folder = std::fs::read_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join("docs")).unwrap();
    for page in folder.map(|entry| entry.unwrap().file_name().into_string().unwrap()) {
        assert!(PAGES.contains(&&*format!("docs/{page}")), "{page}");
    }
}

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

/// Every file below a folder of the repository: its path and text.
fn files(folder: &Path) -> Vec<(PathBuf, String)> {
    let entries = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let read = |path: PathBuf| match std::fs::read_to_string(&path) {
        _ if path.is_dir() => files(&path),
        text => vec![(path, text.unwrap_or_default())],
    };
    entries.flat_map(read).collect()
}

#[test]
fn every_place_in_a_page_that_the_program_names_is_there() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    for (path, text) in ["src", "manifests"].iter().flat_map(|folder| files(&root.join(folder))) {
        for (at, _) in text.match_indices("docs/") {
            let place =
                text[at..].split(|c: char| !c.is_ascii_alphanumeric() && !"/.-_#{".contains(c)).next();
            let place = place.unwrap().trim_end_matches('.');
            let (page, anchor) = place.split_once('#').unwrap_or((place, ""));
            if !page.ends_with(".md") {
                continue;
            }
            assert!(PAGES.contains(&page), "{}: {place}", path.display());
            // the tests beside the code know the anchors that are put together
            let known = anchor.is_empty()
                || anchor.contains('{')
                || anchors(&root.join(page)).contains(&anchor.into());
            assert!(known, "{}: {place}", path.display());
        }
    }
}

/// The symptoms of the troubleshooting page: each heading, and what is below it.
fn symptoms(page: &str) -> Vec<(&str, &str)> {
    let sections = page.split("\n### ").skip(1).map(|section| section.split("\n## ").next().unwrap());
    sections.filter_map(|section| section.split_once('\n')).collect()
}

#[test]
fn every_symptom_has_its_cause_and_fix_and_its_line_in_the_contents() {
    let page = read("docs/troubleshooting.md");
    let (before, after) = page.split_once("\n## Contents\n").unwrap();
    let (contents, _) = after.split_once("\n## ").unwrap();
    assert!(!before.contains("\n### ") && symptoms(&page).len() > 60);
    for (heading, section) in symptoms(&page) {
        for part in ["\n- **Symptom**: ", "\n- **Cause**: ", "\n- **Fix**: "] {
            assert_eq!(section.matches(part).count(), 1, "{heading}: {part}");
        }
        assert!(contents.contains(&format!("](#{})", slug(heading))), "{heading}");
    }
}

/// The headings as GitHub names them, and the anchors that are set by hand.
pub(crate) fn anchors(page: &Path) -> Vec<String> {
    let text = std::fs::read_to_string(page).unwrap();
    let headings = text
        .lines()
        .filter(|line| line.starts_with('#'))
        .map(|line| slug(line.trim_start_matches('#').trim()));
    let set = text.split("<a id=\"").skip(1).map(|rest| rest.split('"').next().unwrap().to_owned());
    headings.chain(set).collect()
}

/// The name of a heading as GitHub links to it.
fn slug(heading: &str) -> String {
    let kept = |c: &char| c.is_alphanumeric() || matches!(c, ' ' | '-' | '_');
    heading.to_lowercase().chars().filter(kept).collect::<String>().replace(' ', "-")
}

/// Every block of commands outside of docs/install.md, whose blocks interop/install runs: its page and first line.
const BLOCKS: [(&str, &str); 10] = [
    // the same lines in the justfile, which CI runs
    ("README.md", "cargo run -p quickstart --features fault-injection   #"),
    // examples/quickstart/tests/keep.rs, and what it prints
    ("README.md", "cargo run -p quickstart --features fault-injection -- --keep\n"),
    // `the_readme_creates_the_key_as_the_install_page_does`
    ("README.md", "KV_NAME=k8skv KEY_NAME=k8s"),
    ("README.md", "az keyvault set-policy"),
    // `the_readme_starts_the_daemon_with_flags_that_exist`
    ("README.md", "azure-kms-provider --keyvault-name"),
    // packaging/prove-completions
    ("docs/configuration.md", "azure-kms-provider completion bash > /usr/share"),
    // not run: systemd would have to be the machine's own. manifests.rs has the units' flags, drain.rs what a restart does
    ("docs/upgrades.md", "install -m 0644 manifests/azure-kms-provider.{service,socket}"),
    // not run: needs a nightly compiler and cargo-fuzz
    ("fuzz/README.md", "just fuzz "),
    // what interop/kubernetes/run does for two packages; not run for all, as that takes minutes for each release
    ("interop/README.md", "cd interop/kubernetes && go test"),
    // `just interop`
    ("interop/README.md", "cargo build --workspace"),
];

fn read(page: &str) -> String {
    std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(page)).unwrap()
}

/// The blocks of commands in a page; a list may indent them.
fn commands(page: &str) -> Vec<String> {
    let text = read(page);
    let blocks = text.split("```sh\n").skip(1).map(|rest| rest.split("```").next().unwrap());
    blocks.map(|block| block.lines().map(|line| line.trim().to_owned() + "\n").collect()).collect()
}

/// The block of the README that begins so, with shell's line ends and comments resolved into lines of words.
fn block_of_the_readme(begin: &str) -> Vec<String> {
    let block = commands("README.md").into_iter().find(|block| block.starts_with(begin)).unwrap();
    let lines = block.replace("\\\n", "");
    lines.lines().map(|line| line.split(" #").next().unwrap().trim().to_owned()).collect()
}

#[test]
fn every_block_of_commands_is_run_by_a_test_or_said_not_to_be() {
    let pages = PAGES.iter().filter(|page| **page != "docs/install.md");
    let found: Vec<_> = pages.flat_map(|page| commands(page).into_iter().map(move |c| (*page, c))).collect();
    for (page, block) in &found {
        assert!(BLOCKS.iter().any(|(p, begin)| p == page && block.starts_with(begin)), "{page}: {block}");
    }
    assert_eq!(found.len(), BLOCKS.len());
}

#[test]
fn the_two_commands_of_the_readme_are_those_of_the_justfile() {
    for line in block_of_the_readme("cargo run") {
        assert!(JUSTFILE.contains(&format!("\n    {line}\n")), "{line}");
    }
}

#[test]
fn the_readme_creates_the_key_as_the_install_page_does() {
    let page = read("docs/install.md");
    for line in block_of_the_readme("KV_NAME").iter().skip(1).chain(&block_of_the_readme("az keyvault")) {
        assert!(page.contains(line), "{line}");
    }
}

#[test]
fn the_readme_starts_the_daemon_with_flags_that_exist() {
    let command = block_of_the_readme("azure-kms-provider").remove(0);
    let flags: Vec<&str> = command.split_whitespace().skip(1).collect();
    let (code, _, stderr) = run(&[&flags[..], &["--version"]].concat());
    assert_eq!(code, 0, "{stderr}");
}

/// Returns the first words of the code in backticks that begins so, without that beginning.
fn quoted<'a>(text: &'a str, begin: &str) -> Vec<&'a str> {
    let quoted = text.split('`').skip(1).step_by(2);
    quoted.filter_map(|code| code.strip_prefix(begin)).filter_map(|rest| rest.split(' ').next()).collect()
}

#[test]
fn every_recipe_and_command_that_a_page_names_exists() {
    for page in PAGES {
        let text = read(page).replace("```", "");
        for recipe in quoted(&text, "just ") {
            let head = |line: &str| line.split([' ', ':']).next() == Some(recipe) && line.contains(':');
            assert!(JUSTFILE.lines().any(head), "{page}: just {recipe}");
        }
        for command in quoted(&text, "azure-kms-provider ").into_iter().filter(|name| !name.starts_with('-'))
        {
            assert_eq!(run(&[command, "--help"]).0, 0, "{page}: azure-kms-provider {command}");
        }
    }
}

#[test]
fn the_dockerfile_has_the_versions_of_program_and_toolchain() {
    let toolchain = read("rust-toolchain.toml");
    let rust = toolchain.split('"').nth(1).unwrap();
    for part in [format!("/rust:{rust}-"), format!("image.version=\"{}\"", env!("CARGO_PKG_VERSION"))] {
        assert!(read("Dockerfile").contains(&part), "{part}");
    }
}

/// The folders of Rust code, from the root of the repository.
const CODE: [&str; 7] = ["src", "emulator", "testkit", "benches", "examples", "tests", "fuzz/fuzz_targets"];

/// The files whose doc comments are clap's help texts, which users read.
const HELP_TEXTS: [&str; 2] = ["src/cli/flags.rs", "src/cli/commands.rs"];

/// The first words that make a doc comment a question or half a sentence.
const QUESTIONS: [&str; 12] =
    ["What", "Who", "Whom", "Whose", "How", "Whether", "Which", "Where", "When", "Why", "If", "That"];

/// Returns the first line of each block of doc comments, with its number.
fn doc_blocks(code: &str) -> impl Iterator<Item = (usize, &str)> {
    let is_doc = |line: &str| line.trim_start().starts_with("///");
    let before = std::iter::once("").chain(code.lines());
    let lines = code.lines().zip(before).enumerate();
    lines
        .filter(move |(_, (line, before))| is_doc(line) && !is_doc(before))
        .map(|(at, (line, _))| (at + 1, line))
}

#[test]
fn doc_comments_begin_with_a_verb_or_a_noun() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut found = Vec::new();
    for (path, text) in CODE.iter().flat_map(|folder| files(&root.join(folder))) {
        let path = path.strip_prefix(root).unwrap();
        if path.extension() != Some("rs".as_ref())
            || HELP_TEXTS.iter().any(|exempt| path == Path::new(exempt))
        {
            continue;
        }
        let asks = |line: &str| {
            let mut words = line.split(|c: char| !c.is_alphanumeric()).filter(|word| !word.is_empty());
            words.next().is_some_and(|word| QUESTIONS.contains(&word))
        };
        let blocks = doc_blocks(&text).filter(|(_, line)| asks(line));
        found.extend(blocks.map(|(at, line)| format!("{}:{at}: {}", path.display(), line.trim())));
    }
    assert!(found.is_empty(), "begin with a verb or a noun:\n{}", found.join("\n"));
}
