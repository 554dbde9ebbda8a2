//! The senders' door: who may come in, how much of what they bring is taken, and what they are told.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Request, Response, StatusCode, header};
use ipnet::IpNet;
use serde_json::json;

use super::body::{BodyBudget, BodyLimits, Inbound, read_body};
use super::call::{IngressCall, names_one_host};
use super::problem::{Problem, Refusal, Unavailable};
use super::{Handler, Peer, Reply, ServerSettings};
use crate::clock::Clock;
use crate::intake::{Intake, NotTaken, Receipt};
use crate::limiter::Limiter;
use crate::model::{Name, Rate};
use crate::source::{Auth, MAX_DEPTH, Malformed, Source};
use crate::telemetry::Telemetry;

/// How long senders are asked to wait after a fault of our own.
const TRY_AGAIN: Duration = Duration::from_secs(5);
/// The same while more waits than may: that passes more slowly.
const TRY_LATER: Duration = Duration::from_secs(30);

/// Answers `POST /hooks/{source}`.
pub struct Ingress {
    intake: Arc<Intake>,
    telemetry: Arc<Telemetry>,
    clock: Arc<dyn Clock>,
    limits: BodyLimits,
    budget: Arc<BodyBudget>,
    trusted_proxies: Vec<IpNet>,
    /// One limiter for each source that has a rate, kept for as long as the rate is the same.
    limiters: Mutex<HashMap<Name, (Rate, Arc<Limiter>)>>,
}

/// A refusal and the source that it concerns, where there is one.
type Refused = (Option<Name>, Refusal);

impl Ingress {
    pub fn new(
        settings: &ServerSettings,
        intake: Arc<Intake>,
        telemetry: Arc<Telemetry>,
        clock: Arc<dyn Clock>,
    ) -> Self {
        Self {
            intake,
            telemetry,
            clock,
            limits: BodyLimits {
                max_body: settings.max_body,
                deadline: settings.body_deadline,
            },
            budget: BodyBudget::new(settings.max_body_in_flight),
            trusted_proxies: settings.trusted_proxies.clone(),
            limiters: Mutex::default(),
        }
    }

    async fn hook(
        &self,
        request: Request<Inbound>,
        peer: Peer,
    ) -> Result<Response<Reply>, Refused> {
        let (parts, body) = request.into_parts();
        if !names_one_host(&parts) {
            return Err((None, Refusal::BadHost));
        }
        let IngressCall::Hook { source: name } = IngressCall::parse(&parts.method, &parts.uri)
            .map_err(|no_call| (None, no_call.into()))?;
        let source = self.intake.source(&name).ok_or((None, Refusal::NotFound))?;
        let refused = |refusal| (Some(source.name.clone()), refusal);
        let client = peer.client(&parts.headers, &self.trusted_proxies);
        if !source.allow_ips.is_empty() && !source.allow_ips.iter().any(|net| net.contains(&client))
        {
            return Err(refused(Refusal::Forbidden));
        }
        // A stranger is sent away before anything is read for him, and cannot use up a sender's rate.
        if !source.auth.needs_body() {
            self.authenticate(&source, &parts.headers, b"")
                .map_err(refused)?;
        }
        self.admit(&source).map_err(refused)?;
        if !is_json(&parts.headers) {
            return Err(refused(Refusal::UnsupportedMediaType));
        }
        let taken = read_body(body, self.limits, &self.budget)
            .await
            .map_err(|error| refused(error.into()))?;
        if source.auth.needs_body() {
            self.authenticate(&source, &parts.headers, &taken.bytes)
                .map_err(refused)?;
        }
        let (name, bytes) = (source.name.clone(), taken.bytes);
        let receipt = self
            .intake
            .receive(source, parts.headers, bytes.clone())
            .await
            .map_err(|error| {
                let at = self.clock.now();
                if let NotTaken::Store(_) | NotTaken::Contended = error {
                    self.telemetry.not_taken(at, &name, &error);
                }
                (Some(name), not_taken(&error))
            })?;
        Ok(self.acknowledge(receipt, bytes))
    }

    fn authenticate(
        &self,
        source: &Source,
        headers: &HeaderMap,
        body: &[u8],
    ) -> Result<(), Refusal> {
        let verified = source.auth.verify(headers, body, self.clock.now());
        let position = verified.map_err(|_| Refusal::Unauthorized {
            challenge: challenge(&source.auth),
        })?;
        if !matches!(source.auth, Auth::None) {
            self.telemetry.metrics.secret_used(&source.name, position);
        }
        Ok(())
    }

