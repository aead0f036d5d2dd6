//! No arguments make the reader of Go's flags panic, and what it accepts it accepts in its normal form too.
#![no_main]

libfuzzer_sys::fuzz_target!(|arguments: &[u8]| azure_kms_provider::fuzzing::flags(arguments));
