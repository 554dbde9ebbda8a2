//! Peers that are slow, silent or too many. Each test waits for what must happen, not for a time.

use http_body_util::BodyExt as _;

use super::*;

fn hurried() -> Setup {
    let mut setup = Setup::default();
    setup.server.header_deadline = BRIEF;
    setup
}

#[tokio::test]
async fn whoever_never_finishes_a_head_is_closed_without_an_answer() {
    let relay = hurried().start().await;
    let beginnings = [
        "",
        "POST /read HT",
        "POST /read HTTP/1.1\r\nhost: re",
        "PRI * HTTP/2.0\r\n",
    ];
    for beginning in beginnings {
        let mut stream = relay.connect().await;
        send(&mut stream, beginning).await;
        assert!(read_rest(&mut stream).await.is_empty(), "{beginning}");
    }
}

#[tokio::test]
async fn a_connection_is_closed_when_its_next_head_does_not_come() {
    let relay = hurried().start().await;
    for beginning in ["", "GET /hello HTT"] {
        let mut stream = relay.connect().await;
        assert_eq!(get(&mut stream, "/hello").await.status, 200);
        send(&mut stream, beginning).await;
        assert!(read_rest(&mut stream).await.is_empty());
    }
}

#[tokio::test]
async fn an_idle_http2_connection_is_told_to_go() {
    let relay = hurried().start().await;
    let mut used = relay.connect_http2().await;
    let answer = used
        .send_request(http2_request("/hello", ""))
        .await
        .unwrap();
    assert_eq!(
        answer.into_body().collect().await.unwrap().to_bytes(),
        "hello"
    );
    let mut unused = relay.connect_http2().await;
    for sender in [&mut used, &mut unused] {
        while sender.ready().await.is_ok() {
            tokio::task::yield_now().await;
        }
    }
}

#[tokio::test]
async fn a_silent_tls_handshake_ends() {
    let folder = tempfile::tempdir().unwrap();
    let pair = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let files = protocols::files(folder.path());
    std::fs::write(&files.cert, pair.cert.pem()).unwrap();
    std::fs::write(&files.key, pair.signing_key.serialize_pem()).unwrap();
    let setup = Setup {
        certificates: Some(Certificates::load(files).unwrap()),
        ..hurried()
    };
    let relay = setup.start().await;
    let mut silent = relay.connect().await;
    assert!(read_rest(&mut silent).await.is_empty());
}

#[tokio::test]
async fn a_busy_connection_is_never_too_slow() {
    let relay = hurried().start().await;
    let (mut waits, mut silent) = (relay.connect().await, relay.connect().await);
    send(&mut waits, &post("/gate", "content-length: 0")).await;
    assert_eq!(relay.told().await, Told::Entered);
    // By the time that three idle connections were closed in turn, the busy one is overdue thrice.
    for _ in 0..3 {
        assert!(read_rest(&mut silent).await.is_empty());
        silent = relay.connect().await;
    }
    relay.open_gate();
    assert_eq!(read_answer(&mut waits).await.body, "passed");
}

#[tokio::test]
async fn a_streaming_answer_keeps_its_connection_however_rarely_it_speaks() {
    let relay = hurried().start().await;
    let (mut listens, mut silent) = (relay.connect().await, relay.connect().await);
    send(&mut listens, "GET /stream HTTP/1.1\r\nhost: relay\r\n\r\n").await;
    let mut chunk = [0; 8];
    assert_eq!(read_answer(&mut listens).await.status, 200);
    for _ in 0..3 {
        assert!(read_rest(&mut silent).await.is_empty());
        silent = relay.connect().await;
        relay.feed("tick").await;
        listens.read_exact(&mut chunk[..]).await.unwrap();
        assert_eq!(&chunk, b"4\r\ntick\r");
        assert_eq!(listens.read_u8().await.unwrap(), b'\n');
    }
    relay.desk.feed.lock().await.take();
    // The end of the body, and then of the connection that has become idle.
    assert_eq!(read_rest(&mut listens).await, b"0\r\n\r\n");
}

#[tokio::test]
async fn a_slow_body_gets_408_and_the_connection_closes() {
    let mut setup = Setup::default();
    setup.body.deadline = BRIEF;
    let relay = setup.start().await;
    let mut stream = relay.connect().await;
    send(&mut stream, &post("/read", "content-length: 10")).await;
    send(&mut stream, "12345").await;
    let answer = read_answer(&mut stream).await;
    assert_eq!(answer.status, 408);
    assert!(answer.says_close());
    assert!(read_rest(&mut stream).await.is_empty());
}

#[tokio::test]
async fn time_for_the_head_counts_for_the_body_too() {
    let mut setup = Setup::default();
    setup.body.deadline = BRIEF;
    let relay = setup.start().await;
    let (mut slow, mut measure) = (relay.connect().await, relay.connect().await);
    send(&mut slow, "POST /read HTTP/1.1\r\n").await;
    let incomplete = post("/read", "content-length: 10");
    send(&mut measure, &incomplete).await;
    // The other connection's 408 says that this one's time is over before its head is complete.
    assert_eq!(read_answer(&mut measure).await.status, 408);
    let mut later = relay.connect().await;
    send(&mut later, &incomplete).await;
    send(&mut slow, "content-length: 10\r\n\r\n").await;
    tokio::select! {
        biased;
        answer = read_answer(&mut slow) => assert_eq!(answer.status, 408),
        _ = read_answer(&mut later) => panic!("its time began later"),
    }
}

