//! Opening a store in a database: its schema, its user, its place, and how to get there.

use std::collections::BTreeSet;

use super::*;
use crate::postgres::Cluster;

#[tokio::test]
async fn relays_that_start_at_once_make_one_schema_with_one_key() {
    let url = postgres::shared().url();
    let mut tasks = tokio::task::JoinSet::new();
    for byte in 0..4 {
        let options = PostgresOptions {
            url: PostgresUrl::parse(&url).unwrap(),
            key: [byte; 32],
            seals: Keyring::default(),
            name: "test".to_owned(),
            clock: Arc::new(ManualClock::new(Timestamp::UNIX_EPOCH)),
            on_commit: None,
        };
        tasks.spawn(async move { PostgresStore::open(&options).await.unwrap() });
    }
    let stores = tasks.join_all().await;
    let keys: BTreeSet<[u8; 32]> = stores.iter().map(|store| *store.key().as_bytes()).collect();
    assert_eq!(keys.len(), 1);
    for store in stores {
        store.close().await.unwrap();
    }
}

#[tokio::test]
async fn a_newer_schema_is_refused_unless_it_says_that_it_fits() {
    let mut home = Home::postgres().await;
    home.close().await;
    let Options::Postgres(_, url) = &home.options else {
        panic!("it is in a file");
    };
    let client = postgres::connect(url).await;
    client
        .batch_execute("UPDATE meta SET number = 99 WHERE key = 'schema'")
        .await
        .unwrap();
    let expanded = home.options.open().await.unwrap();
    expanded.close().await.unwrap();
    client
        .batch_execute("UPDATE meta SET number = 98 WHERE key = 'schema_for'")
        .await
        .unwrap();
    let opened = home.options.open().await.map(drop);
    assert!(matches!(
        opened,
        Err(StoreError::Newer {
            found: 99,
            known: 1
        })
    ));
    home.leave().await;
}

#[tokio::test]
async fn a_user_that_may_make_no_schema_works_in_one_that_it_was_given() {
    let cluster = postgres::shared();
    let url = cluster.url();
    let (place, query) = url.split_once('?').unwrap();
    let client = postgres::connect(&url).await;
    let schema = query.strip_prefix("schema=").unwrap();
    let role = format!("plain_{schema}");
    client
        .batch_execute(&format!("CREATE ROLE {role} LOGIN"))
        .await
        .unwrap();
    let own = format!("{}?{query}", place.replace("relay:sesame", &role));
    let options = |url: &str| PostgresOptions {
        url: PostgresUrl::parse(url).unwrap(),
        key: [7; 32],
        seals: Keyring::default(),
        name: "test".to_owned(),
        clock: Arc::new(ManualClock::new(Timestamp::UNIX_EPOCH)),
        on_commit: None,
    };
    let refused = PostgresStore::open(&options(&own)).await.unwrap_err();
    assert!(refused.to_string().contains("42501"), "{refused}");
    let looked = mojito_relay::store::postgres::look(&options(&own).url).await;
    let words = looked.unwrap_err().to_string();
    assert!(words.contains("may not make the schema"), "{words}");
    client
        .batch_execute(&format!("CREATE SCHEMA {schema} AUTHORIZATION {role}"))
        .await
        .unwrap();
    let store = PostgresStore::open(&options(&own)).await.unwrap();
    accepted(store.accept(plan("s-1", 1, 0, &["crm"])).await);
    store.forget_writes().await.unwrap();
    store.close().await.unwrap();
}

#[tokio::test]
async fn what_cannot_be_opened_is_told_without_the_password() {
    let url = postgres::shared().url();
    for wrong in [
        url.replace("/postgres?", "/nothing?"),
        url.replace("relay:sesame", "nobody:sesame"),
        "postgres://relay:sesame@127.0.0.1:1/postgres".to_owned(),
        url.clone() + "&sslmode=require",
    ] {
        let options = PostgresOptions {
            url: PostgresUrl::parse(&wrong).unwrap(),
            key: [7; 32],
            seals: Keyring::default(),
            name: "test".to_owned(),
            clock: Arc::new(ManualClock::new(Timestamp::UNIX_EPOCH)),
            on_commit: None,
        };
        let error = PostgresStore::open(&options).await.unwrap_err();
        assert!(matches!(error, StoreError::Unavailable(_)), "{error}");
        let told = format!("{error} {error:?}");
        assert!(told.contains("postgres://127.0.0.1:"), "{told}");
        assert!(!told.contains("sesame"), "{told}");
    }
}

#[tokio::test]
async fn a_socket_serves_as_well() {
    let home = Home::at(postgres::by_socket()).await;
    home.accepted(plan("s-1", 1, 0, &["crm"])).await;
    home.ready().await.unwrap();
    home.leave().await;
}

/// A cluster that offers TLS, and a file with the authority of its certificate, which is for `localhost`.
fn secured(folder: &std::path::Path) -> (Cluster, std::path::PathBuf) {
    let cluster = Cluster::start();
    let key = rcgen::KeyPair::generate().unwrap();
    let params = rcgen::CertificateParams::new(vec!["localhost".to_owned()]).unwrap();
    let certificate = params.self_signed(&key).unwrap();
    let authority = folder.join("authority.pem");
    std::fs::write(&authority, certificate.pem()).unwrap();
    cluster.secure(&certificate.pem(), &key.serialize_pem());
    (cluster, authority)
}

#[tokio::test]
async fn tls_judges_the_certificate_by_authority_and_name() {
    let folder = TempDir::new().unwrap();
    let (cluster, authority) = secured(folder.path());
    let url = cluster.url();
    let by_name = url.replace("@127.0.0.1:", "@localhost:");
    let trusting = format!("&sslrootcert={}", authority.display());
    let home = Home::at(format!("{by_name}{trusting}")).await;
    home.accepted(plan("s-1", 1, 0, &["crm"])).await;
    let secure: bool = postgres::connect(&by_name)
        .await
        .query_one(
            "SELECT bool_and(s.ssl) FROM pg_stat_ssl AS s JOIN pg_stat_activity AS a ON a.pid = s.pid
             WHERE a.application_name = 'mojito-relay'",
            &[],
        )
        .await
        .unwrap()
        .get(0);
    assert!(secure);
    home.leave().await;
    for (wrong, words) in [
        // Nobody vouches for it.
        (format!("{by_name}&sslmode=require"), "certificate"),
        // It is another's.
        (format!("{url}{trusting}"), "certificate"),
    ] {
        let opened =
            mojito_relay::store::postgres::look(&PostgresUrl::parse(&wrong).unwrap()).await;
        let told = opened.unwrap_err().to_string();
        assert!(told.contains(words), "{told}");
        assert!(!told.contains("sesame"), "{told}");
    }
}
