//! No arguments make the parser of Go's flags panic, and the normal form of accepted arguments is accepted too.
#![no_main]

libfuzzer_sys::fuzz_target!(|arguments: &[u8]| azure_kms_provider::fuzzing::flags(arguments));
