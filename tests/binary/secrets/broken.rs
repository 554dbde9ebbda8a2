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
    let pem = "-----BEGIN PRIVATE KEY-----\nCANARY\n-----END PRIVATE KEY-----\n";
    let certificate = "-----BEGIN CERTIFICATE-----\nCANARY\n-----END CERTIFICATE-----\n";
    for (keys, more, secret) in [
        ("headers = { A = FILE }", "", "CANARY\nmore"),
        ("api_key = FILE", "", "CANARY\u{7}"),
        ("sign = { secrets = [FILE] }", "", "whsec_!CANARY"),
        ("url = FILE", "", "no url CANARY"),
        ("url = FILE", "", "http://u:CANARY@ats.example/"),
        ("url = FILE", "", "http://169.254.169.254/CANARY"),
        ("proxy = FILE", "", "no proxy CANARY"),
        ("", "[store]\nencrypt = { keys = [FILE] }", "CANARY"),
        ("", "[sources.a]\nauth = { basic = [FILE] }", "CANARY"),
        ("", "[admin]\ntoken = FILE", "CANARY\nmore"),
        (
            "",
            "[server]\ntls = { cert = \"secret\", key = \"secret\" }",
            pem,
        ),
        ("tls = { ca = \"secret\" }", "", certificate),
        ("tls = { cert = \"secret\", key = \"secret\" }", "", pem),
    ] {
        let [keys, more] = [keys, more].map(|text| text.replace("FILE", "{ file = \"secret\" }"));
        let told = refused(&toml(&keys, &more), &secret.replace("CANARY", CANARY));
        assert!(told.contains("relay.toml:"), "{keys}{more}: {told}");
    }
}

#[test]
fn a_secret_that_stands_where_or_as_it_should_not_is_not_shown() {
    for (keys, more) in [
        ("api_key = [\"CANARY\"]", ""),
        ("api_key = \"CANARY", ""),
        ("api_key = CANARY", ""),
        ("headers = \"CANARY\"", ""),
        ("headers = { Authorization = [\"CANARY\"] }", ""),
        ("sign = \"CANARY\"", ""),
        ("sign = { secrets = \"CANARY\" }", ""),
        ("auth = \"CANARY\"", ""),
        ("auth = { oauth2 = \"CANARY\" }", ""),
        ("proxy = \"CANARY\"", ""),
        ("url = [\"CANARY\"]", ""),
        ("url = \"https://u:CANARY@ats.example/\"", ""),
        ("", "[admin]\ntoken = [\"CANARY\"]"),
        ("", "[admin]\ntoken = \"CANARY"),
        ("", "[store]\nencrypt = \"CANARY\""),
        ("", "[store]\nencrypt = { keys = \"CANARY\" }"),
        ("", "[sources.a]\nauth = \"CANARY\""),
        ("", "[sources.a]\nauth = { bearer = \"CANARY\" }"),
        ("", "[sources.a]\nauth = { bearer = [[\"CANARY\"]] }"),
        (
            "",
            "[sources.a]\nauth = { header = \"X\", secrets = \"CANARY\" }",
        ),
        ("", "[sources.a]\nauth = { hmac_sha256 = \"CANARY\" }"),
    ] {
        let [keys, more] = [keys, more].map(|text| text.replace("CANARY", CANARY));
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
