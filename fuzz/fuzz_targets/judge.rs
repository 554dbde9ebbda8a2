#![no_main]

#[path = "../target.rs"]
mod target;

libfuzzer_sys::fuzz_target!(init: target::begin(), |data: &[u8]| target::run("judge", data));
