//! Sealing payloads at rest: `XChaCha20-Poly1305` under keys that the operator keeps elsewhere. Knows no
//! database and draws no random numbers.

use std::borrow::Cow;

use bytes::Bytes;
use chacha20poly1305::aead::{AeadInOut as _, KeyInit as _};
use chacha20poly1305::{XChaCha20Poly1305, XNonce};
use zeroize::Zeroizing;

use super::StoreError;
use crate::model::EventId;

/// Bytes of a key, as the operator makes it.
pub const KEY_BYTES: usize = 32;
/// Payloads sealed again in one step, and bytes of them: some milliseconds of the store's time.
pub(super) const ROWS: usize = 100;
pub(super) const BYTES: usize = 1 << 20;
/// What a sealed payload ends with; the tag stands before it.
const NONCE_BYTES: usize = 24;

// Three keys from one, so that none has two uses.
const FOR_BODIES: &str = "mojito-relay 2026 store payload body";
const FOR_NONCES: &str = "mojito-relay 2026 store payload nonce";
const FOR_NAMES: &str = "mojito-relay 2026 store payload key fingerprint";

/// What a key is called where it may be seen: it tells which key, and nothing of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Fingerprint(pub u64);

/// One key.
#[derive(Clone)]
pub struct SealKey {
    fingerprint: Fingerprint,
    bodies: Zeroizing<[u8; KEY_BYTES]>,
    nonces: Zeroizing<[u8; KEY_BYTES]>,
}

/// The keys of `store.encrypt`. Without any, payloads are kept as they came.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Keyring {
    keys: Vec<SealKey>,
    seals: bool,
}

/// A payload as it is kept.
#[derive(Debug, PartialEq, Eq)]
pub struct Sealed {
    pub by: Fingerprint,
    pub body: Vec<u8>,
}

/// A payload as it stands in a row: its text, and the fingerprint that it is sealed by.
pub(super) struct Stored {
    pub(super) body: Vec<u8>,
    pub(super) by: Option<i64>,
}

/// How far sealing again is, as a store keeps it: what is after `place` and up to `until` may be otherwise.
pub(super) struct Walk {
    pub(super) current: Option<i64>,
    pub(super) place: i64,
    pub(super) until: i64,
    pub(super) done: bool,
}

impl Walk {
    pub(super) const fn is_at_the_end(&self) -> bool {
        self.place >= self.until
    }

    /// What is told of it; None where nothing is sealed, nor was.
    pub(super) fn told(&self, left: u64) -> Option<Sealing> {
        if self.done && self.current.is_none() {
            return None;
        }
        Some(Sealing {
            key: self.current.map(Fingerprint::of_code),
            resealing: !self.done,
            left,
        })
    }
}

/// How payloads are sealed now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sealing {
    /// The key that seals; None where payloads are being unsealed.
    pub key: Option<Fingerprint>,
    /// Older payloads are still being gone through: other keys are needed.
    pub resealing: bool,
    /// Payloads that were not gone through yet; [`Sealing::MOST`] stands for that many or more.
    pub left: u64,
}

impl Sealing {
    /// Counting stops here, so that asking costs little.
    pub const MOST: u64 = 10_000;
}

/// What one step of sealing again did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Resealed {
    pub payloads: u64,
    /// Could not be opened, and were left as they are.
    pub damaged: u64,
    /// All is as the configuration wants it, also in what the store keeps of earlier writes.
    pub done: bool,
}

/// Why a payload cannot be opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SealError {
    #[error("its payload is sealed by a key that is not in store.encrypt.keys")]
    UnknownKey,
    #[error("its payload is damaged in the store: it is not what was sealed for this event")]
    Damaged,
}

impl SealKey {
    pub fn new(key: &[u8; KEY_BYTES]) -> Self {
        let name = Zeroizing::new(blake3::derive_key(FOR_NAMES, key));
        let name = name.first_chunk().expect("it is longer");
        Self {
            fingerprint: Fingerprint(u64::from_be_bytes(*name)),
            bodies: Zeroizing::new(blake3::derive_key(FOR_BODIES, key)),
            nonces: Zeroizing::new(blake3::derive_key(FOR_NONCES, key)),
        }
    }

    pub fn fingerprint(&self) -> Fingerprint {
        self.fingerprint
    }

    /// The event is bound in: what is sealed for one opens for no other.
    fn seal(&self, event: EventId, plain: &[u8]) -> Sealed {
        let nonce = self.nonce(event, plain);
        let mut body = Vec::with_capacity(plain.len() + 16 + NONCE_BYTES);
        body.extend_from_slice(plain);
        XChaCha20Poly1305::new((&*self.bodies).into())
            .encrypt_in_place(&nonce, event.as_bytes(), &mut body)
            .expect("a payload is shorter than 256 GiB");
        body.extend_from_slice(&nonce);
        Sealed {
            by: self.fingerprint,
            body,
        }
    }

