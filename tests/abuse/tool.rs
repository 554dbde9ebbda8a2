//! slowhttptest (Debian has it), which attacks from outside this program.

use std::net::SocketAddr;
use std::process::{Child, Command, Stdio};

/// Its modes: heads, bodies, ranges, and answers read slowly.
pub const MODES: [(&str, &[&str]); 4] = [
    ("slowhttptest -H", &["-H"]),
    ("slowhttptest -B", &["-B"]),
    ("slowhttptest -R", &["-R"]),
    (
        "slowhttptest -X",
        &[
            "-X", "-w", "10", "-y", "20", "-n", "5", "-z", "32", "-k", "3",
        ],
    ),
];

/// The tool at work; it ends by itself, and with this.
pub struct Tool(Child);

impl Tool {
    /// None where it is not installed.
    pub fn start(mode: &[&str], relay: SocketAddr, connections: u32, seconds: u64) -> Option<Self> {
        let url = format!("http://{relay}/hooks/open");
        let (connections, seconds) = (connections.to_string(), seconds.to_string());
        let child = Command::new("slowhttptest")
            .args(mode)
            .args(["-c", &connections, "-r", "500", "-i", "1", "-p", "5"])
            .args(["-l", &seconds, "-u", &url])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn();
        child.ok().map(Self)
    }
}

impl Drop for Tool {
    fn drop(&mut self) {
        let _ended_already = self.0.kill();
        let _reaped = self.0.wait();
    }
}
