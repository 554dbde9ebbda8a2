//! Stopping: what is under way is finished, the rest goes, and force ends everything.

use http_body_util::BodyExt as _;

use super::*;

#[tokio::test]
async fn draining_finishes_what_is_under_way_and_closes_the_idle() {
    let relay = Setup::default().start().await;
    let (mut busy, mut idle) = (relay.connect().await, relay.connect().await);
    assert_eq!(get(&mut idle, "/hello").await.status, 200);
    let mut untouched = relay.connect().await;
    assert_eq!(get(&mut busy, "/hello").await.status, 200);
    send(&mut busy, &post("/gate", "content-length: 0")).await;
    assert_eq!(relay.told().await, Told::Entered);

    relay.stop.drain.cancel();
    assert!(read_rest(&mut idle).await.is_empty());
    assert!(read_rest(&mut untouched).await.is_empty());
    let refused = TcpStream::connect(("127.0.0.1", relay.port)).await;
    assert!(refused.is_err());
    relay.open_gate();
    let answer = read_answer(&mut busy).await;
    assert_eq!(answer.body, "passed");
    assert!(answer.says_close());
    assert!(read_rest(&mut busy).await.is_empty());
    relay.tasks.wait().await;
}

#[tokio::test]
async fn draining_says_goaway_and_finishes_open_streams() {
    let relay = Setup::default().start().await;
    let mut http2 = relay.connect_http2().await;
    let mut open = Box::pin(http2.send_request(http2_request("/gate", "")));
    tokio::select! {
        _ = open.as_mut() => panic!("the gate is closed"),
        told = relay.told() => assert_eq!(told, Told::Entered),
    }
    relay.stop.drain.cancel();
    // Requests that were on their way before the goaway came are still answered.
    while http2
        .send_request(http2_request("/hello", ""))
        .await
        .is_ok()
    {}
    relay.open_gate();
    let answer = open.await.unwrap();
    assert_eq!(
        answer.into_body().collect().await.unwrap().to_bytes(),
        "passed"
    );
    assert_eq!(relay.told().await, Told::Sent);
    relay.tasks.wait().await;
}

#[tokio::test]
async fn force_drops_what_is_left() {
    let relay = Setup::default().start().await;
    let mut http1 = relay.connect().await;
    send(&mut http1, &post("/gate", "content-length: 0")).await;
    assert_eq!(relay.told().await, Told::Entered);
    let mut http2 = relay.connect_http2().await;
    let mut open = Box::pin(http2.send_request(http2_request("/gate", "")));
    tokio::select! {
        _ = open.as_mut() => panic!("the gate is closed"),
        told = relay.told() => assert_eq!(told, Told::Entered),
    }
    relay.stop.drain.cancel();
    relay.stop.force.cancel();
    relay.tasks.wait().await;
    assert_eq!(relay.told().await, Told::Dropped);
    assert_eq!(relay.told().await, Told::Dropped);
    assert!(open.await.is_err());
}

#[tokio::test]
async fn force_alone_is_enough() {
    let relay = Setup::default().start().await;
    let mut idle = relay.connect().await;
    assert_eq!(get(&mut idle, "/hello").await.status, 200);
    relay.stop.force.cancel();
    relay.tasks.wait().await;
    assert!(read_rest(&mut idle).await.is_empty());
}
