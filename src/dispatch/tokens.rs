//! Access tokens, one for each client of a vendor, shared by every lane that uses that client. A token
//! is fetched by whoever first needs it while the others wait: some vendors end the old one with each new.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex};

use crate::clock::Clock;
use crate::destination::{Judgement, Oauth2, Token};
use crate::transport::Transport;

/// The tokens at hand. They live in memory only.
#[derive(Default)]
pub struct Tokens {
    slots: Mutex<HashMap<Oauth2, Arc<Slot>>>,
}

type Slot = tokio::sync::Mutex<Option<Token>>;

/// A token for one request.
pub(super) struct Held {
    pub(super) token: Token,
    /// It was fetched for this request: where it is refused, another would be, too.
    pub(super) fresh: bool,
}

impl Tokens {
    /// A token that is good now; or what it means that there is none.
    pub(super) async fn get(
        &self,
        client: &Oauth2,
        transport: &dyn Transport,
        clock: &dyn Clock,
    ) -> Result<Held, Box<Judgement>> {
        let slot = self.slot(client);
        let mut kept = slot.lock().await;
        if let Some(token) = kept.as_ref().filter(|token| token.renew_at > clock.now()) {
            return Ok(Held {
                token: token.clone(),
                fresh: false,
            });
        }
        let reply = transport.send(client.request()).await;
        let token = client.read(&reply, clock.now())?;
        *kept = Some(token.clone());
        Ok(Held { token, fresh: true })
    }

    /// Forgets a token that was refused, unless there is a newer one by now.
    pub(super) async fn refused(&self, client: &Oauth2, token: &Token) {
        let slot = self.slot(client);
        let mut kept = slot.lock().await;
        if kept.as_ref() == Some(token) {
            *kept = None;
        }
    }

    /// Forgets the tokens of clients that are not in use any more.
    pub(super) fn keep<'a>(&self, clients: impl Iterator<Item = &'a Oauth2>) {
        let used: HashSet<&Oauth2> = clients.collect();
        let mut slots = self.slots.lock().expect("nothing panics in here");
        slots.retain(|client, _| used.contains(client));
    }

    fn slot(&self, client: &Oauth2) -> Arc<Slot> {
        let mut slots = self.slots.lock().expect("nothing panics in here");
        slots.entry(client.clone()).or_default().clone()
    }
}
