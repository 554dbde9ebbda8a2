//! Which keys there are, table by table. Says nothing about their values.

/// The keys of one kind of table.
#[derive(Debug)]
pub struct Section {
    /// Where it stands, with `*` for a configured name: `destinations.*.retry`.
    pub place: &'static str,
    pub keys: &'static [&'static str],
    /// Keys that a later version brings: refused like unknown ones, with other words.
    pub later: &'static [&'static str],
}

pub const ROOT: Section = Section {
    place: "",
    keys: &[
        "server",
        "admin",
        "store",
        "log",
        "sources",
        "destinations",
        "routes",
    ],
    later: &["reload", "alerts", "tests", "presets_dir"],
};

pub const SERVER: Section = Section {
    place: "server",
    keys: &[
        "listen",
        "max_body",
        "max_body_in_flight",
        "body_deadline",
        "header_deadline",
        "max_connections",
        "max_streams",
        "shutdown_grace",
        "tls",
        "trusted_proxies",
    ],
    later: &[],
};

pub const SERVER_TLS: Section = Section {
    place: "server.tls",
    keys: &["cert", "key"],
    later: &[],
};

pub const ADMIN: Section = Section {
    place: "admin",
    keys: &["listen", "token"],
    later: &[],
};

pub const STORE: Section = Section {
    place: "store",
    keys: &["url", "max_waiting"],
    later: &["keep"],
};

pub const LOG: Section = Section {
    place: "log",
    keys: &["format", "level"],
    later: &[],
};

pub const SOURCE: Section = Section {
    place: "sources.*",
    keys: &[
        "kind",
        "type",
        "subject",
        "auth",
        "allow_ips",
        "rate_limit",
        "ignore",
    ],
    later: &["minimise", "silent_after", "stuck_after"],
};

pub const PICK: Section = Section {
    place: "sources.*.type",
    keys: &["header", "fixed"],
    later: &[],
};

pub const AUTH: Section = Section {
    place: "sources.*.auth",
    keys: &[
        "header",
        "secrets",
        "bearer",
        "basic",
        "hmac_sha256",
        "standard_webhooks",
    ],
    later: &[],
};

pub const HMAC: Section = Section {
    place: "sources.*.auth.hmac_sha256",
    keys: &["header", "secrets", "encoding", "prefix"],
    later: &[],
};

pub const DESTINATION: Section = Section {
    place: "destinations.*",
    keys: &[
        "preset",
        "url",
        "base_url",
        "create",
        "api_key",
        "api_key_in",
        "with",
        "texts",
        "method",
        "headers",
        "format",
        "body",
        "body_text",
        "sign",
        "rate_limit",
        "burst",
        "concurrency",
        "timeout",
        "order",
        "revisions",
        "retry",
        "breaker",
        "require",
        "paused",
        "tls",
        "proxy",
        "accepted_when",
        "rejected_when",
        "blocked_when",
        "warned_when",
        "receipt",
    ],
    later: &[
        "account",
        "allow_private",
        "auth",
        "max_waiting",
        "settle",
        "settle_max",
        "update",
        "was",
    ],
};

/// A request of a preset, below its `base_url`.
pub const REQUEST: Section = Section {
    place: "destinations.*.create",
    keys: &["path", "method", "body", "body_text"],
    later: &[],
};

pub const SIGN: Section = Section {
    place: "destinations.*.sign",
    keys: &["secrets"],
    later: &[],
};

pub const RETRY: Section = Section {
    place: "destinations.*.retry",
    keys: &[
        "first",
        "max",
        "factor",
        "jitter",
        "attempts",
        "give_up_after",
    ],
    later: &[],
};

pub const BREAKER: Section = Section {
    place: "destinations.*.breaker",
    keys: &["failures", "rejections", "probe_after", "probe_max"],
    later: &[],
};

pub const TLS: Section = Section {
    place: "destinations.*.tls",
    keys: &["ca", "cert", "key"],
    later: &[],
};

pub const ROUTE: Section = Section {
    place: "routes[*]",
    keys: &[
        "name", "from", "events", "changed", "first", "when", "to", "with", "stop",
    ],
    later: &[],
};

/// How a secret is referred to.
pub const SECRET: Section = Section {
    place: "",
    keys: &["env", "file"],
    later: &[],
};

/// Every table that relay.toml can have.
pub const SECTIONS: &[&Section] = &[
    &ROOT,
    &SERVER,
    &SERVER_TLS,
    &ADMIN,
    &STORE,
    &LOG,
    &SOURCE,
    &PICK,
    &AUTH,
    &HMAC,
    &DESTINATION,
    &REQUEST,
    &SIGN,
    &RETRY,
    &BREAKER,
    &TLS,
    &ROUTE,
    &SECRET,
];

/// Presets that a later version brings.
pub(super) const LATER_PRESETS: &[&str] = &["slack-bot", "greenhouse", "teamtailor"];
