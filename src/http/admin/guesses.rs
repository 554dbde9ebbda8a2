//! Wrong tokens: so many from one address, and then it is asked to wait.

use std::net::{IpAddr, Ipv6Addr};
use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

use crate::clock::Clock;
use crate::limiter::Limiters;
use crate::model::Rate;

/// At once, and as many again in each period.
const WRONG: NonZeroU32 = NonZeroU32::new(60).expect("it is not 0");
const PERIOD: Duration = Duration::from_mins(1);
/// So many addresses are remembered; those beyond share one limit.
const ADDRESSES: usize = 4096;

/// Who gave a wrong token lately.
pub struct Guesses(Limiters<IpAddr>);

impl Guesses {
    pub fn new(clock: Arc<dyn Clock>) -> Self {
        let rate = Rate {
            count: WRONG,
            period: PERIOD,
        };
        Self(Limiters::incoming(rate, ADDRESSES, clock))
    }

    /// Counts a wrong token; Err tells how long its sender is to wait. It is the connection's address: what a
    /// header says of it could be another one each time.
    pub(super) fn wrong(&self, peer: IpAddr) -> Result<(), Duration> {
        self.0.take(network(peer))
    }
}

/// Whoever has an IPv6 address has its whole /64.
fn network(peer: IpAddr) -> IpAddr {
    match peer {
        IpAddr::V4(_) => peer,
        IpAddr::V6(ip) => Ipv6Addr::from_bits(ip.to_bits() >> 64 << 64).into(),
    }
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;

    use super::*;
    use crate::clock::ManualClock;

    #[test]
    fn a_network_of_ipv6_is_one_stranger_and_an_ipv4_address_is_one() {
        let guesses = Guesses::new(Arc::new(ManualClock::new(Timestamp::UNIX_EPOCH)));
        let wrong = |peer: String| guesses.wrong(peer.parse().expect("an address")).is_ok();
        assert!((0..60).all(|n| wrong(format!("2001:db8::{n:x}"))));
        assert!(!wrong("2001:db8::ffff".to_owned()));
        assert!(wrong("2001:db8:0:1::1".to_owned()));
        assert!((0..60).all(|_| wrong("203.0.113.1".to_owned())));
        assert!(!wrong("203.0.113.1".to_owned()) && wrong("203.0.113.2".to_owned()));
    }
}
