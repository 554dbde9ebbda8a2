//! The relay as a process of its own, with its store on disk.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use tempfile::TempDir;

pub(crate) const TOKEN: &str = "a token as long as one should be";
pub(crate) const BINARY: &str = env!("CARGO_BIN_EXE_relay");
pub(crate) const PATIENCE: Duration = Duration::from_mins(1);

/// (b). It is killed when it is dropped.
pub(crate) struct Relay {
    child: Child,
    pub(crate) ingress: SocketAddr,
    admin: SocketAddr,
    /// From the start of the process until `/readyz` said 200.
    pub(crate) ready_after: Duration,
}

/// A folder for one relay, on the disk that the build is on: where temporary files are may be memory.
pub(crate) fn folder() -> TempDir {
    tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap()
}

/// One authenticated source and so many destinations that all get everything.
pub(crate) fn rules(destinations: usize, keys: &str) -> String {
    let names: Vec<String> = (1..=destinations)
        .map(|number| format!("app-{number}"))
        .collect();
    let sections = names
        .iter()
        .map(|name| format!("[destinations.{name}]\n{keys}\n"));
    format!(
        "[sources.jobmojito]\nauth = {{ bearer = [\"{TOKEN}\"] }}\n\
         [store]\nmax_waiting = 100_000_000\n{}[[routes]]\nevents = [\"*\"]\nto = {names:?}\n",
        sections.collect::<String>()
    )
}

impl Relay {
    /// Starts it in `folder`, where its store may be already.
    pub(crate) fn start(folder: &Path, rules: &str) -> Self {
        Self::start_under(&[], folder, rules)
    }

    /// The same under a program that watches it. One worker thread: else threads that look for work are counted.
    pub(crate) fn start_under(watcher: &[&str], folder: &Path, rules: &str) -> Self {
        std::fs::write(folder.join("relay.toml"), rules).unwrap();
        let (ingress, admin) = (free_port(), free_port());
        let log = std::fs::File::create(folder.join("log")).unwrap();
        let started = Instant::now();
        let words = [watcher, &[BINARY]].concat();
        let mut command = Command::new(words[0]);
        command.args(&words[1..]).current_dir(folder).env_clear();
        if let Some(path) = std::env::var_os("PATH").filter(|_| !watcher.is_empty()) {
            command.env("PATH", path).env("TOKIO_WORKER_THREADS", "1");
        }
        let child = command
            .args(["serve", "--override", &format!("server.listen={ingress}")])
            .args(["--override", &format!("admin.listen={admin}")])
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .unwrap();
        let mut relay = Self {
            child,
            ingress,
            admin,
            ready_after: Duration::ZERO,
        };
        while !relay
            .get("/readyz")
            .is_some_and(|answer| answer.starts_with("HTTP/1.1 200"))
        {
            let log = || std::fs::read_to_string(folder.join("log")).unwrap_or_default();
            let ended = relay.child.try_wait().unwrap().is_some();
            assert!(
                !ended && started.elapsed() < PATIENCE,
                "the relay is not ready: {}",
                log()
            );
            std::thread::sleep(Duration::from_micros(500));
        }
        relay.ready_after = started.elapsed();
        relay
    }

    /// Lets it end by itself; answers which process it was.
    pub(crate) fn stop(mut self) -> u32 {
        let id = self.child.id();
        let told = Command::new("kill").arg(id.to_string()).status();
        assert!(told.unwrap().success());
        assert!(self.child.wait().unwrap().success());
        id
    }

    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    /// The sum of a metric over its labels.
    pub(crate) fn metric(&self, name: &str) -> f64 {
        let answer = self.get("/metrics").unwrap();
        let of_it = |line: &&str| {
            let rest = line.strip_prefix(name);
            rest.is_some_and(|rest| rest.starts_with([' ', '{']))
        };
        let values = answer.lines().filter(of_it);
        values
            .map(|line| line.rsplit(' ').next().unwrap().parse::<f64>().unwrap())
            .sum()
    }

    /// Waits until nothing waits any more.
    pub(crate) async fn drained(&self) {
        let started = Instant::now();
        while self.metric("relay_waiting") > 0.0 {
            assert!(started.elapsed() < PATIENCE, "the relay does not get done");
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    fn get(&self, path: &str) -> Option<String> {
        let mut stream = TcpStream::connect(self.admin).ok()?;
        let request = format!(
            "GET {path} HTTP/1.1\r\nhost: {}\r\nconnection: close\r\n\r\n",
            self.admin
        );
        stream.write_all(request.as_bytes()).ok()?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer).ok()?;
        Some(answer)
    }
}

impl Drop for Relay {
    fn drop(&mut self) {
        let _ended_already = self.child.kill();
        let _reaped = self.child.wait();
    }
}

fn free_port() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    listener.local_addr().unwrap()
}
