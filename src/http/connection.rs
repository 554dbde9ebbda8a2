//! One connection from its handshake to its end: serves requests, watches its deadlines, obeys orders.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use http::header::{CONNECTION, CONTENT_LENGTH, TRANSFER_ENCODING};
use http::{HeaderValue, Method, Request, Response, Version};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tokio_util::either::Either;

use super::body::Inbound;
use super::link::{Link, Order, Patience, Underway};
use super::peer::Peer;
use super::reply::Reply;
use super::server::{Hall, Handler, Place};
use super::timer;
use super::wire::{Stream, Wire};

/// Deadlines that an answer may take to be read by a peer that asks for nothing more. Its pings, too, make us write, so that
/// alone does not show that it reads.
const FAREWELLS: u32 = 6;

/// How long a drain waits for the reader of a stream to take its last words.
const FAREWELL: Duration = Duration::from_secs(1);

/// Serves one connection to its end.
pub(super) async fn serve(hall: Arc<Hall>, stream: TcpStream, address: SocketAddr, place: Place) {
    let link = &place.link;
    let deadline = hall.limits.header_deadline;
    let peer = Peer::new(address, hall.tls.is_some());
    let Some(stream) = handshake(&hall, stream, link).await else {
        return;
    };
    let service = service_fn(|request| answer(link.clone(), hall.handler.clone(), request, peer));
    let wire = TokioIo::new(Wire::new(stream, link.clone(), deadline));
    let mut connection = pin!(hall.protocols.serve_connection(wire, service));
    let mut look_again = pin!(timer::sleep_until(timer::now() + deadline));
    let mut farewell = pin!(timer::sleep_until(timer::now()));
    let mut bidden_farewell = false;
    // Bytes written by the time it was asked to end: it may go on only while that number grows, and not for ever.
    let mut leaving = None;
    let mut farewells = 0;
    loop {
        tokio::select! {
            biased;
            outcome = connection.as_mut() => {
                if let Err(error) = outcome {
                    tracing::debug!(%error, "a connection ended early");
                }
                return;
            }
            order = link.next_order() => match order {
                Order::Drain => {
                    connection.as_mut().graceful_shutdown();
                    bidden_farewell = link.only_streams();
                    farewell.as_mut().reset(timer::now() + FAREWELL);
                }
                Order::Close => return,
            },
            () = farewell.as_mut(), if bidden_farewell => return,
            () = look_again.as_mut() => match link.patience(deadline) {
                Patience::Until(at) => look_again.as_mut().reset(at),
                Patience::Never => return,
                Patience::Over if leaving == Some(link.written()) || farewells > FAREWELLS => return,
                Patience::Over => {
                    if leaving.is_none() {
                        connection.as_mut().graceful_shutdown();
                    }
                    leaving = Some(link.written());
                    farewells += 1;
                    look_again.as_mut().reset(timer::now() + deadline);
                }
            },
        }
    }
}

/// The stream once it is ready for HTTP; None where it never will be.
async fn handshake(hall: &Hall, stream: TcpStream, link: &Link) -> Option<Stream> {
    let Some(acceptor) = &hall.tls else {
        return Some(Either::Left(stream));
    };
    let until = timer::now() + hall.limits.header_deadline;
    let accept = timer::within(until, acceptor.accept(stream));
    let outcome = tokio::select! {
        // Whatever the order is: nothing was asked for yet.
        _ = link.next_order() => return None,
        outcome = accept => outcome,
    };
    match outcome {
        Some(Ok(stream)) => Some(Either::Right(Box::new(stream))),
        Some(Err(error)) => {
            tracing::debug!(%error, "a TLS handshake failed");
            None
        }
        None => {
            tracing::debug!("a TLS handshake took too long");
            None
        }
    }
}

async fn answer(
    link: Arc<Link>,
    handler: Arc<dyn Handler>,
    request: Request<Incoming>,
    peer: Peer,
) -> Result<Response<Reply>, Infallible> {
    let underway = Underway::begin(&link);
    let is_http1 = request.version() < Version::HTTP_2;
    let is_head = request.method() == Method::HEAD;
    // By the time that hyper shows a chunked request, it has dropped any Content-Length beside it: a proxy in front may
    // have taken that one for the truth, so nothing after the body is believed (RFC 9112, section 6.1).
    let mut last = is_http1 && request.headers().contains_key(TRANSFER_ENCODING);
    let request = if is_http1 {
        Inbound::http1(request, &link)
    } else {
        Inbound::http2(request, &link)
    };
    let mut response = handler.handle(request, peer).await;
    if is_http1 && let Some(leftover) = link.take_leftover() {
        if leftover.read_away().await {
            link.all_read();
        } else {
            last = true;
        }
    }
    if last {
        let close = HeaderValue::from_static("close");
        response.headers_mut().insert(CONNECTION, close);
    }
    if is_head {
        strip_body(&mut response);
    }
    response.body_mut().attach(&link, underway.finish());
    Ok(response)
}

/// An answer to HEAD: what GET would say about its body, without the body.
fn strip_body(response: &mut Response<Reply>) {
    if let Some(length) = response.body().length() {
        response
            .headers_mut()
            .insert(CONTENT_LENGTH, HeaderValue::from(length));
    }
    *response.body_mut() = Reply::empty();
}
