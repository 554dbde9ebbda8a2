//! Whether an answer reached its sender.

use http_body_util::BodyExt as _;

use super::*;

#[tokio::test]
async fn an_answer_that_was_written_is_not_lost() {
    let relay = Setup::default().start().await;
    let mut stream = relay.connect().await;
    relay.open_gate();
    send(&mut stream, &post("/gate", "content-length: 0")).await;
    assert_eq!(relay.told().await, Told::Entered);
    assert_eq!(read_answer(&mut stream).await.body, "passed");
    assert_eq!(relay.told().await, Told::Sent);

    let mut http2 = relay.connect_http2().await;
    relay.open_gate();
    let answer = http2
        .send_request(http2_request("/gate", "abc"))
        .await
        .unwrap();
    assert_eq!(relay.told().await, Told::Entered);
    assert_eq!(
        answer.into_body().collect().await.unwrap().to_bytes(),
        "passed"
    );
    assert_eq!(relay.told().await, Told::Sent);
}

#[tokio::test]
async fn a_large_answer_counts_once_all_of_it_was_taken() {
    let relay = Setup::default().start().await;
    let mut stream = relay.connect().await;
    assert_eq!(get(&mut stream, "/big").await.body.len(), 64 * 1024 * 1024);
    assert_eq!(relay.told().await, Told::Sent);
}

#[tokio::test]
async fn an_answer_cut_off_by_a_reset_is_lost() {
    let relay = Setup::default().start().await;
    let mut stream = relay.connect().await;
    send(&mut stream, "GET /big HTTP/1.1\r\nhost: relay\r\n\r\n").await;
    assert_eq!(stream.read_u8().await.unwrap(), b'H');
    stream.set_zero_linger().unwrap();
    drop(stream);
    assert_eq!(relay.told().await, Told::Lost);
}

#[tokio::test]
async fn an_answer_on_a_stream_that_was_reset_is_lost() {
    let relay = Setup::default().start().await;
    let mut http2 = relay.connect_http2().await;
    let answer = http2.send_request(http2_request("/big", "")).await.unwrap();
    assert_eq!(answer.status(), 200);
    drop(answer);
    assert_eq!(relay.told().await, Told::Lost);
    let answer = http2
        .send_request(http2_request("/hello", ""))
        .await
        .unwrap();
    assert_eq!(answer.status(), 200);
}

#[tokio::test]
async fn a_handler_whose_sender_hangs_up_is_dropped() {
    let relay = Setup::default().start().await;
    let mut stream = relay.connect().await;
    send(&mut stream, &post("/gate", "content-length: 0")).await;
    assert_eq!(relay.told().await, Told::Entered);
    drop(stream);
    assert_eq!(relay.told().await, Told::Dropped);

    let mut http2 = relay.connect_http2().await;
    let answer = Box::pin(http2.send_request(http2_request("/gate", "")));
    tokio::select! {
        _ = answer => panic!("the gate is closed"),
        told = relay.told() => assert_eq!(told, Told::Entered),
    }
    assert_eq!(relay.told().await, Told::Dropped);
}
