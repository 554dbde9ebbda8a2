//! A PostgreSQL for this test binary alone: started when it is first asked for, gone with the process. Every store has
//! a schema of its own in it.

use std::io::{BufRead as _, BufReader, Write as _};
use std::net::TcpListener;
use std::path::PathBuf;
use std::process::{ChildStdin, ChildStdout, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{LazyLock, Mutex, PoisonError};

use mojito_relay::store::postgres::PostgresUrl;

/// A cluster in a folder of its own.
pub struct Cluster {
    folder: PathBuf,
    port: u16,
    schemas: AtomicU32,
    control: Mutex<Control>,
}

/// The script that runs it. It ends when nothing can be told it any more.
struct Control {
    say: ChildStdin,
    hear: BufReader<ChildStdout>,
}

/// The one that tests share, and that none may stop.
pub fn shared() -> &'static Cluster {
    static SHARED: LazyLock<Cluster> = LazyLock::new(Cluster::start);
    &SHARED
}

impl Cluster {
    /// One of its own, which may be stopped.
    pub fn start() -> Self {
        let folder = tempfile::Builder::new().prefix("relay-pg-").tempdir();
        // The script takes it away, when the process is gone.
        let folder = folder.expect("a temporary folder").keep();
        let free = TcpListener::bind("127.0.0.1:0").and_then(|bound| bound.local_addr());
        let port = free.expect("a free port").port();
        let mut script = Command::new("sh")
            .args(["-c", include_str!("cluster.sh"), "cluster.sh"])
            .arg(&folder)
            .arg(port.to_string())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("a shell");
        let control = Control {
            say: script.stdin.take().expect("it is piped"),
            hear: BufReader::new(script.stdout.take().expect("it is piped")),
        };
        let cluster = Self {
            folder,
            port,
            schemas: AtomicU32::new(0),
            control: Mutex::new(control),
        };
        cluster.heard();
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
        let number = self.schemas.fetch_add(1, Ordering::Relaxed);
        let port = self.port;
        format!("postgres://relay:sesame@127.0.0.1:{port}/postgres?schema=store_{number}")
    }

    /// The same over the socket in its folder.
    pub fn by_socket(&self) -> String {
        let (port, folder) = (self.port, self.folder.display());
        let number = self.schemas.fetch_add(1, Ordering::Relaxed);
        format!("postgres:///postgres?user=relay&host={folder}&port={port}&schema=store_{number}")
    }

    fn tell(&self, line: &str) {
        let mut control = self.control.lock().unwrap_or_else(PoisonError::into_inner);
        writeln!(control.say, "{line}").expect("the script listens");
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

/// A connection of the test's own to the schema of a store.
pub async fn connect(url: &str) -> tokio_postgres::Client {
    let parsed = PostgresUrl::parse(url).expect("a URL");
    let (place, query) = url.split_once('?').expect("it names a schema");
    let theirs: Vec<&str> = query
        .split('&')
        .filter(|pair| !pair.starts_with("schema="))
        .collect();
    let plain = format!("{place}?{}", theirs.join("&"));
    let connected = tokio_postgres::connect(&plain, tokio_postgres::NoTls).await;
    let (client, connection) = connected.expect("it answers");
    tokio_util::task::TaskTracker::new().spawn(connection);
    let shown = parsed.to_string();
    let (_, schema) = shown.split_once("schema=").expect("it is shown");
    let set = format!("SET search_path TO {schema}");
    client.batch_execute(&set).await.expect("a schema");
    client
}
