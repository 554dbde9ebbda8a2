//! One `PostgreSQL` for this test binary, started when it is first asked for. Every store has a schema of its own in it.

mod cluster;

use std::sync::LazyLock;

use mojito_relay::store::postgres::PostgresUrl;

pub use cluster::Cluster;

/// The one that tests share, and that none may stop.
pub fn shared() -> &'static Cluster {
    static SHARED: LazyLock<Cluster> = LazyLock::new(Cluster::start);
    &SHARED
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
