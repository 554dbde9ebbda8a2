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
        "update",
        "auth",
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
        "settle",
        "settle_max",
        "retry",
        "breaker",
        "require",
        "paused",
        "tls",
        "proxy",
        "accepted_when",
        "rejected_when",
        "blocked_when",
        "retry_when",
        "warned_when",
        "receipt",
    ],
    later: &["account", "allow_private", "max_waiting", "was"],
};

/// A request of a preset, below its `base_url`.
pub const REQUEST: Section = Section {
    place: "destinations.*.create",
    keys: &["path", "method", "body", "body_text"],
    later: &[],
};

/// The request of a preset that changes what an earlier one made.
pub const UPDATE: Section = Section {
    place: "destinations.*.update",
    keys: &["path", "method", "body", "body_text", "gone_when"],
    later: &[],
};

pub const DESTINATION_AUTH: Section = Section {
    place: "destinations.*.auth",
    keys: &["oauth2"],
    later: &[],
};

pub const OAUTH2: Section = Section {
    place: "destinations.*.auth.oauth2",
    keys: &["client_id", "client_secret", "token_url", "params"],
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
    &UPDATE,
    &DESTINATION_AUTH,
    &OAUTH2,
    &SIGN,
    &RETRY,
    &BREAKER,
    &TLS,
    &ROUTE,
    &SECRET,
];
