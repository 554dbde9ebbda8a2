//! Judges an answer: accepted, retry, rejected or blocked, with words for the operator. It decides
//! nothing about when to try again.

use std::cell::LazyCell;
use std::ops::Deref;
use std::time::Duration;

use http::{HeaderMap, StatusCode};
use jiff::Timestamp;
use serde_json::{Map, Value};

use super::scrub::Scrubber;
use super::{Action, Fault, Settings, retry_after, words};
use crate::expr::{Expression, FieldPath, RESPONSE_ROOTS, Scope};
use crate::model::Verdict;
use crate::store::Receipt;
use crate::transport::{Answer, Failure, FailureKind};

/// Longest receipt, in bytes; an id or a timestamp is far shorter.
const RECEIPT_BYTES: usize = 512;

/// What an answer means.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Judgement {
    pub verdict: Verdict,
    /// What the operator reads: the status and the receiver's words, one line of at most 300 units. It
    /// may hold personal data, so it stays out of logs.
    pub reason: String,
    /// It was accepted, but something is odd.
    pub warning: Option<String>,
    /// What the receiver asks for, not capped. Only with verdict retry.
    pub retry_after: Option<Duration>,
    /// The whole lane is to wait, not this delivery alone: 429, or 503 with Retry-After.
    pub holds_lane: bool,
    pub receipt: Option<Receipt>,
    /// Nothing was sent, for reasons that are the operator's to mend: that says nothing of the delivery.
    pub not_sent: bool,
    /// It is to be sent again at once and at no charge, and will be another request then.
    pub again: Option<Again>,
    /// The start of the response body, at most 1 KiB.
    pub excerpt: Option<String>,
}

/// What makes the next request another one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Again {
    /// What should have been changed is not there any more: something new is made.
    Gone,
    /// The token was refused: there will be a new one.
    NewToken,
}

/// What was asked, and when the answer came.
#[derive(Clone, Copy, Debug)]
pub(super) struct Asked<'a> {
    pub(super) action: Action,
    pub(super) now: Timestamp,
    pub(super) scrubber: &'a Scrubber,
}

/// The compiled response rules of a destination.
#[derive(Debug, Default)]
pub(super) struct Rules {
    blocked: Option<Expression>,
    retry: Option<Expression>,
    rejected: Option<Expression>,
    accepted: Option<Expression>,
    warned: Option<Expression>,
    gone: Option<Expression>,
    receipt: Option<String>,
    /// Base URL and channel under which receipts are given.
    pub(super) receipt_scope: String,
}

/// What the rules say, before it is put into words.
struct Ruling {
    verdict: Verdict,
    /// The rule that is not met, by name.
    unmet: Option<&'static str>,
    gone: bool,
    /// Why an acceptance is uncertain.
    doubts: Vec<String>,
}

impl Rules {
    pub(super) fn compile(settings: &Settings, origin: &str) -> Result<Self, Vec<Fault>> {
        let mut faults = Vec::new();
        let mut rule = |key: &str, text: &Option<String>| {
            let compiled = Expression::compile(text.as_deref()?, RESPONSE_ROOTS);
            compiled
                .map_err(|bad| faults.push(Fault::expression(key, bad)))
                .ok()
        };
        let channel = settings.with.get("channel").and_then(Value::as_str);
        let update = settings.update.as_ref();
        let rules = Self {
            blocked: rule("blocked_when", &settings.blocked_when),
            rejected: rule("rejected_when", &settings.rejected_when),
            retry: rule("retry_when", &settings.retry_when),
            accepted: rule("accepted_when", &settings.accepted_when),
            warned: rule("warned_when", &settings.warned_when),
            gone: rule(
                "update.gone_when",
                &update.and_then(|update| update.gone_when.clone()),
            ),
            receipt: settings.receipt.clone(),
            receipt_scope: [origin, channel.unwrap_or_default()]
                .join(" ")
                .trim_end()
                .to_owned(),
        };
        if rules
            .receipt
            .as_ref()
            .is_some_and(|pointer| !pointer.starts_with('/'))
        {
            let hint = "write a JSON pointer into the answer, such as \"/data/id\"";
            faults.push(Fault::new("receipt", "not a JSON pointer").hint(hint));
        }
        if faults.is_empty() {
            Ok(rules)
        } else {
            Err(faults)
        }
    }

