//! Peers that keep us busy with what is no request. Each is cut off, and others are served.

use super::frames::{
    END_HEADERS, END_STREAM, INITIAL_WINDOW, PREFACE, continuation, data, ping, request, reset,
    settings,
};
use super::*;

/// An HTTP/2 connection spoken by hand, with `first` as its settings.
async fn speak(relay: &Relay, first: &[(u16, u32)]) -> TcpStream {
    let mut stream = relay.connect().await;
    stream.write_all(PREFACE).await.unwrap();
    stream.write_all(&settings(first)).await.unwrap();
    stream
}

/// Sends what `frames` gives until the relay has had enough. It reads along, so that nothing stalls.
async fn flood(stream: TcpStream, mut frames: impl FnMut(u32) -> Vec<u8>) {
    let (mut from, mut to) = stream.into_split();
    let sending = async {
        for round in 0.. {
            if to.write_all(&frames(round)).await.is_err() {
                return;
            }
        }
    };
    let cut = async { read_rest(&mut from).await };
    tokio::select! {
        () = sending => {}
        _ = cut => {}
    }
}

async fn is_served(relay: &Relay) {
    let mut another = relay.connect().await;
    assert_eq!(get(&mut another, "/hello").await.status, 200);
}

/// The stream of a client's nth request.
fn nth(round: u32) -> u32 {
    2 * round + 1
}

#[tokio::test]
async fn frames_that_ask_for_nothing_end_the_connection() {
    let relay = Setup::default().start().await;
    let one = |frame: Vec<u8>| move |_| frame.repeat(512);
    flood(speak(&relay, &[]).await, one(ping())).await;
    flood(speak(&relay, &[]).await, one(settings(&[]))).await;
    flood(
        speak(&relay, &[]).await,
        one(settings(&[(4, 1), (4, 70_000)])),
    )
    .await;
    is_served(&relay).await;
}

#[tokio::test]
async fn they_end_it_also_beside_a_request_that_is_slow_to_come() {
    let relay = Setup::default().start().await;
    let mut stream = speak(&relay, &[]).await;
    let slow = request(1, "/read", &[], END_HEADERS);
    stream.write_all(&slow).await.unwrap();
    stream.write_all(&data(1, b"x", 0)).await.unwrap();
    // An empty piece of a body is no progress either.
    let chatter = [ping(), data(1, b"", 0)].concat().repeat(256);
    flood(stream, move |_| chatter.clone()).await;
    is_served(&relay).await;
}

#[tokio::test]
async fn a_head_that_never_ends_ends_the_connection() {
    let relay = Setup::default().start().await;
    // A field that is never indexed, again and again; and continuations of nothing.
    let field = [&[0x10, 1, b'x', 100][..], &[b'y'; 100]].concat();
    for piece in [field.repeat(20), Vec::new()] {
        let stream = speak(&relay, &[]).await;
        flood(stream, move |round| match round {
            0 => request(1, "/read", &[], 0),
            _ => continuation(1, &piece),
        })
        .await;
    }
    is_served(&relay).await;
}

#[tokio::test]
async fn requests_that_are_reset_at_once_end_the_connection() {
    let relay = Setup::default().start().await;
    for flags in [END_HEADERS, END_HEADERS | END_STREAM] {
        flood(speak(&relay, &[]).await, move |round| {
            let stream = nth(round);
            [request(stream, "/gate", &[], flags), reset(stream)].concat()
        })
        .await;
    }
    is_served(&relay).await;
}

#[tokio::test]
async fn streams_beyond_the_limit_and_frames_that_break_the_rules_end_the_connection() {
    let relay = Setup::default().start().await;
    // All of them stay open; the relay resets what is beyond its limit.
    flood(speak(&relay, &[]).await, |round| {
        request(nth(round), "/gate", &[], END_HEADERS)
    })
    .await;
    // Data on a stream that was never opened, a window that overflows, an oversized frame.
    for wrong in [
        data(1, b"x", 0),
        vec![0, 0, 4, 8, 0, 0, 0, 0, 0, 0, 0, 0, 0],
        vec![255, 255, 255, 0, 0, 0, 0, 0, 1],
    ] {
        flood(speak(&relay, &[]).await, move |_| wrong.clone()).await;
    }
    is_served(&relay).await;
}

#[tokio::test]
async fn whoever_takes_no_answer_but_pings_is_cut_off_all_the_same() {
    let mut setup = Setup::default();
    setup.server.header_deadline = BRIEF;
    let relay = setup.start().await;
    relay.open_gate();
    let mut stream = speak(&relay, &[(INITIAL_WINDOW, 0)]).await;
    let asks = request(1, "/gate", &[], END_HEADERS | END_STREAM);
    stream.write_all(&asks).await.unwrap();
    assert_eq!(relay.told().await, Told::Entered);
    // Each ping is answered, so the relay goes on writing; one a round trip is no flood.
    let (mut from, mut to) = stream.into_split();
    let mut pong = [0; 17];
    while to.write_all(&ping()).await.is_ok() && from.read_exact(&mut pong).await.is_ok() {}
    assert_eq!(relay.told().await, Told::Lost);
    is_served(&relay).await;
}
