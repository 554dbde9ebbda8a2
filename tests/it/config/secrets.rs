//! Secret references: what they resolve to, and that no finding shows a value.

use super::{config, findings, found, in_destination, in_source, inputs, loaded, pairs, with};
use insta::assert_snapshot;
use mojito_relay::config::{Inputs, Secrets};
use mojito_relay::destination::ConfigText;
use mojito_relay::source::Auth;

const BEARER: &str = "auth = { bearer = [{ env = \"NEW\" }, { env = \"OLD\" }] }";

fn environment(variables: &[(&str, &str)]) -> Inputs {
    Inputs {
        environment: pairs(variables),
        ..inputs()
    }
}

fn bearer(inputs: &Inputs, text: &str) -> Vec<String> {
    let loaded = loaded(inputs, text);
    let Auth::Bearer(secrets) = &loaded.config.sources[0].auth else {
        panic!("another way of auth");
    };
    let exposed = secrets.iter().map(|secret| secret.expose().to_owned());
    exposed.collect()
}

#[test]
fn references_are_read_from_the_environment_and_from_files() {
    let inputs = environment(&[("NEW", "new-1"), ("OLD", "old-1")]);
    assert_eq!(bearer(&inputs, &in_source(BEARER)), ["new-1", "old-1"]);

    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("secret");
    std::fs::write(&path, "from-file\r\n").expect("a file");
    let text = in_source(&format!("auth = {{ bearer = [{{ file = {path:?} }}] }}"));
    assert_eq!(bearer(&inputs, &text), ["from-file"]);
}

#[test]
fn without_secrets_nothing_is_read_and_placeholders_are_well_formed() {
    let text = in_destination(
        "sign = { secrets = [{ env = \"SIGN\" }] }\nheaders = { A = { file = \"no/such/file\" } }\n\
         tls = { ca = \"no/such/ca.pem\" }\nproxy = { env = \"PROXY\" }",
    );
    let text = text.replace("\"http://127.0.0.1:9000/\"", "{ env = \"URL\" }");
    let inputs = Inputs {
        secrets: Secrets::Skip,
        ..inputs()
    };
    let loaded = loaded(&inputs, &text);
    assert!(loaded.warnings.is_empty());
    let (settings, _) = &loaded.config.destinations[0];
    let ConfigText::Secret(url) = &settings.url else {
        panic!("a template");
    };
    assert!(url::Url::parse(url.expose()).is_ok());
    assert!(settings.sign[0].expose().starts_with("whsec_"));
}

