//! From stored work to the request of one attempt: the same for lanes and for whoever asks what
//! would be sent.

use jiff::Timestamp;
use serde_json::{Map, Value};

use crate::destination::{Destination, Job, Revisions, Unsendable};
use crate::source::Body;
use crate::store::{StoreKey, Work};
use crate::transport::Outgoing;

/// What an attempt is made under.
#[derive(Clone, Copy, Debug)]
pub struct Terms<'a> {
    pub destination: &'a Destination,
    /// Template values of the delivery's route; None where that is gone or has none.
    pub with: Option<&'a Map<String, Value>>,
    /// From 1.
    pub attempt: u32,
    pub now: Timestamp,
    /// The key of the store's digests.
    pub key: &'a StoreKey,
}

/// The request for `work`, or why there is none.
pub fn request(terms: &Terms<'_>, work: &Work) -> Result<Outgoing, Unsendable> {
    let destination = terms.destination;
    let spans = destination.revisions() == Revisions::Latest && work.previous.is_some();
    let (mut result, mut previous) = (Value::Null, None);
    let mut changed = work.changed.clone();
    // A payload that is only passed on is not looked into.
    if spans || destination.reads_payload() {
        let unreadable = |_| Unsendable::Dead {
            reason: "the stored payload is not JSON".to_owned(),
        };
        let body = Body::parse(&work.payload).map_err(unreadable)?;
        let before = work.previous.as_ref();
        let before = before.and_then(|payload| Body::parse(payload).ok());
        if let Some(before) = before.as_ref().filter(|_| spans) {
            let key = terms.key.as_bytes();
            let differing = body.digests(key).differing(&before.digests(key), |_| false);
            // A field that was not kept can no longer be compared: it stays among those that changed.
            let kept = [&work.kept, &work.previous_kept];
            let unknown = |field: &str| kept.into_iter().flatten().any(|kept| !kept.holds(field));
            changed.retain(|field| differing.contains(field) || unknown(field));
        }
        result = body.value();
        previous = before.map(|body| body.value());
    }
    destination.render(&Job {
        event: &work.event,
        webhook_id: work.webhook_id,
        result: &result,
        payload: &work.payload,
        previous: previous.as_ref(),
        changed: &changed,
        receipt: work.receipt.as_ref(),
        with: terms.with,
        attempt: terms.attempt,
        now: terms.now,
    })
}
