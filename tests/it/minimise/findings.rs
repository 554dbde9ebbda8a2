//! What `relay check` has against a source that is to be minimised.

use crate::check::check;

/// Two sources, of which the first is minimised, and a destination; `route` is all of a route but its name.
fn found(destination: &str, route: &str) -> String {
    check(&format!(
        "[sources.jobmojito]\nauth = \"none\"\nminimise = true\n\
         [sources.other]\nauth = \"none\"\n\
         [destinations.app]\nurl = \"http://127.0.0.1:9000/\"\n{destination}\n\
         [[routes]]\nname = \"all\"\nto = [\"app\"]\n{route}\n"
    ))
}

const SCORE: &str = "body = { score = \"{{ result.score }}\" }";

#[test]
fn a_destination_that_gets_all_there_is_is_refused_with_line_and_hint() {
    insta::assert_snapshot!(found("", ""), @r"
    relay.toml:3: sources.jobmojito.minimise: it would keep everything: app (by route all) is sent the whole payload
      hint: give app a body with the fields that it needs, leave this source out of the route's `from`, or take minimise out
    ");
    insta::assert_snapshot!(found("body = { all = \"{{ result }}\" }", ""), @r"
    relay.toml:3: sources.jobmojito.minimise: it would keep everything: app (by route all) reads the whole payload in body.all
      hint: name the fields that it needs, such as result.score, or take minimise out
    ");
    let when = "when = \"size(result) > 3 && result.score != null\"";
    insta::assert_snapshot!(found(SCORE, when), @r"
    relay.toml:3: sources.jobmojito.minimise: it would keep everything: the condition of route all reads `result` as a whole
      hint: name the fields that it needs, such as result.score, or take minimise out
    ");
    for destination in [
        "format = \"envelope\"",
        "format = \"cloudevents\"",
        "body_text = \"{% for key in previous %}{{ key }}{% endfor %}\"",
        "body = { a = \"{{ texts.all }}\" }\ntexts = { all = \"{{ result | tojson }}\" }",
        "headers = { X-All = \"{{ result.score }}{{ result['a' ~ 'b'] }}\" }\nbody = { a = 1 }",
        "body = { a = \"{% set r = result %}{{ r.score }}\" }",
    ] {
        let told = found(destination, "");
        let refused = told.contains("relay.toml:3: sources.jobmojito.minimise: it would keep everything: app (by route all)");
        assert!(refused, "{destination}: {told}");
    }
}

#[test]
fn what_only_another_source_reaches_is_no_matter() {
    let own = format!(
        "[destinations.own]\nurl = \"http://127.0.0.1:9001/\"\n{SCORE}\n[[routes]]\nname = \"own\"\nfrom = [\"jobmojito\"]\nto = [\"own\"]\n"
    );
    assert_eq!(found("", &format!("from = [\"other\"]\n{own}")), "");
    let condition = "from = [\"other\"]\nwhen = \"size(result) > 3\"";
    assert_eq!(found(SCORE, &format!("{condition}\n{own}")), "");
}

#[test]
fn fields_by_name_are_no_matter_and_neither_is_whether_there_was_a_revision_before() {
    for when in [
        "previous == null || previous.status != result.status",
        "null != previous",
        "result['score'] > 4.0 && event.changed.exists(field, field == 'score')",
    ] {
        let told = found(SCORE, &format!("when = \"{when}\""));
        assert!(!told.contains("minimise"), "{when}: {told}");
    }
    for preset in ["slack", "slack-bot", "greenhouse"] {
        let keys = match preset {
            "slack" => "url = { env = \"SLACK\" }",
            "slack-bot" => "api_key = { env = \"BOT\" }\nwith = { channel = \"C1\" }",
            _ => "auth.oauth2 = { client_id = { env = \"A\" }, client_secret = { env = \"B\" } }",
        };
        let told = check(&format!(
            "[sources.jobmojito]\nauth = \"none\"\nminimise = true\n\
             [destinations.app]\npreset = \"{preset}\"\n{keys}\n[[routes]]\nto = [\"app\"]\n"
        ));
        assert!(!told.contains("minimise"), "{preset}: {told}");
    }
}

#[test]
fn minimise_is_a_switch() {
    let told = check("[sources.jobmojito]\nauth = \"none\"\nminimise = \"yes\"\n");
    assert!(
        told.contains("relay.toml:3: sources.jobmojito.minimise:"),
        "{told}"
    );
}
