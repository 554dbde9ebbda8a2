//! One message for each kind of mistake.

use super::{findings, found, in_destination, in_route, in_source, inputs, sound, with};
use insta::assert_snapshot;
use mojito_relay::config::{Inputs, Secrets};

#[test]
fn a_sound_file_has_no_findings() {
    assert_eq!(findings(&sound()), "");
}

#[test]
fn unknown_keys() {
    let text = in_destination("retry = { frist = \"1s\" }\ncolour = \"red\"");
    assert_snapshot!(findings(&text), @r#"
    relay.toml:5: destinations.ats.retry.frist: unknown key
      hint: did you mean "first"?
    relay.toml:6: destinations.ats.colour: unknown key
      hint: choose from preset, url, base_url, create, update, auth, api_key, api_key_in, with, texts, method, headers, format, body, body_text, sign, rate_limit, burst, concurrency, timeout, traceparent, order, revisions, settle, settle_max, retry, breaker, require, paused, was, tls, proxy, allow_private, accepted_when, rejected_when, blocked_when, retry_when, warned_when, receipt
    "#);
    assert_snapshot!(findings(&with("[serverr]\nlisten = \"x\"")), @r#"
    relay.toml:7: serverr: unknown key
      hint: did you mean "server"?
    "#);
}

#[test]
fn keys_of_a_later_version() {
    let text = with("[destinations.more]\nurl = \"http://127.0.0.1/\"\naccount = \"one\"");
    assert_snapshot!(findings(&text), @r#"
    relay.toml:7: warning: destinations.more: no route leads to this destination
      hint: add it to a route's `to`, or take it out
    relay.toml:9: destinations.more.account: `account` is not in this version yet
      hint: take it out; a later version will have it
    "#);
}

#[test]
fn alerts_go_to_a_destination_that_there_is() {
    let text = with("[alerts]\nto = [\"ap\"]");
    assert_snapshot!(findings(&text), @r#"
    relay.toml:8: alerts.to[0]: there is no destination "ap"
      hint: choose from ats
    "#);
}

#[test]
fn a_syntax_error() {
    assert_snapshot!(findings("[server]\nlisten = 127.0.0.1\n"), @r#"
    relay.toml:2: this is not TOML: column 15: invalid float, expected nothing
      hint: text stands in quotes, and a key only once in its table
    "#);
    assert_snapshot!(findings("[server]\nlisten = \"a\"\nlisten = \"b\"\n"), @r#"
    relay.toml:3: this is not TOML: column 1: duplicate key
      hint: text stands in quotes, and a key only once in its table
    "#);
}

#[test]
fn a_file_that_is_not_there() {
    let missing = mojito_relay::config::load(&Inputs {
        file: "no/such/relay.toml".into(),
        ..inputs()
    });
    let findings = missing.expect_err("there is no such file");
    assert_snapshot!(findings[0], @r#"
    no/such/relay.toml: cannot be read: there is no such file
      hint: name the file with --config PATH
    "#);
}

#[test]
fn senders_are_watched_by_times_that_make_sense() {
    let text = "[sources.jobmojito]\nauth = \"none\"\nsilent_after = \"10s\"\n\
                [sources.shop]\nkind = \"generic\"\ntype = \"/event\"\nauth = \"none\"\nstuck_after = \"2d\"";
    assert_snapshot!(findings(text), @r#"
    relay.toml: warning: routes: there is no route, so events are kept and none is delivered
      hint: add [[routes]]
    relay.toml:3: sources.jobmojito.silent_after: "10s" is out of range
      hint: it must be at least a minute
    relay.toml:8: sources.shop.stuck_after: only interviews are known to be collected first and submitted later
      hint: take it out, or write kind = "jobmojito"
    "#);
}

#[test]
fn a_vendor_is_not_told_of_traces() {
    let text = "[sources.s]\nauth = \"none\"\n[destinations.hiring]\npreset = \"slack\"\n\
                url = { env = \"SLACK\" }\ntraceparent = true\n[[routes]]\nto = [\"hiring\"]";
    let inputs = Inputs {
        secrets: Secrets::Skip,
        ..inputs()
    };
    let found = mojito_relay::config::load_text(&inputs, text).expect_err("it is refused");
    assert_snapshot!(found[0], @r#"
    relay.toml:6: destinations.hiring.traceparent: the host of the preset "slack" is not your own
      hint: take it out: traces go on at hosts of your own only
    "#);
}

#[test]
fn wrong_types() {
    let text = in_destination(
        "timeout = 15\nrate_limit = \"fast\"\nconcurrency = \"many\"\npaused = \"yes\"\n\
         require = \"result.id\"\nretry = 5\norder = \"subjet\"\nmethod = \"post\"",
    );
    assert_snapshot!(findings(&text), @r#"
    relay.toml:5: destinations.ats.timeout: expected a duration, found 15
      hint: write "250ms", "15s", "2h" or "7d"
    relay.toml:6: destinations.ats.rate_limit: expected a rate, found "fast"
      hint: write "1/s", "50/10s" or "600/min", or "none"
    relay.toml:7: destinations.ats.concurrency: expected a whole number of at least 1, found "many"
      hint: write a number such as 8, without quotes
    relay.toml:8: destinations.ats.paused: expected true or false, found "yes"
      hint: write true or false, without quotes
    relay.toml:9: destinations.ats.require: expected a list, found text
      hint: write ["…"]
    relay.toml:10: destinations.ats.retry: expected a table, found 5
      hint: write { … }, or a block that starts with [destinations.ats.retry]
    relay.toml:11: destinations.ats.order: expected one of "subject", "none", found "subjet"
      hint: did you mean "subject"?
    relay.toml:12: destinations.ats.method: expected one of "POST", "PUT", "PATCH", "DELETE", "GET", found "post"
      hint: did you mean "POST"?
    "#);
    let text = with(
        "[server]\nlisten = \"localhost:8080\"\nmax_body = \"big\"\nmax_streams = 1.5\n\
         trusted_proxies = [\"10.0.0.0/8\", \"proxy\"]",
    );
    assert_snapshot!(findings(&text), @r#"
    relay.toml:8: server.listen: expected an IP address and a port, found "localhost:8080"
      hint: write "127.0.0.1:8080" or "[::]:8080"
    relay.toml:9: server.max_body: expected a size, found "big"
      hint: write "256 KiB" or "1 MiB"
    relay.toml:10: server.max_streams: expected a whole number of at least 1, found 1.5
      hint: write a number such as 8, without quotes
    relay.toml:11: server.trusted_proxies[1]: expected an address or a network, found "proxy"
      hint: write "203.0.113.7" or "203.0.113.0/24"
    "#);
    assert_snapshot!(findings("server = 5\nsources = 1\nroutes = 2\ndestinations = { a = 3 }"), @r#"
    relay.toml:1: server: expected a table, found 5
      hint: write { … }, or a block that starts with [server]
    relay.toml:2: sources: expected a table, found 1
      hint: write { … }, or a block that starts with [sources]
    relay.toml:3: routes: expected a list of tables
      hint: each route is a block that starts with [[routes]]
    relay.toml:4: destinations.a: expected a table, found 3
      hint: write { … }, or a block that starts with [destinations.a]
    "#);
}

#[test]
fn values_out_of_range() {
    let text = in_destination(
        "concurrency = 5000\ntimeout = \"1h\"\nrate_limit = \"2/s\"\nburst = 3\n\
         retry = { factor = 0.5, jitter = 2, max = \"7h\", attempts = 0 }\n\
         breaker = { probe_after = \"1h\" }",
    );
    assert_snapshot!(findings(&text), @r#"
    relay.toml:5: destinations.ats.concurrency: 5000 is out of range
      hint: it must be at most 1000
    relay.toml:6: destinations.ats.timeout: "1h" is out of range
      hint: it must be more than nothing and at most 5 minutes
    relay.toml:8: destinations.ats.burst: a burst of 3 is more than the rate 2/s allows in a period
      hint: the burst is taken out of the rate: write at most 2
    relay.toml:9: destinations.ats.retry.max: "7h" is out of range
      hint: it must be more than nothing and at most "6h"
    relay.toml:9: destinations.ats.retry.factor: 0.5 is out of range
      hint: it must be from 1 (all waits alike) to 100
    relay.toml:9: destinations.ats.retry.jitter: 2 is out of range
      hint: it must be from 0 to 1: the share of the wait that chance adds
    relay.toml:9: destinations.ats.retry.attempts: expected a whole number of at least 1, found 0
      hint: write a number such as 8, without quotes
    relay.toml:10: destinations.ats.breaker.probe_after: probe_after is longer than probe_max
      hint: probe_max is where the waits stop growing: write a longer one
    "#);
    assert_snapshot!(findings(&in_destination("burst = 2")), @r#"
    relay.toml:5: destinations.ats.burst: there is no rate_limit that it could be taken out of
      hint: write rate_limit = "50/10s", or take burst out
    "#);
    let text = with("[server]\nmax_body_in_flight = \"1 KiB\"\nbody_deadline = \"0s\"");
    assert_snapshot!(findings(&text), @r#"
    relay.toml:8: server.max_body_in_flight: it is less than max_body, so that a body of that size could never be taken
      hint: make it several times max_body
    relay.toml:9: server.body_deadline: "0s" is out of range
      hint: it must be more than nothing and at most 10 minutes
    "#);
}

#[test]
fn names_that_cannot_be_paths() {
    let text = with(
        "[destinations.\"HR App\"]\nurl = \"http://x/\"\n[[routes]]\nname = \"a/b\"\nto = [\"HR App\"]",
    );
    assert_snapshot!(findings(&text), @r#"
    relay.toml:7: destinations.HR App: "HR App" cannot be a name
      hint: a name has 1 to 64 of a-z, 0-9, _ and -
    relay.toml:10: routes[1].name: "a/b" cannot be a name
      hint: a name has 1 to 64 of a-z, 0-9, _ and -
    "#);
}

#[test]
fn a_missing_auth_or_url_or_target() {
    let text = "[sources.a]\n[destinations.b]\n[[routes]]\n";
    assert_snapshot!(findings(text), @r#"
    relay.toml:1: sources.a.auth: auth is required
      hint: write auth = { header = "X-Relay-Token", secrets = [{ env = "NAME" }] }; write auth = "none" to say that anybody may send
    relay.toml:2: destinations.b.url: `url` is required
      hint: write url = "https://host/path", or { env = "NAME" } where the URL is a secret
    relay.toml:3: routes[0].to: `to` is required
      hint: write to = ["…"] with the names of destinations
    "#);
}

#[test]
fn auth_in_wrong_forms() {
    assert_snapshot!(findings(&in_source("auth = \"hunter2\"")), @r#"
    relay.toml:2: sources.jobmojito.auth: expected "none" or a table
      hint: write "none", or a table with one of header, bearer, basic, hmac_sha256, standard_webhooks; the shipped relay.toml shows each
    "#);
    assert_snapshot!(findings(&in_source("auth = { bearer = [], basic = [] }")), @r#"
    relay.toml:2: sources.jobmojito.auth: it names several ways: bearer, basic
      hint: write "none", or a table with one of header, bearer, basic, hmac_sha256, standard_webhooks; the shipped relay.toml shows each
    "#);
    assert_snapshot!(findings(&in_source("auth = { bearer = [] }")), @r#"
    relay.toml:2: sources.jobmojito.auth.bearer: there is no secret in it
      hint: write { env = "NAME" } or { file = "/run/secrets/name" }
    "#);
    assert_snapshot!(findings(&in_source("auth = {}")), @r#"
    relay.toml:2: sources.jobmojito.auth: it names no way of proving who sends
      hint: write "none", or a table with one of header, bearer, basic, hmac_sha256, standard_webhooks; the shipped relay.toml shows each
    "#);
}

#[test]
fn auth_none_where_anybody_can_reach_it() {
    let text = with("[server]\nlisten = \"0.0.0.0:8080\"");
    assert_snapshot!(findings(&text), @r#"
    relay.toml:2: warning: sources.jobmojito.auth: anybody who can reach server.listen may send
      hint: give the sender a secret, or listen on 127.0.0.1
    "#);
}

#[test]
fn a_generic_source_must_pick_a_type() {
    assert_snapshot!(findings(&in_source("auth = \"none\"\nkind = \"generic\"\nsubject = \"id\"")), @r#"
    relay.toml:1: sources.jobmojito.type: `type` is required
      hint: write type = "/event", { header = "X-Event" } or { fixed = "order.paid" }
    relay.toml:4: sources.jobmojito.subject: expected a JSON pointer, found "id"
      hint: write "/event", { header = "X-Event" } or { fixed = "order.paid" }
    "#);
    assert_snapshot!(findings(&in_source("auth = \"none\"\ntype = \"/event\"")), @r#"
    relay.toml:3: sources.jobmojito.type: an interview result's type and subject are known
      hint: take it out, or write kind = "generic" if type is to be picked
    "#);
    let text = in_source("auth = \"none\"\nkind = \"generic\"\ntype = { fixed = \"a b\" }");
    assert_snapshot!(findings(&text), @r#"
    relay.toml:4: sources.jobmojito.type: "a b" cannot be an event type
      hint: a type has 1 to 128 visible ASCII characters, such as "order.paid"
    "#);
}

#[test]
fn an_admin_door_that_is_open_or_taken() {
    assert_snapshot!(findings(&with("[admin]\nlisten = \"0.0.0.0:8081\"")), @r#"
    relay.toml:8: admin.listen: 0.0.0.0:8081 can be reached from elsewhere, and there is no admin.token
      hint: write token = { env = "RELAY_ADMIN_TOKEN" } in [admin], or listen on 127.0.0.1
    "#);
    assert_snapshot!(findings(&with("[admin]\nlisten = \"127.0.0.1:8080\"")), @r#"
    relay.toml:8: admin.listen: server.listen has the same address
      hint: give each a port of its own
    "#);
}

#[test]
fn stores_that_there_are_not() {
    let postgres = |url: &str| findings(&with(&format!("[store]\nurl = \"{url}\"")));
    assert_eq!(postgres("postgres://user@db/relay"), "");
    assert_snapshot!(postgres("postgres://user:pw@db/relay"), @r#"
    relay.toml:8: warning: store.url: secret in plain text
      hint: write { env = "NAME" } or { file = "/run/secrets/name" }
    "#);
    assert_snapshot!(postgres("postgres://user:pw@db/relay?sslmode=prefer"), @r"
    relay.toml:8: store.url: its sslmode is none that is safe or plain
      hint: write sslmode=verify-full, or sslmode=disable where nobody else is on the network; a certificate is always judged by authorities and name
    ");
    assert_snapshot!(postgres("postgres://user:pw@db/relay?schema=Relay"), @r"
    relay.toml:8: store.url: schema is no name of small letters, digits and _
      hint: write schema=relay
    ");
    assert_snapshot!(postgres("postgres://user:pw@db:x/relay"), @r#"
    relay.toml:8: store.url: it is no URL of a PostgreSQL database: invalid value for option `port`
      hint: write "postgres://user:password@host/database"
    "#);
    assert_snapshot!(findings(&with("[store]\nurl = \"data/relay.db\"")), @r#"
    relay.toml:8: store.url: this is no store that there is
      hint: write "sqlite:data/relay.db", or "postgres://user:password@host/database"
    "#);
    assert_snapshot!(findings(&with("[store]\nurl = \"sqlite::memory:\"")), @r#"
    relay.toml:8: store.url: a store in memory forgets what it has acknowledged
      hint: write "sqlite:data/relay.db", or "postgres://user:password@host/database"
    "#);
}

#[test]
fn values_that_no_template_reads_or_of_another_kind() {
    let bot = "preset = \"slack-bot\"\napi_key = { env = \"BOT\" }\nwith = { chanel = \"C1\", channel = \"C1\", thread = \"yes\", labels = { scroe = \"x\" }, headlin = \"y\" }";
    let text = in_destination(bot).replace("url = ", "#url = ");
    let inputs = Inputs {
        secrets: Secrets::Skip,
        ..inputs()
    };
    assert_snapshot!(found(&inputs, &text), @r#"
    relay.toml:7: warning: destinations.ats.with.chanel: no template reads this value
      hint: did you mean `channel`?
    relay.toml:7: warning: destinations.ats.with.headlin: no template reads this value
      hint: did you mean `headline`?
    relay.toml:7: warning: destinations.ats.with.labels.scroe: the preset has no such word
      hint: did you mean "score"?
    relay.toml:7: destinations.ats.with.thread: expected true or false, without quotes, found "yes"
      hint: the preset's own value is of that kind
    "#);
}

#[test]
fn presets_that_there_are_not() {
    assert_snapshot!(findings(&in_destination("preset = \"slak\"")), @r#"
    relay.toml:5: destinations.ats.preset: there is no preset "slak"
      hint: did you mean "slack"?
    "#);
}

#[test]
fn urls_that_cannot_be_called() {
    let url = |url: &str| {
        findings(&with(&format!(
            "[destinations.b]\nurl = \"{url}\"\n[[routes]]\nto = [\"b\"]"
        )))
    };
    assert_snapshot!(url("https://user:pw@host/"), @r#"
    relay.toml:8: destinations.b.url: a user or password in a URL is not sent
      hint: write headers = { Authorization = { env = "NAME" } } instead
    "#);
    assert_snapshot!(url("host/path"), @r#"
    relay.toml:8: destinations.b.url: expected a URL with http or https
      hint: write "https://host/path"
    "#);
}

#[test]
fn a_body_said_twice_and_a_body_that_is_no_table() {
    assert_snapshot!(findings(&in_destination("body_text = \"x\"\nformat = \"envelope\"")), @r#"
    relay.toml:5: destinations.ats.body_text: the body is said several times: body_text, format
      hint: keep one of them
    "#);
    assert_snapshot!(findings(&in_destination("body = \"{{ result.id }}\"")), @r#"
    relay.toml:5: destinations.ats.body: expected a table
      hint: write body = { text = "{{ result.score }}" }, or body_text for one template
    "#);
}

#[test]
fn other_keys_of_a_destination() {
    let text = in_destination(
        "require = [\"candidate_external_id\"]\nreceipt = \"id\"\nproxy = \"proxy:3128\"\nheaders = { \"a b\" = \"c\" }",
    );
    assert_snapshot!(findings(&text), @r#"
    relay.toml:5: destinations.ats.require[0]: "candidate_external_id" is no field of the result
      hint: write "result.candidate_external_id"
    relay.toml:6: destinations.ats.receipt: expected a JSON pointer, found "id"
      hint: write "/event" or "/data/id"
    relay.toml:7: destinations.ats.proxy: expected the URL of a proxy
      hint: write "http://proxy:3128", "socks5://proxy:1080", "environment" or "none"
    relay.toml:8: destinations.ats.headers.a b: this cannot be the name of an HTTP header
      hint: such as X-Api-Key
    "#);
}

#[test]
fn certificate_files_that_cannot_be_read() {
    let text = in_destination("tls = { ca = \"no/such/ca.pem\", cert = \"Cargo.toml\" }");
    assert_snapshot!(findings(&text), @r#"
    relay.toml:5: destinations.ats.tls.key: `key` is required
      hint: a client certificate needs both `cert` and `key`
    relay.toml:5: destinations.ats.tls.ca: cannot read no/such/ca.pem: there is no such file
      hint: paths are relative to the directory that the relay runs in
    "#);
    let text = with("[server]\ntls = { cert = \"no/such/cert.pem\" }");
    assert_snapshot!(findings(&text), @r#"
    relay.toml:8: server.tls.key: `key` is required
      hint: TLS needs a certificate chain and its key, both as PEM files
    relay.toml:8: server.tls.cert: cannot read no/such/cert.pem: there is no such file
      hint: paths are relative to the directory that the relay runs in
    "#);
}

#[test]
fn unknown_names_in_a_route() {
    let text = with("[[routes]]\nfrom = [\"jobmojitto\"]\nto = [\"atss\", \"other\"]");
    assert_snapshot!(findings(&text), @r#"
    relay.toml:8: routes[1].from[0]: there is no source "jobmojitto"
      hint: did you mean "jobmojito"?
    relay.toml:9: routes[1].to[0]: there is no destination "atss"
      hint: did you mean "ats"?
    relay.toml:9: routes[1].to[1]: there is no destination "other"
      hint: choose from ats
    "#);
    assert_snapshot!(findings(&with("[[routes]]\nfrom = []\nto = []\nevents = []")), @r#"
    relay.toml:8: routes[1].from: a route from no source never matches
      hint: name a source, or take `from` out for every source
    relay.toml:9: routes[1].to: a route to no destination does nothing
      hint: name a destination; only with stop = true may the list be empty
    relay.toml:10: routes[1].events: a route for no events never matches
      hint: name an event type, or take `events` out
    "#);
}

#[test]
fn an_event_that_no_source_makes() {
    let text = in_route("events = [\"interview.submited\", \"interview.*\"]");
    assert_snapshot!(findings(&text), @r#"
    relay.toml:7: routes[0].events[0]: no source makes the event "interview.submited"
      hint: did you mean "interview.submitted"?
    "#);
}

#[test]
fn any_event_is_possible_where_a_generic_source_is_heard() {
    let generic = "[sources.shop]\nkind = \"generic\"\ntype = \"/event\"\nauth = \"none\"\n";
    let text = format!("{}events = [\"order.paid\"]\n{generic}", sound());
    assert_eq!(findings(&text), "");
    let fixed =
        "[sources.shop]\nkind = \"generic\"\ntype = { fixed = \"order.paid\" }\nauth = \"none\"\n";
    let text = format!("{}events = [\"order.paid\"]\n{fixed}", sound());
    assert_eq!(findings(&text), "");
    let text = format!("{}events = [\"order.piad\"]\n{fixed}", sound());
    assert_snapshot!(findings(&text), @r#"
    relay.toml:7: routes[0].events[0]: no source makes the event "order.piad"
      hint: did you mean "order.paid"?
    "#);
    let text = with(&format!(
        "{fixed}[[routes]]\nfrom = [\"shop\"]\nto = [\"ats\"]"
    ));
    assert_snapshot!(findings(&text), @r#"
relay.toml:11: warning: routes[1].events: the route names no events, so it takes interview results, which its sources do not send
  hint: write events = ["*"]
relay.toml:11: warning: routes[1]: "route-2" changes nothing: "route-1" above sends all its events to the same destinations
  hint: take it out, or move it above if its `with` is to count
"#);
}

#[test]
fn a_field_that_no_interview_result_has() {
    let text = in_route("changed = [\"recruiter_go_next_rond\", \"colour\", \"score\"]");
    assert_snapshot!(findings(&text), @r#"
    relay.toml:7: warning: routes[0].changed[0]: "recruiter_go_next_rond" is no known field of an interview result
      hint: did you mean "recruiter_go_next_round"?
    relay.toml:7: warning: routes[0].changed[1]: "colour" is no known field of an interview result
      hint: choose from id, status, interview_id, interview_status, processing_status, profile_interview_id, candidate_external_id, recruiter_go_next_round, ai_analysis_recruiter, score, ai_analysis_recruiter_score, ai_analysis_recruiter_why_hire, ai_analysis_recruiter_why_not_hire, pdf_export_url
    "#);
    let text = in_source("auth = \"none\"\nignore = [\"pdf_url\"]");
    assert_snapshot!(findings(&text), @r#"
    relay.toml:3: warning: sources.jobmojito.ignore[0]: "pdf_url" is no known field of an interview result
      hint: choose from id, status, interview_id, interview_status, processing_status, profile_interview_id, candidate_external_id, recruiter_go_next_round, ai_analysis_recruiter, score, ai_analysis_recruiter_score, ai_analysis_recruiter_why_hire, ai_analysis_recruiter_why_not_hire, pdf_export_url
    "#);
}

#[test]
fn a_bad_expression() {
    assert_snapshot!(findings(&in_route("when = \"result.score >=\"")), @r#"
    relay.toml:7: routes[0].when: bad expression at column 16: Syntax error: mismatched input '<EOF>'
      hint: a condition looks like result.score != null && result.score >= 4
    "#);
    assert_snapshot!(findings(&in_route("when = \"reslt.score > 1\"")), @r#"
    relay.toml:7: routes[0].when: bad expression at column 1: unknown name `reslt`
      hint: an expression here may use event, result, previous, with
    "#);
}

#[test]
fn two_routes_of_one_name() {
    let text =
        with("[[routes]]\nname = \"route-1\"\nevents = [\"interview.other\"]\nto = [\"ats\"]");
    assert_snapshot!(findings(&text), @r#"
    relay.toml:8: routes[1].name: another route is named "route-1" too
      hint: give each route a name of its own
    "#);
}

#[test]
fn a_route_whose_destinations_are_named_above_for_all_its_events() {
    let late = |above: &str, more: &str| {
        findings(&in_route(&format!(
            "{above}\n[[routes]]\nname = \"late\"\n{more}\nto = [\"ats\"]"
        )))
    };
    assert_snapshot!(late("", "changed = [\"score\"]\nwith = { a = 1 }"), @r#"
relay.toml:8: warning: routes[1]: "late" changes nothing: "route-1" above sends all its events to the same destinations
  hint: take it out, or move it above if its `with` is to count
"#);
    let same = "when = \"result.score != null\"";
    assert!(late(same, same).contains("changes nothing"));
    assert!(
        late("changed = [\"score\", \"status\"]", "changed = [\"score\"]")
            .contains("changes nothing")
    );
    let with = "when = \"with.least == 1.0\"\nwith = { least = 1 }";
    for (above, more) in [
        (same, ""),
        (with, &with.replace("least = 1", "least = 2")),
        ("changed = [\"score\"]", "changed = [\"score\", \"status\"]"),
        ("first = false", ""),
        ("", "events = [\"interview.*\"]"),
        ("", "stop = true"),
    ] {
        assert!(
            !late(above, more).contains("changes nothing"),
            "{above} / {more}"
        );
    }
}

#[test]
fn a_route_that_can_never_be_reached() {
    let stop = |more: &str| {
        in_route(&format!(
            "stop = true\n{more}\n[[routes]]\nname = \"late\"\nevents = [\"interview.failed\"]\nto = [\"ats\"]"
        ))
    };
    assert_snapshot!(findings(&stop("")), @r#"
    relay.toml:9: routes[1]: "late" can never be reached: "route-1" above takes all its events and stops
      hint: move it above that one, or take `stop` out there
    "#);
    for reachable in [
        "when = \"result.score != null\"",
        "changed = [\"score\"]",
        "first = false",
        "events = [\"interview.submitted\"]",
    ] {
        assert_eq!(findings(&stop(reachable)), "", "{reachable}");
    }
}

#[test]
fn what_nothing_uses() {
    let text =
        with("[sources.staging]\nauth = \"none\"\n[destinations.old]\nurl = \"http://x/\"\n");
    let text = text.replace("[[routes]]", "[[routes]]\nfrom = [\"jobmojito\"]");
    assert_snapshot!(findings(&text), @r#"
    relay.toml:8: warning: sources.staging: no route takes events from this source
      hint: add it to a route's `from`
    relay.toml:10: warning: destinations.old: no route leads to this destination
      hint: add it to a route's `to`, or take it out
    "#);
    assert_snapshot!(findings(""), @r#"
    relay.toml: warning: sources: there is no source, so nothing can be sent to the relay
      hint: add [sources.jobmojito]
    relay.toml: warning: routes: there is no route, so events are kept and none is delivered
      hint: add [[routes]]
    "#);
}

#[test]
fn all_mistakes_are_found_at_once_in_the_order_of_the_file() {
    let text = "[server]\nlisten = \"x\"\n[sources.a]\nauth = 1\n[destinations.b]\nurl = \"x\"\ntimeout = 1\n[[routes]]\nto = [\"c\"]\nwhen = \"(\"\n";
    let findings = found(&inputs(), text);
    let lines: Vec<&str> = findings
        .lines()
        .filter_map(|line| line.strip_prefix("relay.toml:"))
        .filter_map(|line| line.split(':').next())
        .collect();
    assert_eq!(lines, ["2", "4", "6", "7", "9", "10"]);
}

#[test]
fn findings_are_data_too() {
    let findings = mojito_relay::config::load_text(&inputs(), &in_destination("paused = 1"));
    let json = serde_json::to_value(findings.expect_err("a mistake")).expect("plain data");
    assert_eq!(
        json,
        serde_json::json!([{
            "severity": "error",
            "file": "relay.toml",
            "line": 5,
            "key": "destinations.ats.paused",
            "problem": "expected true or false, found 1",
            "hint": "write true or false, without quotes"
        }])
    );
}
