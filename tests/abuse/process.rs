//! The relay as a process, with few or many open files, and what it takes of the machine.

use std::io::{BufRead as _, BufReader};
use std::net::SocketAddr;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};

use serde_json::Value;
use tempfile::TempDir;

pub const TOKEN: &str = "the sender's token";

/// A relay that runs. It is killed when it is dropped.
pub struct Relay {
    child: Child,
    pub ingress: SocketAddr,
    log: Arc<Mutex<Vec<String>>>,
    _folder: TempDir,
}

/// What a process takes.
#[derive(Clone, Copy, Debug)]
pub struct Taken {
    pub files: usize,
    /// Resident memory, in MiB.
    pub memory: u64,
}

impl Relay {
    /// Starts `relay serve` with these keys of `[server]` and so many open files, or as many as there may be. One source asks
    /// for a token, one takes anything; what they send waits, so that only the door is at work.
    pub fn start(server: &str, files: Option<u32>) -> Self {
        let folder = TempDir::new().unwrap();
        let toml = format!(
            "[server]\nlisten = \"127.0.0.1:0\"\n{server}\n[admin]\nlisten = \"127.0.0.1:0\"\n\
             [sources.known]\nkind = \"jobmojito\"\nauth = {{ header = \"x-relay-token\", secrets = [\"{TOKEN}\"] }}\n\
             [sources.open]\nkind = \"jobmojito\"\nauth = \"none\"\n\
             [destinations.app]\nurl = \"http://127.0.0.1:9/\"\npaused = true\n\
             [[routes]]\nevents = [\"interview.submitted\"]\nto = [\"app\"]\n"
        );
        std::fs::write(folder.path().join("relay.toml"), toml).unwrap();
        let limit = files.map_or_else(String::new, |files| format!("ulimit -n {files}; "));
        let mut child = Command::new("sh")
            .arg("-c")
            .arg(format!("{limit}exec \"$0\" serve"))
            .arg(env!("CARGO_BIN_EXE_relay"))
            .current_dir(folder.path())
            .env_clear()
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stderr.take().unwrap()).lines();
        let log = Arc::new(Mutex::new(Vec::new()));
        let ingress = loop {
            let Some(Ok(line)) = lines.next() else {
                panic!("it ended: {:?}", log.lock().unwrap());
            };
            let said: Value = serde_json::from_str(&line).unwrap_or_default();
            log.lock().unwrap().push(line);
            if said["message"] == "relay is ready" {
                break said["ingress"].as_str().unwrap().parse().unwrap();
            }
        };
        let kept = log.clone();
        std::thread::spawn(move || {
            for line in lines.map_while(Result::ok) {
                kept.lock().unwrap().push(line);
            }
        });
        Self {
            child,
            ingress,
            log,
            _folder: folder,
        }
    }

    /// Everything it has logged so far.
    pub fn said(&self) -> String {
        self.log.lock().unwrap().join("\n")
    }

    pub fn taken(&self) -> Taken {
        let about = format!("/proc/{}", self.child.id());
        let status = std::fs::read_to_string(format!("{about}/status")).unwrap();
        let resident = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
        let kibibytes = resident.and_then(|rest| rest.split_whitespace().next());
        Taken {
            files: std::fs::read_dir(format!("{about}/fd")).unwrap().count(),
            memory: kibibytes.map_or(0, |text| text.parse::<u64>().unwrap() / 1024),
        }
    }
}

impl Drop for Relay {
    fn drop(&mut self) {
        let _ended_already = self.child.kill();
        let _reaped = self.child.wait();
    }
}
