//! Command lines and what they print, as people read them: `tests/cli/*.md`. None needs a daemon.
//! `TRYCMD=overwrite` rewrites the answers.

#[test]
fn every_command_line_prints_what_is_written_below_it() {
    let program = std::path::Path::new(env!("CARGO_BIN_EXE_azure-kms-provider"));
    trycmd::TestCases::new()
        .register_bin("azure-kms-provider", program)
        .default_bin_path(program)
        .case("tests/cli/*.md");
}