    /// Judges a reply, in this order, where the first that applies decides:
    ///
    /// 1. No answer came: retry; but blocked where the relay's own settings for the destination
    ///    (a certificate file, a proxy, where it may be) made sending impossible.
    /// 2. `blocked_when` is true: blocked, whatever the status. Then, for an update, `gone_when`: retry,
    ///    and the next attempt creates.
    /// 3. `rejected_when` is true: rejected, whatever the status. `retry_when` is true: retry.
    /// 4. `accepted_when` is true: accepted, whatever the status (so that a 409 can mean "already
    ///    there"). It is false: a 2xx is rejected; any other status falls through to 6.
    /// 5. Any other 2xx is accepted. With a warning and without receipt where a rule could not be
    ///    evaluated, or where the body is incomplete.
    /// 6. 408, 425, 429 and 5xx but 501 and 505: retry. 401, 403, 410: blocked. The rest: rejected.
    ///
    /// A rule that errs is never true. An incomplete body is not shown to the rules at all: one that
    /// needs it errs, one about status or headers still works.
    pub(super) fn judge(&self, reply: &Result<Answer, Failure>, asked: &Asked<'_>) -> Judgement {
        match reply {
            Ok(answer) => self.judge_answer(answer, asked),
            Err(failure) => Judgement {
                verdict: match failure.kind {
                    FailureKind::Settings | FailureKind::Address => Verdict::Blocked,
                    FailureKind::Connect
                    | FailureKind::Tls
                    | FailureKind::Timeout
                    | FailureKind::Broken => Verdict::Retry,
                },
                reason: words::one_line(&failure.message, asked.scrubber),
                not_sent: matches!(failure.kind, FailureKind::Settings | FailureKind::Address),
                warning: None,
                retry_after: None,
                holds_lane: false,
                receipt: None,
                again: None,
                excerpt: None,
            },
        }
    }

    fn judge_answer(&self, answer: &Answer, asked: &Asked<'_>) -> Judgement {
        let Asked {
            action,
            now,
            scrubber,
        } = *asked;
        let json: Option<Value> = serde_json::from_slice(&answer.body).ok();
        let is_json = json.is_some();
        let json = json.unwrap_or(Value::Null);
        // Most destinations have no rules, and then nothing is made for them to see.
        let scope = LazyCell::new(|| self.scope(answer, &json));
        let mut ruling = self.rule(answer, &scope, action);
        let said = words::said(answer, &json);
        if !is_json && answer.complete && !ruling.doubts.is_empty() {
            // What each rule lacked tells less than that all of them lacked the same.
            let what = said.as_deref().unwrap_or("nothing at all");
            ruling.doubts = vec![format!(
                "it may not have arrived: the answer is no JSON, but {what}"
            )];
        }
        let mut receipt = None;
        if ruling.verdict == Verdict::Accepted && ruling.doubts.is_empty() {
            if action == Action::Create {
                receipt = self.receipt(&json, &mut ruling.doubts);
            }
            if holds(self.warned.as_ref(), &scope) == Some(Ok(true)) {
                ruling.doubts.push(
                    said.clone()
                        .unwrap_or_else(|| "warned_when holds".to_owned()),
                );
            }
        }
        let verdict = ruling.verdict;
        let wait = if verdict == Verdict::Retry {
            retry_after(&answer.headers, now)
        } else {
            None
        };
        let holding = answer.status == StatusCode::TOO_MANY_REQUESTS
            || answer.status == StatusCode::SERVICE_UNAVAILABLE && wait.is_some();
        let doubts = ruling.doubts.join("; ");
        Judgement {
            verdict,
            reason: reason(answer, &ruling, said.as_deref(), scrubber),
            not_sent: false,
            warning: (!doubts.is_empty()).then(|| words::one_line(&doubts, scrubber)),
            retry_after: wait,
            holds_lane: verdict == Verdict::Retry && holding,
            receipt,
            again: ruling.gone.then_some(Again::Gone),
            excerpt: words::excerpt(answer, scrubber),
        }
    }