    fn open(&self, event: EventId, mut body: Vec<u8>) -> Option<Vec<u8>> {
        let (_, nonce) = body.split_last_chunk::<NONCE_BYTES>()?;
        let nonce = XNonce::from(*nonce);
        body.truncate(body.len() - NONCE_BYTES);
        XChaCha20Poly1305::new((&*self.bodies).into())
            .decrypt_in_place(&nonce, event.as_bytes(), &mut body)
            .ok()?;
        Some(body)
    }

    /// From event and text together, by a key of its own: two texts never share a nonce, not even two of
    /// one event, and sealing one twice gives the same bytes.
    fn nonce(&self, event: EventId, plain: &[u8]) -> XNonce {
        let mut hasher = blake3::Hasher::new_keyed(&self.nonces);
        hasher.update(event.as_bytes());
        hasher.update(plain);
        let digest = hasher.finalize();
        let nonce: &[u8; NONCE_BYTES] = digest.as_bytes().first_chunk().expect("it is longer");
        XNonce::from(*nonce)
    }
}

impl Keyring {
    /// The first key seals what is written, the others only open; without `seals` all of them do.
    pub fn new(keys: Vec<SealKey>, seals: bool) -> Self {
        Self { keys, seals }
    }

    /// What is written from now on is sealed by this one.
    pub fn current(&self) -> Option<Fingerprint> {
        self.sealing().map(SealKey::fingerprint)
    }

    pub fn fingerprints(&self) -> impl Iterator<Item = Fingerprint> {
        self.keys.iter().map(SealKey::fingerprint)
    }

    /// None where payloads are kept as they came.
    pub fn seal(&self, event: EventId, plain: &[u8]) -> Option<Sealed> {
        self.sealing().map(|key| key.seal(event, plain))
    }

    /// What is written for a payload: its text, and the fingerprint beside it.
    pub(super) fn written<'a>(
        &self,
        event: EventId,
        plain: &'a [u8],
    ) -> (Cow<'a, [u8]>, Option<i64>) {
        match self.seal(event, plain) {
            Some(sealed) => (sealed.body.into(), Some(sealed.by.code())),
            None => (plain.into(), None),
        }
    }

    /// What was sealed for `event`; as it is where no key sealed it.
    pub fn open(
        &self,
        event: EventId,
        by: Option<Fingerprint>,
        body: Vec<u8>,
    ) -> Result<Vec<u8>, SealError> {
        let Some(by) = by else {
            return Ok(body);
        };
        let key = self.keys.iter().find(|key| key.fingerprint == by);
        let key = key.ok_or(SealError::UnknownKey)?;
        key.open(event, body).ok_or(SealError::Damaged)
    }

    fn sealing(&self) -> Option<&SealKey> {
        self.keys.first().filter(|_| self.seals)
    }
}

impl Fingerprint {
    /// As it stands in a row.
    pub(super) fn code(self) -> i64 {
        self.0.cast_signed()
    }

    pub(super) fn of_code(code: i64) -> Self {
        Self(code.cast_unsigned())
    }
}

impl Stored {
    pub(super) fn open(self, keys: &Keyring, event: EventId) -> Result<Bytes, SealError> {
        let body = keys.open(event, self.by.map(Fingerprint::of_code), self.body)?;
        Ok(body.into())
    }

    /// For what other events are compared with: one that cannot be opened is as good as gone, and must not
    /// stop them.
    pub(super) fn open_or_gone(self, keys: &Keyring, event: EventId) -> Option<Bytes> {
        let opened = self.open(keys, event);
        opened
            .inspect_err(|error| tracing::error!(%event, %error, "a payload is lost"))
            .ok()
    }
}

/// Refuses to begin without a key that payloads in the store may be sealed by.
pub(super) fn all_there(needed: &[Fingerprint], keys: &Keyring) -> Result<(), StoreError> {
    let configured: Vec<Fingerprint> = keys.fingerprints().collect();
    let missing = needed.iter().filter(|key| !configured.contains(key));
    let missing: Vec<String> = missing.map(ToString::to_string).collect();
    if missing.is_empty() {
        return Ok(());
    }
    let configured: Vec<String> = configured.iter().map(ToString::to_string).collect();
    let none = || "none".to_owned();
    let all = Some(configured.join(", ")).filter(|all| !all.is_empty());
    Err(StoreError::KeyMissing {
        missing: missing.join(", "),
        configured: all.unwrap_or_else(none),
    })
}