#[test]
fn references_that_lead_nowhere() {
    let inputs = environment(&[("OLD", "")]);
    assert_snapshot!(found(&inputs, &in_source(BEARER)), @r#"
    relay.toml:2: sources.jobmojito.auth.bearer[0]: the environment variable NEW is not set
      hint: set NEW where the relay runs
    relay.toml:2: sources.jobmojito.auth.bearer[1]: the environment variable OLD is empty
      hint: put the secret, and nothing else, there
    "#);
    let text = in_source("auth = { basic = [{ file = \"no/such/file\" }] }");
    assert_snapshot!(found(&inputs, &text), @r#"
    relay.toml:2: sources.jobmojito.auth.basic[0]: cannot read no/such/file: there is no such file
      hint: the file must be there and readable by the relay's user
    "#);
    let text = in_source("auth = { basic = [{ file = \"a\", env = \"B\" }, { evn = \"C\" }, 5] }");
    assert_snapshot!(found(&inputs, &text), @r#"
    relay.toml:2: sources.jobmojito.auth.basic[0]: a reference has either `env` or `file`
      hint: write { env = "NAME" } or { file = "/run/secrets/name" }
    relay.toml:2: sources.jobmojito.auth.basic[1].evn: unknown key
      hint: did you mean "env"?
    relay.toml:2: sources.jobmojito.auth.basic[1]: a reference has either `env` or `file`
      hint: write { env = "NAME" } or { file = "/run/secrets/name" }
    relay.toml:2: sources.jobmojito.auth.basic[2]: expected a secret: text or a reference
      hint: write { env = "NAME" } or { file = "/run/secrets/name" }
    "#);
    let text = in_source("auth = { bearer = [{ env = \"hunter-2\" }] }");
    assert_snapshot!(found(&inputs, &text), @r#"
    relay.toml:2: sources.jobmojito.auth.bearer[0]: `env` takes the name of an environment variable
      hint: write { env = "NAME" } or { file = "/run/secrets/name" }
    "#);
}

#[test]
fn secrets_that_cannot_be_right_are_refused_without_being_shown() {
    let inputs = environment(&[
        ("BASIC", "hunter2"),
        ("WHSEC", "whsec_hunter2!"),
        ("TOKEN", "hunter2\nhunter3"),
        ("URL", "ftp://hunter2"),
    ]);
    let text = "[sources.a]\nauth = { basic = [{ env = \"BASIC\" }] }\n\
        [destinations.b]\nurl = { env = \"URL\" }\nsign = { secrets = [{ env = \"WHSEC\" }] }\n\
        headers = { Authorization = { env = \"TOKEN\" } }\n[[routes]]\nto = [\"b\"]\n";
    let found = found(&inputs, text);
    assert!(!found.contains("hunter"), "{found}");
    assert_snapshot!(found, @r#"
    relay.toml:2: sources.a.auth.basic[0]: the environment variable BASIC does not hold user:password
      hint: write the user, a colon and the password
    relay.toml:4: destinations.b.url: the environment variable URL does not hold a URL that can be called
      hint: a URL looks like https://host/path
    relay.toml:5: destinations.b.sign.secrets[0]: the environment variable WHSEC does not hold base64, with or without whsec_ before it
      hint: write whsec_ and the base64 of 24 or more random bytes
    relay.toml:6: destinations.b.headers.Authorization: the environment variable TOKEN has line breaks or outer spaces, which no HTTP header carries
      hint: put the secret, and nothing else, there
    "#);
}

#[test]
fn plain_text_secrets_are_a_warning_that_does_not_show_them() {
    let text = with(
        "[admin]\ntoken = \"hunter2\"\n[destinations.b]\nurl = \"https://hooks.slack.com/services/T/B/hunter2\"\n\
         sign = { secrets = [\"whsec_aHVudGVyMmh1bnRlcjJodW50ZXIy\"] }\n\
         headers = { X-Api-Key = \"hunter2\", Accept = \"text/plain\" }\n[[routes]]\nto = [\"b\"]\n",
    );
    let found = findings(&text);
    assert!(!found.contains("hunter"), "{found}");
    assert_snapshot!(found, @r#"
    relay.toml:8: warning: admin.token: secret in plain text
      hint: write { env = "NAME" } or { file = "/run/secrets/name" }
    relay.toml:8: warning: admin.token: it can be guessed: it has fewer than 16 characters
      hint: take what `openssl rand -base64 32` prints
    relay.toml:10: warning: destinations.b.url: secret in plain text
      hint: write { env = "NAME" } or { file = "/run/secrets/name" }
    relay.toml:11: warning: destinations.b.sign.secrets[0]: secret in plain text
      hint: write { env = "NAME" } or { file = "/run/secrets/name" }
    relay.toml:12: warning: destinations.b.headers.X-Api-Key: secret in plain text
      hint: write { env = "NAME" } or { file = "/run/secrets/name" }
    "#);
    let debug = format!("{:?}", config(&text));
    assert!(!debug.contains("hunter"), "{debug}");
}

#[test]
fn nothing_is_filled_into_a_text() {
    let text = "[server]\nlisten = \"${LISTEN}\"\n[sources.a]\nauth = { bearer = [\"$TOKEN\"] }\n\
        [destinations.hr-app]\nurl = \"https://hooks.slack.com/${SLACK_PATH}\"\nheaders = { A = \"Bearer ${KEY}\" }\n\
        body_text = \"costs ${{ with.price }} ${FEE}\"\n[[routes]]\nto = [\"hr-app\"]\n";
    assert_snapshot!(findings(text), @r#"
    relay.toml:2: server.listen: expected an IP address and a port, found "${LISTEN}"
      hint: nothing is filled in here: write the value itself, or set RELAY_SERVER__LISTEN
    relay.toml:4: sources.a.auth.bearer[0]: `$…` is never filled in: it would be sent as it stands
      hint: write { env = "TOKEN" } instead
    relay.toml:6: destinations.hr-app.url: `$…` is never filled in: it would be sent as it stands
      hint: put the whole value into a variable and write { env = "NAME" }
    relay.toml:7: destinations.hr-app.headers.A: `$…` is never filled in: it would be sent as it stands
      hint: put the whole value into a variable and write { env = "NAME" }
    relay.toml:8: warning: destinations.hr-app.body_text: `$…` is not filled in: it stays as it stands
      hint: nothing is filled in here: write the value itself, or set RELAY_DESTINATIONS__HR_APP__BODY_TEXT
    "#);
}

#[test]
fn a_secret_set_by_the_environment_is_not_in_plain_text() {
    let inputs = environment(&[
        ("RELAY_ADMIN__TOKEN", "hunter2-and-16-more"),
        (
            "RELAY_DESTINATIONS__ATS__URL",
            "https://hooks.slack.com/services/T/B/x",
        ),
    ]);
    assert_eq!(found(&inputs, &with("")), "");
}

#[test]
fn keys_of_payloads_are_32_bytes_and_never_shown() {
    let short = "bm90IDMyIGJ5dGVz";
    let inputs = environment(&[("SHORT", short)]);
    let text = with(
        "[store]\nencrypt = { keys = [{ env = \"SHORT\" }, { env = \"NONE\" }, \"00ff\"], seals = true }\n",
    );
    assert_snapshot!(found(&inputs, &text), @r#"
    relay.toml:8: store.encrypt.seals: unknown key
      hint: did you mean "seal"?
    relay.toml:8: store.encrypt.keys[0]: the environment variable SHORT does not hold 32 bytes in base64 or hex
      hint: make one with `openssl rand -base64 32`, and keep it apart from the store and its backups
    relay.toml:8: store.encrypt.keys[1]: the environment variable NONE is not set
      hint: set NONE where the relay runs
    relay.toml:8: store.encrypt.keys[2]: the value does not hold 32 bytes in base64 or hex
      hint: make one with `openssl rand -base64 32`, and keep it apart from the store and its backups
    "#);
    assert!(!found(&inputs, &text).contains(short));
}

#[test]
fn keys_of_payloads_come_by_reference_and_the_first_seals() {
    let (one, two) = ("01".repeat(32), "02".repeat(32));
    let inputs = environment(&[("ONE", &one)]);
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("key");
    std::fs::write(&path, format!("{two}\n")).expect("a file");
    let keys = format!("[{{ env = \"ONE\" }}, {{ file = {path:?} }}]");
    let text = |rest: &str| with(&format!("[store]\nencrypt = {{ keys = {keys}{rest} }}\n"));
    let loaded = loaded(&inputs, &text(""));
    assert!(loaded.files.contains(&path));
    let ring = &loaded.config.store.encrypt;
    let prints: Vec<_> = ring.fingerprints().collect();
    assert_eq!((prints.len(), ring.current()), (2, Some(prints[0])));
    let off = self::loaded(&inputs, &text(", seal = false")).config.store;
    assert_eq!(off.encrypt.current(), None);
    assert_ne!(&off.encrypt, ring, "a reload has to notice");
    assert_eq!(config(&with("")).store.encrypt.current(), None);

    let plain = with(&format!("[store]\nencrypt = {{ keys = [\"{one}\"] }}\n"));
    assert_snapshot!(findings(&plain), @r#"
    relay.toml:8: warning: store.encrypt.keys[0]: secret in plain text
      hint: write { env = "NAME" } or { file = "/run/secrets/name" }
    "#);
    let unread = Inputs {
        secrets: Secrets::Skip,
        ..self::inputs()
    };
    assert_eq!(found(&unread, &text("")), "");
}
