//! What is configured, and what follows from it for a body.

use std::time::Duration;

use bytes::Bytes;
use mojito_relay::model::Name;

/// A body that somebody posts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Post {
    pub source: Name,
    pub subject: u8,
    pub score: u8,
}

/// The configurations between which a relay is reloaded.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Rules {
    #[default]
    First,
    /// `slow` got another name, and more goes there.
    Renamed,
    /// `loose` is not there, and `all` gets another header.
    Less,
}

/// `retry.attempts`.
pub const ATTEMPTS: u32 = 3;
/// At most so many in so long, by host.
pub const RATES: [(&str, usize, Duration); 1] = [("slow.test", 3, Duration::from_secs(10))];
/// The shortest time that any payload is kept.
pub const PAYLOADS_KEPT: Duration = Duration::from_hours(24);

const SOURCES: &str = r#"
[store]
keep = { delivered = "2d", dead = "3d", other = "1d" }
[sources.one]
auth = "none"
[sources.two]
auth = "none"
"#;

impl Post {
    pub fn body(&self) -> Bytes {
        let body = serde_json::json!({
            "id": format!("s-{}", self.subject), "status": "active", "interview_status": "completed",
            "processing_status": "completed", "candidate_external_id": "c-1",
            "recruiter_go_next_round": null, "score": self.score,
        });
        body.to_string().into()
    }

    /// What its revisions have in common.
    pub fn key(&self) -> (Name, u8) {
        (self.source.clone(), self.subject)
    }
}

impl Rules {
    pub const ALL: [Self; 3] = [Self::First, Self::Renamed, Self::Less];

    /// Where a body goes.
    pub fn wants(self, post: &Post) -> Vec<&'static str> {
        let mut wanted = vec!["all", "latest"];
        match self {
            Self::First | Self::Less if post.score >= 2 => wanted.push("slow"),
            Self::Renamed if post.score >= 1 => wanted.push("sluggish"),
            _ => {}
        }
        if self != Self::Less && &*post.source == "two" {
            wanted.push("loose");
        }
        wanted
    }

    /// Where a destination is, whatever its name is at present.
    pub fn host(destination: &str) -> &'static str {
        let hosts = [
            ("all", "all.test"),
            ("latest", "latest.test"),
            ("loose", "loose.test"),
        ];
        let known = hosts.iter().find(|(name, _)| *name == destination);
        known.map_or("slow.test", |(_, host)| host)
    }

    pub fn ordered(destination: &str) -> bool {
        destination != "loose"
    }

    pub fn destinations(self) -> &'static [&'static str] {
        match self {
            Self::First => &["all", "latest", "slow", "loose"],
            Self::Renamed => &["all", "latest", "sluggish", "loose"],
            Self::Less => &["all", "latest", "slow"],
        }
    }

    /// The same as relay.toml.
    pub fn toml(self) -> String {
        let (slow, was, least) = match self {
            Self::First | Self::Less => ("slow", "sluggish", 2),
            Self::Renamed => ("sluggish", "slow", 1),
        };
        let destination = |name: &str, keys: &str| {
            let host = Self::host(name);
            let breaker =
                r#"{ failures = 4, rejections = 3, probe_after = "30s", probe_max = "10m" }"#;
            let retry = format!("{{ attempts = {ATTEMPTS}, give_up_after = \"90d\" }}");
            format!(
                "[destinations.{name}]\nurl = \"http://{host}/\"\nbreaker = {breaker}\nretry = {retry}\n{keys}\n"
            )
        };
        let header = format!("concurrency = 2\nheaders = {{ X-Rules = \"{self:?}\" }}");
        let rate = format!("rate_limit = \"3/10s\"\nburst = 2\nwas = \"{was}\"");
        let mut toml = SOURCES.to_owned();
        toml += &destination(
            "all",
            if self == Self::Less {
                &header
            } else {
                "concurrency = 2"
            },
        );
        toml += &destination("latest", "revisions = \"latest\"\nsettle = \"20s\"");
        toml += &destination(slow, &rate);
        let route = |name: &str, keys: &str, to: &str| {
            format!("[[routes]]\nname = \"{name}\"\n{keys}\nto = [\"{to}\"]\n")
        };
        let good = format!("when = \"result.score >= {least}.0\"");
        toml += &route("every", "", "all\", \"latest");
        toml += &route("good", &good, slow);
        if self != Self::Less {
            toml += &destination("loose", "order = \"none\"");
            toml += &route("second", "from = [\"two\"]", "loose");
        }
        toml
    }
}
