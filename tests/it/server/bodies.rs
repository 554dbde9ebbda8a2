//! Bodies that are too large, too many, or not read at all.

use http_body_util::BodyExt as _;

use super::*;

const FIVE_MIB: usize = 5 * 1024 * 1024;

#[tokio::test]
async fn whoever_sends_5_mib_against_1_mib_and_only_then_reads_can_read_the_413() {
    let relay = Setup::default().start().await;
    let mut stream = relay.connect().await;
    send(
        &mut stream,
        &post("/read", &format!("content-length: {FIVE_MIB}")),
    )
    .await;
    stream.write_all(&vec![b'x'; FIVE_MIB]).await.unwrap();
    let answer = read_answer(&mut stream).await;
    assert_eq!(answer.status, 413);
    assert!(answer.says_close());
    assert!(answer.body.contains("\"limit\":1048576"));
    assert!(read_rest(&mut stream).await.is_empty());
}

#[tokio::test]
async fn a_chunked_body_is_stopped_at_the_limit() {
    let relay = Setup::default().start().await;
    let mut stream = relay.connect().await;
    send(&mut stream, &post("/read", "transfer-encoding: chunked")).await;
    send(&mut stream, &format!("{FIVE_MIB:x}\r\n")).await;
    stream.write_all(&vec![b'x'; FIVE_MIB]).await.unwrap();
    send(&mut stream, "\r\n0\r\n\r\n").await;
    let answer = read_answer(&mut stream).await;
    assert_eq!(answer.status, 413);
    assert!(read_rest(&mut stream).await.is_empty());
}

#[tokio::test]
async fn over_http2_the_413_can_be_read_and_the_connection_goes_on() {
    let relay = Setup::default().start().await;
    let mut http2 = relay.connect_http2().await;
    let answer = http2.send_request(http2_request("/read", vec![b'x'; FIVE_MIB]));
    let answer = answer.await.unwrap();
    assert_eq!(answer.status(), 413);
    let problem = answer.into_body().collect().await.unwrap().to_bytes();
    assert!(problem.starts_with(b"{\"type\":\"urn:mojito-relay:problem:too-large\""));
    for _ in 0..3 {
        let answer = http2.send_request(http2_request("/read", vec![b'x'; 500_000]));
        let body = answer.await.unwrap().into_body().collect().await.unwrap();
        assert_eq!(body.to_bytes(), "read 500000");
    }
}

#[tokio::test]
async fn a_body_of_any_shape_within_the_limit_is_read() {
    let relay = Setup::default().start().await;
    let mut chunked = relay.connect().await;
    send(&mut chunked, &post("/read", "transfer-encoding: chunked")).await;
    send(&mut chunked, "3\r\nabc\r\n4\r\ndefg\r\n0\r\n\r\n").await;
    assert_eq!(read_answer(&mut chunked).await.body, "read 7");
    let mut stream = relay.connect().await;
    send(
        &mut stream,
        &post("/read", &format!("content-length: {LIMIT}")),
    )
    .await;
    let body = vec![b'x'; usize::try_from(LIMIT).unwrap()];
    stream.write_all(&body).await.unwrap();
    assert_eq!(read_answer(&mut stream).await.body, "read 1048576");
    send(&mut stream, &post("/read", "content-length: 0")).await;
    assert_eq!(read_answer(&mut stream).await.body, "read 0");
}

#[tokio::test]
async fn a_small_body_that_nobody_read_does_not_cost_the_connection() {
    let relay = Setup::default().start().await;
    let mut stream = relay.connect().await;
    for _ in 0..3 {
        send(&mut stream, &post("/nowhere", "content-length: 6")).await;
        send(&mut stream, "abc").await;
        send(&mut stream, "def").await;
        let answer = read_answer(&mut stream).await;
        assert_eq!(answer.status, 404);
        assert!(!answer.says_close());
    }
    assert_eq!(get(&mut stream, "/hello").await.status, 200);
}

#[tokio::test]
async fn requests_sent_ahead_are_answered_in_turn_read_or_not() {
    let relay = Setup::default().start().await;
    let mut stream = relay.connect().await;
    let unread = format!("{}abc", post("/nowhere", "content-length: 3"));
    let read = format!("{}abc", post("/read", "content-length: 3"));
    send(
        &mut stream,
        &[&*unread, &read, &unread, &unread, &read].concat(),
    )
    .await;
    for status in [404, 200, 404, 404, 200] {
        assert_eq!(read_answer(&mut stream).await.status, status);
    }
    assert_eq!(get(&mut stream, "/hello").await.status, 200);
}

#[tokio::test]
async fn an_early_answer_does_not_ask_for_the_body() {
    let relay = Setup::default().start().await;
    let expecting = "content-length: 6\r\nexpect: 100-continue";
    for (path, status) in [("/nowhere", 404), ("/read", 413)] {
        let mut stream = relay.connect().await;
        let headers = if status == 413 {
            "content-length: 2000000\r\nexpect: 100-continue"
        } else {
            expecting
        };
        send(&mut stream, &post(path, headers)).await;
        let answer = read_answer(&mut stream).await;
        assert_eq!(answer.status, status);
        assert!(answer.says_close());
        drop(stream.shutdown().await);
        assert!(read_rest(&mut stream).await.is_empty());
    }
    let mut stream = relay.connect().await;
    send(&mut stream, &post("/read", expecting)).await;
    assert_eq!(read_answer(&mut stream).await.status, 100);
    send(&mut stream, "abcdef").await;
    assert_eq!(read_answer(&mut stream).await.body, "read 6");
}

#[tokio::test]
async fn bodies_beyond_the_budget_get_503_and_its_end_frees_it() {
    let setup = Setup {
        budget: 10,
        ..Setup::default()
    };
    let relay = setup.start().await;
    let (mut holds, mut other) = (relay.connect().await, relay.connect().await);
    send(&mut holds, &post("/gate", "content-length: 8")).await;
    send(&mut holds, "12345678").await;
    assert_eq!(relay.told().await, Told::Entered);
    send(&mut other, &post("/read", "content-length: 8")).await;
    send(&mut other, "12345678").await;
    let answer = read_answer(&mut other).await;
    assert_eq!(answer.status, 503);
    assert!(answer.head.contains("retry-after: 1"));
    assert!(answer.body.contains("bodies-in-flight"));
    relay.open_gate();
    assert_eq!(read_answer(&mut holds).await.body, "passed");
    assert_eq!(relay.desk.budget.used(), 0);
}

#[tokio::test]
async fn a_body_that_breaks_off_frees_its_budget() {
    let relay = Setup::default().start().await;
    let mut stream = relay.connect().await;
    send(&mut stream, &post("/read", "transfer-encoding: chunked")).await;
    send(&mut stream, "5\r\nabcde\r\nnonsense\r\n").await;
    let answer = read_answer(&mut stream).await;
    assert_eq!(answer.status, 400);
    assert!(answer.body.contains("broken-body"));
    assert_eq!(relay.desk.budget.used(), 0);
}
