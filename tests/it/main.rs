//! One binary for all tests of behaviour: each module is one.
#![expect(
    clippy::unwrap_used,
    reason = "helpers of tests fail the test, but clippy.toml's leave is for test functions alone"
)]

mod store;