#[tokio::test]
async fn one_slow_http2_stream_ends_alone() {
    let mut setup = Setup::default();
    setup.body.deadline = BRIEF;
    let relay = setup.start().await;
    let io = TokioIo::new(relay.connect().await);
    let (mut sender, connection) = http2::handshake(TokioExecutor::new(), io).await.unwrap();
    relay.tasks.spawn(connection);
    let (feed, body) = mpsc::channel::<Bytes>(1);
    let request = |body| Request::post("http://relay/read").body(body).unwrap();
    let slow = sender.send_request(request(Fed(Some(body))));
    feed.send(Bytes::from_static(b"12345")).await.unwrap();
    assert_eq!(slow.await.unwrap().status(), 408);
    let answer = sender.send_request(request(Fed(None))).await.unwrap();
    assert_eq!(
        answer.into_body().collect().await.unwrap().to_bytes(),
        "read 0"
    );
}

#[tokio::test]
async fn a_peer_that_takes_nothing_of_its_answer_loses_it() {
    let relay = hurried().start().await;
    let mut stream = relay.connect().await;
    send(&mut stream, "GET /big HTTP/1.1\r\nhost: relay\r\n\r\n").await;
    assert_eq!(relay.told().await, Told::Lost);
}

#[tokio::test]
async fn the_idlest_connection_makes_room_for_a_new_one() {
    let mut setup = Setup::default();
    setup.server.max_connections = 3;
    let relay = setup.start().await;
    let (mut first, mut second) = (relay.connect().await, relay.connect().await);
    assert_eq!(get(&mut first, "/hello").await.status, 200);
    assert_eq!(get(&mut second, "/hello").await.status, 200);
    let mut busy = relay.connect().await;
    send(&mut busy, &post("/gate", "content-length: 0")).await;
    assert_eq!(relay.told().await, Told::Entered);
    let mut fourth = relay.connect().await;
    assert_eq!(get(&mut fourth, "/hello").await.status, 200);
    assert!(read_rest(&mut first).await.is_empty());
    let mut fifth = relay.connect().await;
    assert_eq!(get(&mut fifth, "/hello").await.status, 200);
    assert!(read_rest(&mut second).await.is_empty());
    relay.open_gate();
    assert_eq!(read_answer(&mut busy).await.body, "passed");
}

#[tokio::test]
async fn while_all_are_busy_a_new_connection_waits() {
    let mut setup = Setup::default();
    setup.server.max_connections = 1;
    let relay = setup.start().await;
    let mut busy = relay.connect().await;
    send(&mut busy, &post("/gate", "content-length: 0")).await;
    assert_eq!(relay.told().await, Told::Entered);
    let mut waits = relay.connect().await;
    send(&mut waits, "GET /hello HTTP/1.1\r\nhost: relay\r\n\r\n").await;
    relay.open_gate();
    assert_eq!(read_answer(&mut busy).await.body, "passed");
    assert_eq!(read_answer(&mut waits).await.body, "hello");
}

#[tokio::test]
async fn who_never_asked_for_anything_makes_room_first() {
    let mut setup = Setup::default();
    setup.server.max_connections = 2;
    let relay = setup.start().await;
    let mut sender = relay.connect().await;
    assert_eq!(get(&mut sender, "/hello").await.status, 200);
    for _ in 0..3 {
        let mut silent = relay.connect().await;
        let mut another = relay.connect().await;
        send(&mut another, "GET /hello").await;
        assert!(read_rest(&mut silent).await.is_empty());
        assert_eq!(get(&mut sender, "/hello").await.status, 200);
    }
}

#[tokio::test]
async fn while_none_is_idle_the_slowest_to_come_in_makes_room() {
    let mut setup = Setup::default();
    setup.server.max_connections = 3;
    let relay = setup.start().await;
    let mut busy = relay.connect().await;
    send(&mut busy, &post("/gate", "content-length: 0")).await;
    assert_eq!(relay.told().await, Told::Entered);
    let (mut slow, mut slower) = (relay.connect().await, relay.connect().await);
    for stream in [&mut slower, &mut slow] {
        let asking = post("/read", "content-length: 10\r\nexpect: 100-continue");
        send(stream, &asking).await;
        assert_eq!(read_answer(stream).await.status, 100);
    }
    let mut another = relay.connect().await;
    assert_eq!(get(&mut another, "/hello").await.status, 200);
    assert!(read_rest(&mut slower).await.is_empty());
    send(&mut slow, "0123456789").await;
    assert_eq!(read_answer(&mut slow).await.body, "read 10");
    relay.open_gate();
    assert_eq!(read_answer(&mut busy).await.body, "passed");
}
