//! One `PostgreSQL` for this test binary, started when it is first asked for. Every store has a schema of its own in it.

mod cluster;
mod proxy;

use std::sync::LazyLock;

use mojito_relay::store::postgres::PostgresUrl;

pub use cluster::Cluster;
pub use proxy::Proxy;

/// The one that tests share, and that none may stop.
pub fn shared() -> &'static Cluster {
    static SHARED: LazyLock<Cluster> = LazyLock::new(Cluster::start);
    &SHARED
}

impl Cluster {
    /// Offers TLS from now on, with this certificate and key in PEM.
    pub fn secure(&self, certificate: &str, key: &str) {
        self.stop();
        let data = self.folder.join("data");
        for (name, text) in [("server.crt", certificate), ("server.key", key)] {
            let file = data.join(name);
            std::fs::write(&file, text).expect("the folder is there");
            self.hand_over(&file);
        }
        let settings = data.join("postgresql.conf");
        let mut settings = std::fs::OpenOptions::new()
            .append(true)
            .open(settings)
            .expect("it is there");
        std::io::Write::write_all(&mut settings, b"ssl = on\n").expect("it can be written");
        self.go_on();
    }

    /// A file is that user's who runs it, and nobody else may read it.
    fn hand_over(&self, file: &std::path::Path) {
        use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, chown};
        let owner = self.folder.metadata().expect("it is there");
        let own = std::fs::metadata(file).expect("it was written");
        if own.uid() != owner.uid() {
            chown(file, Some(owner.uid()), Some(owner.gid())).expect("root may");
        }
        let private = std::fs::Permissions::from_mode(0o600);
        std::fs::set_permissions(file, private).expect("it is ours or we are root");
    }
}

/// A new store's URL over the socket in its folder.
pub fn by_socket() -> String {
    let cluster = shared();
    let (port, folder, schema) = (cluster.port, cluster.folder.display(), cluster.schema());
    format!("postgres:///postgres?user=relay&host={folder}&port={port}&schema={schema}")
}

/// A connection of the test's own to the schema of a store.
pub async fn connect(url: &str) -> tokio_postgres::Client {
    let parsed = PostgresUrl::parse(url).expect("a URL");
    let (place, query) = url.split_once('?').expect("it names a schema");
    let theirs: Vec<&str> = query
        .split('&')
        .filter(|pair| !pair.starts_with("schema=") && !pair.starts_with("ssl"))
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
