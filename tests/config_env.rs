//! The process' own environment. A binary of its own: variables belong to the whole process, and
//! other tests must not see these.

use std::process::Command;

use mojito_relay::config::{Inputs, Secrets, environment, load_text};

const CHILD: &str = "CONFIG_ENV_CHILD";

/// Runs this test again in a process whose environment is known: to change one's own is unsafe.
#[test]
fn the_process_environment_lies_over_the_file() {
    if environment().iter().any(|(name, _)| name == CHILD) {
        inside();
        return;
    }
    let this = std::env::current_exe().expect("the test binary");
    let mut child = Command::new(this);
    child
        .args(["--exact", "the_process_environment_lies_over_the_file"])
        .env(CHILD, "1")
        .env("RELAY_SERVER__LISTEN", "127.0.0.1:4711")
        .env("RELAY_ADMIN_TOKEN", "from-the-environment")
        .env("RELAY_PORT", "tcp://10.0.0.1:80");
    #[cfg(unix)]
    {
        use std::os::unix::ffi::OsStrExt;
        child.env("NOT_TEXT", std::ffi::OsStr::from_bytes(&[0xff, 0xfe]));
    }
    let output = child.output().expect("the test binary runs");
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(
        output.status.success() && said.contains("1 passed"),
        "{said}"
    );
}

fn inside() {
    let inputs = Inputs {
        file: "relay.toml".into(),
        environment: environment(),
        flags: Vec::new(),
        secrets: Secrets::Read,
    };
    let text = "[admin]\ntoken = { env = \"RELAY_ADMIN_TOKEN\" }\n";
    let loaded = load_text(&inputs, text).expect("a sound configuration");
    assert_eq!(loaded.config.server.listen.port(), 4711);
    let token = loaded.config.admin.token.expect("a token");
    assert_eq!(token.expose(), "from-the-environment");
}
