//! Secrets that are wrong in some way, which must not be shown for it.

use super::canaries::found;
use crate::cli::run;
use crate::process::Folder;

/// In every one of the wrong values.
const CANARY: &str = "canary4wrong7value";

/// A relay.toml around some lines for its only destination, and others for the rest.
fn toml(destination: &str, more: &str) -> String {
    let source = if more.contains("[sources.a]") {
        ""
    } else {
        "[sources.a]\nauth = \"none\"\n"
    };
    let url = if destination.contains("url = ") {
        ""
    } else {
        "url = \"https://ats.example/in\"\n"
    };
    format!("{more}\n{source}[destinations.d]\n{url}{destination}\n[[routes]]\nto = [\"d\"]\n")
}

/// What `check` says of it, of which none may show the canary.
fn refused(toml: &str, secret: &str) -> String {
    let folder = Folder::new(toml);
    folder.write("secret", secret);
    let mut told = String::new();
    for args in [
        &["check"][..],
        &["check", "--format", "json"],
        &["check", "--no-secrets"],
        &["serve"],
        &["explain", "submitted"],
    ] {
        let (code, text) = run(folder.path(), args);
        let reads_secrets = args.len() != 2;
        assert!(
            !reads_secrets || code != 0,
            "{args:?} takes {toml}
{text}"
        );
        assert_eq!(
            found(CANARY, text.as_bytes()),
            None,
            "{args:?}: {toml}\n{text}"
        );
        told.push_str(&text);
    }
    told
}

#[test]
fn a_secret_in_a_file_that_cannot_be_right_is_named_and_not_shown() {
    let file = "{ file = \"secret\" }";
    for (keys, more, secret) in [
        (
            format!("headers = {{ A = {file} }}"),
            String::new(),
            format!("{CANARY}\nmore"),
        ),
        (
            format!("api_key = {file}"),
            String::new(),
            format!("{CANARY}\u{7}"),
        ),
        (
            format!("sign = {{ secrets = [{file}] }}"),
            String::new(),
            format!("whsec_!{CANARY}"),
        ),
        (
            format!("url = {file}"),
            String::new(),
            format!("no url {CANARY}"),
        ),
        (
            format!("url = {file}"),
            String::new(),
            format!("http://u:{CANARY}@ats.example/"),
        ),
        (
            format!("url = {file}"),
            String::new(),
            format!("http://169.254.169.254/{CANARY}"),
        ),
        (
            format!("proxy = {file}"),
            String::new(),
            format!("no proxy {CANARY}"),
        ),
        (
            String::new(),
            format!("[store]\nencrypt = {{ keys = [{file}] }}"),
            CANARY.to_owned(),
        ),
        (
            String::new(),
            format!("[sources.a]\nauth = {{ basic = [{file}] }}"),
            CANARY.to_owned(),
        ),
        (
            String::new(),
            format!("[admin]\ntoken = {file}"),
            format!("{CANARY}\nmore"),
        ),
        (
            String::new(),
            "[server]\ntls = { cert = \"secret\", key = \"secret\" }".to_owned(),
            format!("-----BEGIN PRIVATE KEY-----\n{CANARY}\n-----END PRIVATE KEY-----\n"),
        ),
        (
            "tls = { ca = \"secret\" }".to_owned(),
            String::new(),
            format!("-----BEGIN CERTIFICATE-----\n{CANARY}\n-----END CERTIFICATE-----\n"),
        ),
        (
            "tls = { cert = \"secret\", key = \"secret\" }".to_owned(),
            String::new(),
            format!("-----BEGIN PRIVATE KEY-----\n{CANARY}\n-----END PRIVATE KEY-----\n"),
        ),
    ] {
        let told = refused(&toml(&keys, &more), &secret);
        assert!(told.contains("relay.toml:"), "{keys}{more}: {told}");
    }
}

#[test]
fn a_secret_that_stands_where_or_as_it_should_not_is_not_shown() {
    let wrong = format!("\"{CANARY}\"");
    for (keys, more) in [
        (format!("api_key = [{wrong}]"), String::new()),
        (format!("api_key = \"{CANARY}"), String::new()),
        (format!("api_key = {CANARY}"), String::new()),
        (format!("headers = {wrong}"), String::new()),
        (
            format!("headers = {{ Authorization = [{wrong}] }}"),
            String::new(),
        ),
        (format!("sign = {wrong}"), String::new()),
        (format!("sign = {{ secrets = {wrong} }}"), String::new()),
        (format!("auth = {wrong}"), String::new()),
        (format!("auth = {{ oauth2 = {wrong} }}"), String::new()),
        (format!("proxy = {wrong}"), String::new()),
        (format!("url = [{wrong}]"), String::new()),
        (
            format!("url = \"https://u:{CANARY}@ats.example/\""),
            String::new(),
        ),
        (String::new(), format!("[admin]\ntoken = [{wrong}]")),
        (String::new(), format!("[admin]\ntoken = \"{CANARY}")),
        (String::new(), format!("[store]\nencrypt = {wrong}")),
        (
            String::new(),
            format!("[store]\nencrypt = {{ keys = {wrong} }}"),
        ),
        (String::new(), format!("[sources.a]\nauth = {wrong}")),
        (
            String::new(),
            format!("[sources.a]\nauth = {{ bearer = {wrong} }}"),
        ),
        (
            String::new(),
            format!("[sources.a]\nauth = {{ bearer = [[{wrong}]] }}"),
        ),
        (
            String::new(),
            format!("[sources.a]\nauth = {{ header = \"X\", secrets = {wrong} }}"),
        ),
        (
            String::new(),
            format!("[sources.a]\nauth = {{ hmac_sha256 = {wrong} }}"),
        ),
    ] {
        refused(&toml(&keys, &more), "");
    }
}

#[test]
fn a_secret_on_the_command_line_or_in_the_environment_is_not_repeated() {
    let folder = Folder::new(&toml("", ""));
    for key in [
        "admin.tokn",
        "admin.token.x",
        "destinations.d.api_key.x",
        "sources.a.auth.bearer.x",
    ] {
        let flag = format!("{key}={CANARY}");
        let (code, text) = run(folder.path(), &["check", "--override", &flag]);
        assert_ne!(code, 0, "{text}");
        assert_eq!(found(CANARY, text.as_bytes()), None, "{flag}: {text}");
    }
    let (_, text) = run(
        folder.path(),
        &["status", "--admin", "http://127.0.0.1:1", "--token", CANARY],
    );
    assert!(
        text.contains("no relay answers") && found(CANARY, text.as_bytes()).is_none(),
        "{text}"
    );
}
