//! The dashboard in a real browser, without a window: headless Chromium, led by a driver to do what a
//! person does, on a relay at work. `scripts/test.sh` installs both.
#![expect(
    clippy::unwrap_used,
    reason = "clippy.toml's leave for tests covers test functions, not their helpers"
)]
#![expect(
    unreachable_pub,
    reason = "a test binary exports nothing: `pub` here means `for other modules`"
)]

mod browser;
#[expect(dead_code, unused_imports, reason = "made for the other tests, too")]
#[path = "../it/harness/mod.rs"]
mod harness;

mod access;
mod hostile;
mod looks;
mod work;