    fn rule(&self, answer: &Answer, scope: &impl Deref<Target = Scope>, action: Action) -> Ruling {
        let success = answer.status.is_success();
        // That a rule cannot see an incomplete body is no news beside the body being incomplete.
        let doubtful = success && answer.complete;
        let mut doubts = Vec::new();
        let decided = |verdict, unmet, doubts| Ruling {
            verdict,
            unmet,
            gone: false,
            doubts,
        };
        if success && !answer.complete {
            doubts.push("the answer's body was cut".to_owned());
        }
        let gone = self.gone.as_ref().filter(|_| action == Action::Update);
        let refusals = [
            ("blocked_when", self.blocked.as_ref(), Verdict::Blocked),
            ("update.gone_when", gone, Verdict::Retry),
            ("rejected_when", self.rejected.as_ref(), Verdict::Rejected),
            ("retry_when", self.retry.as_ref(), Verdict::Retry),
        ];
        for (name, rule, verdict) in refusals {
            match holds(rule, scope) {
                Some(Ok(true)) => {
                    let gone = name == "update.gone_when";
                    return Ruling {
                        gone,
                        ..decided(verdict, None, Vec::new())
                    };
                }
                Some(Err(error)) if doubtful => doubts.push(format!("{name}: {error}")),
                _ => {}
            }
        }
        match holds(self.accepted.as_ref(), scope) {
            // Whatever the other rules could not tell, this one could.
            Some(Ok(true)) if answer.complete => {
                return decided(Verdict::Accepted, None, Vec::new());
            }
            Some(Ok(true)) => return decided(Verdict::Accepted, None, doubts),
            Some(Ok(false)) if success => {
                return decided(Verdict::Rejected, Some("accepted_when"), Vec::new());
            }
            Some(Err(error)) if doubtful => doubts.push(format!("accepted_when: {error}")),
            _ => {}
        }
        if success {
            return decided(Verdict::Accepted, None, doubts);
        }
        decided(by_status(answer.status), None, Vec::new())
    }

    /// What the rules see. `body` and `json` are missing where the body is incomplete.
    fn scope(&self, answer: &Answer, json: &Value) -> Scope {
        let status = Value::from(answer.status.as_u16());
        let headers = Value::Object(headers(&answer.headers));
        let body = Value::from(String::from_utf8_lossy(&answer.body));
        let mut values = vec![("status", &status), ("headers", &headers)];
        if answer.complete {
            values.extend([("body", &body), ("json", json)]);
        }
        Scope::new(&values, self.reads())
    }

    fn reads(&self) -> impl Iterator<Item = &FieldPath> {
        let all = [
            &self.blocked,
            &self.gone,
            &self.rejected,
            &self.retry,
            &self.accepted,
            &self.warned,
        ];
        all.into_iter().flatten().flat_map(Expression::reads)
    }

    fn receipt(&self, json: &Value, doubts: &mut Vec<String>) -> Option<Receipt> {
        let pointer = self.receipt.as_deref()?;
        let value = match json.pointer(pointer) {
            Some(Value::String(text)) => text.clone(),
            Some(Value::Number(number)) => number.to_string(),
            _ => String::new(),
        };
        if value.is_empty() || value.len() > RECEIPT_BYTES || value.contains(char::is_control) {
            doubts.push(format!("the answer has no receipt at {pointer}"));
            return None;
        }
        let scope = self.receipt_scope.clone();
        Some(Receipt { value, scope })
    }
}

fn holds(
    rule: Option<&Expression>,
    scope: &impl Deref<Target = Scope>,
) -> Option<Result<bool, String>> {
    rule.map(|rule| rule.test(scope))
}

/// The default for everything that is no success.
fn by_status(status: StatusCode) -> Verdict {
    match status.as_u16() {
        401 | 403 | 410 => Verdict::Blocked,
        408 | 425 | 429 | 500 | 502..=504 | 506..=599 => Verdict::Retry,
        _ => Verdict::Rejected,
    }
}

fn reason(answer: &Answer, ruling: &Ruling, said: Option<&str>, scrubber: &Scrubber) -> String {
    let mut reason = words::status(answer.status);
    if let Some(rule) = ruling.unmet {
        for part in [", but ", rule, " does not hold"] {
            reason.push_str(part);
        }
    }
    if let Some(said) = said.filter(|_| ruling.verdict != Verdict::Accepted) {
        reason.push_str(": ");
        reason.push_str(said);
    }
    words::one_line(&reason, scrubber)
}

/// Header names in lower case; values of repeated ones joined with a comma.
fn headers(headers: &HeaderMap) -> Map<String, Value> {
    let joined = |name| {
        let values = headers.get_all(name).iter();
        let texts: Vec<_> = values
            .map(|value| String::from_utf8_lossy(value.as_bytes()))
            .collect();
        Value::from(texts.join(", "))
    };
    headers
        .keys()
        .map(|name| (name.as_str().to_owned(), joined(name)))
        .collect()
}
