//! The relay as a process: started on free ports, watched through its log, and never left behind.

use std::io::{BufRead as _, BufReader, Read};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, Method};
use mojito_relay::transport::{
    Answer, Connection, Failure, NetworkTransport, Outgoing, Transport as _,
};
use serde_json::Value;

/// Nothing in a test takes as long as this unless it hangs.
pub const PATIENCE: Duration = Duration::from_mins(1);

/// A relay that runs. It is killed when it is dropped.
pub struct Process {
    child: Child,
    pub ingress: SocketAddr,
    pub admin: SocketAddr,
    lines: Receiver<String>,
    log: Arc<Mutex<Vec<String>>>,
}

/// The binary under test, without any environment.
pub fn relay(folder: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_relay"));
    command.current_dir(folder).env_clear();
    command
}

impl Process {
    /// Starts `relay serve` in `folder` on free ports, and waits until it says that it is ready.
    pub fn start(folder: &Path) -> Self {
        Self::try_start(folder)
            .unwrap_or_else(|(status, log)| panic!("it ended with {status}: {log}"))
    }

    /// The same with its admin port where one was before.
    pub fn start_again(folder: &Path, admin: SocketAddr) -> Self {
        Self::try_start_on(folder, admin, &[])
            .unwrap_or_else(|(status, log)| panic!("it ended with {status}: {log}"))
    }

    /// The same where it may fail: then with how it ended and what it said.
    pub fn try_start(folder: &Path) -> Result<Self, (ExitStatus, String)> {
        Self::start_in(folder, &[])
    }

    /// The same with variables of the environment.
    pub fn start_in(
        folder: &Path,
        environment: &[(&str, &str)],
    ) -> Result<Self, (ExitStatus, String)> {
        Self::try_start_on(folder, SocketAddr::from(([127, 0, 0, 2], 0)), environment)
    }

    fn try_start_on(
        folder: &Path,
        admin: SocketAddr,
        environment: &[(&str, &str)],
    ) -> Result<Self, (ExitStatus, String)> {
        let mut command = relay(folder);
        command
            .envs(environment.iter().copied())
            .args(["serve", "--override", "server.listen=127.0.0.1:0"])
            .args(["--override", &format!("admin.listen={admin}")]);
        Self::watch(&mut command)
    }

    /// Runs what serves, and waits until it is ready.
    pub fn watch(command: &mut Command) -> Result<Self, (ExitStatus, String)> {
        let mut child = command
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let stdout: Box<dyn Read + Send> = Box::new(child.stdout.take().unwrap());
        let stderr: Box<dyn Read + Send> = Box::new(child.stderr.take().unwrap());
        let log = Arc::new(Mutex::new(Vec::new()));
        let (send, lines) = channel();
        for printed in [stdout, stderr] {
            let (kept, send) = (log.clone(), send.clone());
            std::thread::spawn(move || {
                for line in BufReader::new(printed).lines().map_while(Result::ok) {
                    kept.lock().unwrap().push(line.clone());
                    let _nobody_waits = send.send(line);
                }
            });
        }
        drop(send);
        while let Ok(line) = lines.recv_timeout(PATIENCE) {
            let Ok(said) = serde_json::from_str::<Value>(&line) else {
                continue;
            };
            if said["message"] == "relay is ready" {
                let address = |key: &str| said[key].as_str().unwrap().parse().unwrap();
                return Ok(Self {
                    ingress: address("ingress"),
                    admin: address("admin"),
                    child,
                    lines,
                    log,
                });
            }
        }
        let status = child.wait().unwrap();
        let log = log.lock().unwrap().join("\n");
        Err((status, log))
    }

    /// Waits for a log line with these words.
    pub fn until_it_says(&self, words: &str) -> String {
        while let Ok(line) = self.lines.recv_timeout(PATIENCE) {
            if line.contains(words) {
                return line;
            }
        }
        panic!("it never said {words:?}: {}", self.said());
    }

    /// Everything it has logged so far.
    pub fn said(&self) -> String {
        self.log.lock().unwrap().join("\n")
    }

    pub fn id(&self) -> u32 {
        self.child.id()
    }

    pub fn signal(&self, name: &str) {
        let id = self.id().to_string();
        assert!(
            Command::new("kill")
                .args(["-s", name, &id])
                .status()
                .unwrap()
                .success()
        );
    }

    /// SIGKILL, and waits until it is gone.
    pub fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// Waits until it ends by itself.
    pub fn ended(mut self) -> (ExitStatus, String) {
        let status = self.child.wait().unwrap();
        // The log ends when its reader has seen the end of it.
        while self.lines.recv_timeout(PATIENCE).is_ok() {}
        (status, self.said())
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ended_already = self.child.kill();
        let _reaped = self.child.wait();
    }
}

/// A folder with a relay.toml and, later, a store.
pub struct Folder {
    folder: tempfile::TempDir,
}

impl Folder {
    pub fn new(toml: &str) -> Self {
        let folder = tempfile::TempDir::new().unwrap();
        std::fs::write(folder.path().join("relay.toml"), toml).unwrap();
        Self { folder }
    }

    pub fn path(&self) -> &Path {
        self.folder.path()
    }

    pub fn file(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub fn write(&self, name: &str, text: &str) {
        std::fs::write(self.file(name), text).unwrap();
    }

    /// Whether `SQLite` finds the store whole, while no relay has it.
    pub fn is_whole(&self) -> bool {
        let store = rusqlite::Connection::open(self.file("data/relay.db")).unwrap();
        let verdict: String = store
            .query_row("PRAGMA integrity_check", [], |row| row.get(0))
            .unwrap();
        verdict == "ok"
    }
}

/// One request over the real network.
pub async fn request(
    network: &NetworkTransport,
    method: Method,
    url: &str,
    body: Bytes,
) -> Result<Answer, Failure> {
    let request = Outgoing {
        method,
        url: url.parse().unwrap(),
        headers: HeaderMap::new(),
        body,
        timeout: PATIENCE,
        connection: Arc::new(Connection::default()),
    };
    network.send(request).await
}

/// What the admin API answers.
pub async fn get(process: &Process, path: &str) -> Value {
    let url = format!("http://{}{path}", process.admin);
    let answer = request(
        &NetworkTransport::default(),
        Method::GET,
        &url,
        Bytes::new(),
    )
    .await
    .unwrap();
    serde_json::from_slice(&answer.body).unwrap()
}
