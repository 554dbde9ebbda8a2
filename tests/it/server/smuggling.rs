//! Requests that two servers in a row could read differently. Either they are refused and the connection ends, or what
//! follows them is not believed: a second request never hides in the first.

use super::*;

/// What hides: it would be answered with 200 and "hello".
const HIDDEN: &str = "GET /hello HTTP/1.1\r\nhost: relay\r\n\r\n";

/// Everything that is answered to these bytes, until the relay closes.
async fn answers(relay: &Relay, text: &str) -> String {
    let mut stream = relay.connect().await;
    // A refusal may come, and the connection go, before all is sent.
    stream.write_all(text.as_bytes()).await.ok();
    stream.shutdown().await.ok();
    String::from_utf8(read_rest(&mut stream).await).unwrap()
}

async fn check(relay: &Relay, head: &str, rest: &str, status: u16) {
    let text = format!("POST /read HTTP/1.1\r\n{head}\r\n\r\n{rest}");
    let answers = answers(relay, &text).await;
    let expected = format!("HTTP/1.1 {status} ");
    assert!(answers.starts_with(&expected), "{text:?}: {answers:?}");
    assert_eq!(
        answers.matches("HTTP/1.1 ").count(),
        1,
        "{text:?}: {answers:?}"
    );
    assert!(!answers.contains("hello"), "{text:?}: {answers:?}");
}

#[tokio::test]
async fn a_length_beside_chunks_ends_the_connection_after_the_answer() {
    let relay = Setup::default().start().await;
    let chunks = format!("3\r\nabc\r\n0\r\n\r\n{HIDDEN}");
    let length = chunks.len();
    for head in [
        format!("host: r\r\ncontent-length: {length}\r\ntransfer-encoding: chunked"),
        format!("host: r\r\ntransfer-encoding: chunked\r\ncontent-length: {length}"),
        "host: r\r\ntransfer-encoding: chunked\r\ncontent-length: 5\r\ncontent-length: 6"
            .to_owned(),
        // There is no telling whether a length stood beside it.
        "host: r\r\ntransfer-encoding: chunked".to_owned(),
    ] {
        check(&relay, &head, &chunks, 200).await;
    }
}

#[tokio::test]
async fn a_head_that_can_be_read_in_two_ways_is_refused() {
    let relay = Setup::default().start().await;
    let rest = format!("3\r\nabc\r\n0\r\n\r\n{HIDDEN}");
    for head in [
        // Which length?
        "host: r\r\ncontent-length: 3\r\ncontent-length: 4",
        "host: r\r\ncontent-length: 3, 3",
        "host: r\r\ncontent-length: +3",
        "host: r\r\ncontent-length: -3",
        "host: r\r\ncontent-length: 0x3",
        "host: r\r\ncontent-length: 3 3",
        "host: r\r\ncontent-length:",
        "host: r\r\ncontent-length: 99999999999999999999999",
        // Chunks or not?
        "host: r\r\ntransfer-encoding: xchunked",
        "host: r\r\ntransfer-encoding: chunked, identity",
        "host: r\r\ntransfer-encoding: identity",
        "host: r\r\ntransfer-encoding: gzip",
        "host: r\r\ntransfer-encoding: chunked\r\ntransfer-encoding: identity",
        "host: r\r\ntransfer-encoding: chunked\u{b}",
        // A field or the rest of the one before?
        "host: r\r\ntransfer-encoding : chunked",
        "host: r\r\n transfer-encoding: chunked",
        "host: r\r\nx: y\r\n\ttransfer-encoding: chunked",
        "host: r\r\nx: y\rtransfer-encoding: chunked",
        "host: r\r\nx\0: y",
        "host: r\r\nx: a\0b",
        "host: r\r\n: y",
        "host: r\r\nnonsense",
    ] {
        check(&relay, head, &rest, 400).await;
    }
}

#[tokio::test]
async fn chunks_that_can_be_read_in_two_ways_are_refused() {
    let relay = Setup::default().start().await;
    for rest in [
        "3\nabc\n0\n\n",
        "3;x\nabc\r\n0\r\n\r\n",
        "0x3\r\nabc\r\n0\r\n\r\n",
        "+3\r\nabc\r\n0\r\n\r\n",
        "-1\r\nabc\r\n0\r\n\r\n",
        "\r\nabc\r\n0\r\n\r\n",
        "3\r\nabcd\r\n0\r\n\r\n",
        "10000000000000003\r\nabc\r\n0\r\n\r\n",
        "g\r\nabc\r\n0\r\n\r\n",
    ] {
        let rest = format!("{rest}{HIDDEN}");
        check(&relay, "host: r\r\ntransfer-encoding: chunked", &rest, 400).await;
    }
    let endless = format!("3;{}\r\nabc\r\n0\r\n\r\n", "x".repeat(64 * 1024));
    check(
        &relay,
        "host: r\r\ntransfer-encoding: chunked",
        &endless,
        400,
    )
    .await;
    let extended = format!("3;a=b;c\r\nabc\r\n0\r\nx-trailer: y\r\n\r\n{HIDDEN}");
    check(
        &relay,
        "host: r\r\ntransfer-encoding: chunked",
        &extended,
        200,
    )
    .await;
}

#[tokio::test]
async fn an_older_version_has_no_chunks_and_one_length_said_twice_is_one() {
    let relay = Setup::default().start().await;
    let old = format!("POST /read HTTP/1.0\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n{HIDDEN}");
    let answered = answers(&relay, &old).await;
    assert!(
        answered.contains(" 400 ") && !answered.contains("hello"),
        "{answered}"
    );
    let twice = "host: r\r\ncontent-length: 3\r\ncontent-length: 3";
    check(&relay, twice, "abc", 200).await;
}

#[tokio::test]
async fn lines_that_are_no_request_are_refused() {
    let relay = Setup::default().start().await;
    for line in [
        "GET",
        "GET /hello",
        "GET  /hello HTTP/1.1",
        "GET /hello HTTP/1.1 ",
        "GET /hel lo HTTP/1.1",
        "GET /hello HTTP/1.2",
        "GET /hello HTTP/9.9",
        "GET /he\0llo HTTP/1.1",
        "GET hello HTTP/1.1",
        "GET relay:80 HTTP/1.1",
        "G\u{e9}T /hello HTTP/1.1",
        "HTTP/1.1 200 OK",
        "\u{16}\u{3}\u{1} a TLS hello",
    ] {
        let answered = answers(&relay, &format!("{line}\r\nhost: relay\r\n\r\n")).await;
        let found =
            !answered.is_empty() && !answered.contains(" 400 ") && !answered.contains(" 404 ");
        assert!(!found, "{line:?}: {answered}");
    }
}

#[tokio::test]
async fn a_path_as_long_as_a_head_is_refused_and_a_shorter_one_is_not_found() {
    let relay = Setup::default().start().await;
    for (length, status) in [(10_000, 404), (40_000, 431)] {
        let line = format!("GET /{} HTTP/1.1", "a".repeat(length));
        let text = format!("{line}\r\nhost: relay\r\nconnection: close\r\n\r\n");
        let answered = answers(&relay, &text).await;
        let refused = answered.starts_with(&format!("HTTP/1.1 {status} "));
        assert!(refused, "{length}: {:?}", answered.lines().next());
    }
}
