//! A `PostgreSQL` of the tests' own: in a temporary folder, and gone with whoever started it, however that ends.

use std::io::{BufRead as _, BufReader, Write as _};
use std::net::TcpListener;
use std::os::unix::process::CommandExt as _;
use std::path::PathBuf;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Mutex, PoisonError};

/// A cluster in a folder of its own.
pub struct Cluster {
    pub folder: PathBuf,
    pub port: u16,
    schemas: AtomicU32,
    control: Mutex<Control>,
}

/// The script that runs it. It ends when nothing can be told it any more.
struct Control {
    script: Child,
    /// Some until it is to end.
    say: Option<ChildStdin>,
    hear: BufReader<ChildStdout>,
}

impl Cluster {
    /// One of its own, which may be stopped. Nothing of it reaches the disk.
    pub fn start() -> Self {
        Self::syncing(false)
    }

    /// The same; with `sync`, what is committed is on the disk when it is told.
    pub fn syncing(sync: bool) -> Self {
        let folder = tempfile::Builder::new().prefix("relay-pg-").tempdir();
        // The script takes it away, when the process is gone.
        let folder = folder.expect("a temporary folder").keep();
        let free = TcpListener::bind("127.0.0.1:0").and_then(|bound| bound.local_addr());
        let port = free.expect("a free port").port();
        let mut script = Command::new("sh")
            .args(["-c", include_str!("cluster.sh"), "cluster.sh"])
            .arg(&folder)
            .arg(port.to_string())
            .arg(if sync { "on" } else { "off" })
            // A signal to all of the tests must not reach it before it has cleaned up.
            .process_group(0)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("a shell");
        let control = Control {
            say: script.stdin.take(),
            hear: BufReader::new(script.stdout.take().expect("it is piped")),
            script,
        };
        let cluster = Self {
            folder,
            port,
            schemas: AtomicU32::new(0),
            control: Mutex::new(control),
        };
        cluster.heard();
        cluster.go_on();
        cluster
    }

    pub fn stop(&self) {
        self.tell("stop");
    }

    pub fn go_on(&self) {
        self.tell("start");
    }

    /// The URL of a store that is not there yet.
    pub fn url(&self) -> String {
        let port = self.port;
        let schema = self.schema();
        format!("postgres://relay:sesame@127.0.0.1:{port}/postgres?schema={schema}")
    }

    /// A name that no other store has.
    pub fn schema(&self) -> String {
        let number = self.schemas.fetch_add(1, Ordering::Relaxed);
        format!("store_{number}")
    }

    fn tell(&self, line: &str) {
        let mut control = self.control.lock().unwrap_or_else(PoisonError::into_inner);
        let say = control.say.as_mut().expect("it is open");
        writeln!(say, "{line}").expect("the script listens");
        drop(control);
        self.heard();
    }

    fn heard(&self) {
        let mut control = self.control.lock().unwrap_or_else(PoisonError::into_inner);
        let mut line = String::new();
        control.hear.read_line(&mut line).expect("the script talks");
        let told = ["control", "log"]
            .map(|name| std::fs::read_to_string(self.folder.join(name)).unwrap_or_default());
        assert_eq!(line.trim(), "ready", "PostgreSQL: {}", told.join("\n"));
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        self.stop();
        let control = self
            .control
            .get_mut()
            .unwrap_or_else(PoisonError::into_inner);
        control.say = None;
        let _reaped = control.script.wait();
    }
}