    fn admit(&self, source: &Source) -> Result<(), Refusal> {
        let Some(rate) = source.rate_limit else {
            return Ok(());
        };
        let limiter = {
            let mut limiters = self
                .limiters
                .lock()
                .expect("nobody panics while holding the limiters");
            let fresh = || (rate, Arc::new(Limiter::incoming(rate, self.clock.clone())));
            let entry = limiters.entry(source.name.clone()).or_insert_with(fresh);
            if entry.0 != rate {
                *entry = fresh();
            }
            entry.1.clone()
        };
        limiter
            .take()
            .map_err(|retry_after| Refusal::TooManyRequests { retry_after })
    }

    fn acknowledge(&self, receipt: Receipt, body: Bytes) -> Response<Reply> {
        if receipt.erased {
            let mut response = Response::new(Reply::new(json!({ "erased": true }).to_string()));
            let kind = HeaderValue::from_static("application/json");
            response.headers_mut().insert(header::CONTENT_TYPE, kind);
            return response;
        }
        let status = if receipt.duplicate {
            StatusCode::OK
        } else {
            StatusCode::ACCEPTED
        };
        let text = json!({
            "id": receipt.id,
            "type": receipt.event_type,
            "subject": receipt.subject,
            "revision": receipt.revision,
            "duplicate": receipt.duplicate,
            "deliveries": receipt.deliveries,
        });
        let reply = if receipt.duplicate || receipt.subject.is_none() {
            Reply::new(text.to_string())
        } else {
            let intake = self.intake.clone();
            Reply::with_receipt(
                text.to_string(),
                Box::new(move || intake.lost(receipt, body)),
            )
        };
        let mut response = Response::new(reply);
        *response.status_mut() = status;
        response.headers_mut().insert(
            header::CONTENT_TYPE,
            HeaderValue::from_static("application/json"),
        );
        response
    }
}

#[async_trait]
impl Handler for Ingress {
    async fn handle(&self, request: Request<Inbound>, peer: Peer) -> Response<Reply> {
        match self.hook(request, peer).await {
            Ok(response) => response,
            Err((source, refusal)) => {
                let problem = Problem::from(refusal);
                let source = source.as_deref().unwrap_or_default();
                let status = problem.status().as_u16();
                let now = self.clock.now();
                self.telemetry
                    .refused(now, (source, status), problem.kind());
                problem.into()
            }
        }
    }
}

/// Whatever is our own fault is a 503: the sender comes again.
fn not_taken(error: &NotTaken) -> Refusal {
    let unavailable = |reason, retry_after| Refusal::Unavailable {
        reason,
        retry_after,
    };
    match error {
        NotTaken::Malformed(Malformed::NotJson { .. }) => Refusal::NotJson,
        NotTaken::Malformed(Malformed::TooDeep) => Refusal::TooDeep { limit: MAX_DEPTH },
        NotTaken::TooMuchWaiting(_) => unavailable(Unavailable::TooMuchWaiting, TRY_LATER),
        NotTaken::Store(_) | NotTaken::Contended => unavailable(Unavailable::Store, TRY_AGAIN),
    }
}

fn challenge(auth: &Auth) -> &'static str {
    match auth {
        Auth::Bearer(_) => "Bearer",
        Auth::Basic(_) => r#"Basic realm="mojito-relay""#,
        Auth::HmacSha256 { .. } => "HMAC-SHA256",
        Auth::StandardWebhooks(_) => "Standard-Webhooks",
        Auth::Header { .. } | Auth::None => "Header",
    }
}

/// A content type of JSON (`application/json`, anything `+json`), or none at all.
fn is_json(headers: &HeaderMap) -> bool {
    let Some(value) = headers.get(header::CONTENT_TYPE) else {
        return true;
    };
    let Ok(value) = value.to_str() else {
        return false;
    };
    let essence = value
        .split(';')
        .next()
        .unwrap_or_default()
        .trim()
        .to_ascii_lowercase();
    matches!(essence.as_str(), "" | "application/json" | "text/json") || essence.ends_with("+json")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn json_in_any_spelling_or_no_type_at_all_is_taken() {
        let check = |value: Option<&str>, expect| {
            let mut headers = HeaderMap::new();
            if let Some(value) = value {
                headers.insert(header::CONTENT_TYPE, value.parse().expect("a header value"));
            }
            assert_eq!(is_json(&headers), expect, "{value:?}");
        };
        check(None, true);
        check(Some("application/json"), true);
        check(Some("Application/JSON; charset=utf-8"), true);
        check(Some("application/cloudevents+json"), true);
        check(Some("text/plain"), false);
        check(Some("application/x-www-form-urlencoded"), false);
    }
}