impl PartialEq for SealKey {
    fn eq(&self, other: &Self) -> bool {
        self.fingerprint == other.fingerprint
    }
}

impl Eq for SealKey {}

impl std::fmt::Debug for SealKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "SealKey({})", self.fingerprint)
    }
}

impl std::fmt::Display for Fingerprint {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn key(byte: u8) -> SealKey {
        SealKey::new(&[byte; KEY_BYTES])
    }

    fn ring(keys: &[u8]) -> Keyring {
        Keyring::new(keys.iter().copied().map(key).collect(), true)
    }

    fn event(byte: u8) -> EventId {
        EventId::from_bytes([byte; 16])
    }

    fn sealed(ring: &Keyring, one: u8, plain: &[u8]) -> Sealed {
        ring.seal(event(one), plain).expect("a key that seals")
    }

    fn open(ring: &Keyring, one: u8, sealed: Sealed) -> Result<Vec<u8>, SealError> {
        ring.open(event(one), Some(sealed.by), sealed.body)
    }

    #[test]
    fn what_is_sealed_for_one_event_opens_for_no_other() {
        let ring = ring(&[1]);
        let body = sealed(&ring, 1, b"plain");
        assert_eq!(open(&ring, 2, body), Err(SealError::Damaged));
    }

    #[test]
    fn a_changed_or_missing_byte_is_noticed_wherever_it_is() {
        let ring = ring(&[1]);
        let whole = sealed(&ring, 1, b"plain").body;
        for at in 0..whole.len() {
            let by = ring.current();
            let mut changed = whole.clone();
            changed[at] ^= 1;
            let shorter = whole[..at].to_vec();
            for body in [changed, shorter] {
                assert_eq!(ring.open(event(1), by, body), Err(SealError::Damaged));
            }
        }
    }

    #[test]
    fn the_first_key_seals_and_every_key_opens() {
        let before = sealed(&ring(&[1]), 1, b"plain");
        let rotated = ring(&[2, 1]);
        assert_eq!(rotated.current(), Some(key(2).fingerprint()));
        assert_eq!(open(&rotated, 1, before), Ok(b"plain".to_vec()));
        let after = sealed(&rotated, 1, b"plain");
        assert_eq!(open(&ring(&[1]), 1, after), Err(SealError::UnknownKey));
    }

    #[test]
    fn another_key_under_the_same_name_opens_nothing() {
        let mut body = sealed(&ring(&[1]), 1, b"plain");
        body.by = key(2).fingerprint();
        assert_eq!(open(&ring(&[2]), 1, body), Err(SealError::Damaged));
    }

    #[test]
    fn without_a_key_that_seals_a_payload_stays_as_it_is() {
        assert_eq!(Keyring::default().seal(event(1), b"plain"), None);
        let opening = Keyring::new(vec![key(1)], false);
        assert_eq!(opening.seal(event(1), b"plain"), None);
        assert_eq!(
            opening.open(event(1), None, b"plain".to_vec()),
            Ok(b"plain".to_vec())
        );
        let before = sealed(&ring(&[1]), 1, b"plain");
        assert_eq!(open(&opening, 1, before), Ok(b"plain".to_vec()));
    }

    #[test]
    fn two_texts_of_one_event_have_two_nonces_and_one_text_has_one() {
        let one = key(1).nonce(event(1), b"plain");
        assert_ne!(one, key(1).nonce(event(1), b"plainer"));
        assert_ne!(one, key(1).nonce(event(2), b"plain"));
        assert_ne!(one, key(2).nonce(event(1), b"plain"));
        assert_eq!(one, key(1).nonce(event(1), b"plain"));
    }

    #[test]
    fn a_key_shows_nothing_but_its_fingerprint() {
        let shown = format!("{:?}", ring(&[0xab]));
        let print = key(0xab).fingerprint();
        assert_eq!(
            shown,
            format!("Keyring {{ keys: [SealKey({print})], seals: true }}")
        );
        assert_eq!(print.to_string().len(), 16);
        assert!(!print.to_string().contains("abab"));
    }

    proptest! {
        #[test]
        fn what_was_sealed_is_opened(plain in proptest::collection::vec(any::<u8>(), 0..2_000), one: [u8; 16]) {
            let (ring, event) = (ring(&[3]), EventId::from_bytes(one));
            let sealed = ring.seal(event, &plain).expect("a key that seals");
            prop_assert_eq!(sealed.body.len(), plain.len() + 40);
            prop_assert_eq!(ring.open(event, Some(sealed.by), sealed.body), Ok(plain));
        }
    }
}
