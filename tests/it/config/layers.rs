//! Which layer wins, and how presets, the environment and flags are named in findings.

use super::{config, found, in_destination, inputs, loaded, pairs, sound, with};
use insta::assert_snapshot;
use mojito_relay::config::{Inputs, Secrets, StoreUrl};
use mojito_relay::destination::{BodyFormat, ConfigText};
use mojito_relay::retry::Policy;

fn set(environment: &[(&str, &str)], flags: &[(&str, &str)]) -> Inputs {
    Inputs {
        environment: pairs(environment),
        flags: pairs(flags),
        ..inputs()
    }
}

#[test]
fn flags_lie_over_the_environment_over_the_file_over_the_defaults() {
    let text = with("[server]\nlisten = \"127.0.0.1:1\"\nmax_streams = 1\nmax_connections = 1");
    let inputs = set(
        &[
            ("RELAY_SERVER__LISTEN", "127.0.0.1:2"),
            ("RELAY_SERVER__MAX_STREAMS", "2"),
        ],
        &[("server.listen", "127.0.0.1:3")],
    );
    let server = loaded(&inputs, &text).config.server;
    assert_eq!(server.listen.port(), 3);
    assert_eq!(server.max_streams, 2);
    assert_eq!(server.max_connections, 1);
    assert_eq!(server.max_body, 1 << 20);
}

#[test]
fn the_environment_speaks_of_lists_switches_and_names_with_dashes() {
    let text = with(
        "[destinations.hr-app]\nurl = \"http://x/\"\n[[routes]]\nname = \"b\"\nto = [\"hr-app\"]",
    );
    let inputs = set(
        &[
            ("RELAY_DESTINATIONS__HR_APP__PAUSED", "true"),
            ("RELAY_DESTINATIONS__HR_APP__RETRY__FACTOR", "2.5"),
            ("RELAY_DESTINATIONS__HR_APP__WITH__USER_ID", "158108"),
            ("RELAY_DESTINATIONS__HR_APP__BODY_TEXT", "{{ result.id }}"),
            ("RELAY_SOURCES__JOBMOJITO__ALLOW_IPS", "[\"203.0.113.7\"]"),
            ("RELAY_PORT", "tcp://10.0.0.1:80"),
        ],
        &[],
    );
    let config = loaded(&inputs, &text).config;
    let (settings, lane) = &config.destinations[1];
    assert!(lane.paused);
    assert!((lane.retry.factor - 2.5).abs() < f64::EPSILON);
    assert_eq!(settings.with["user_id"], 158_108);
    assert_eq!(
        settings.body,
        BodyFormat::Text("{{ result.id }}".to_owned())
    );
    assert_eq!(config.sources[0].allow_ips[0].to_string(), "203.0.113.7/32");
}

#[test]
fn findings_name_the_variable_or_the_command_line() {
    let inputs = set(
        &[
            ("RELAY_SERVER__LISTN", "127.0.0.1:2"),
            ("RELAY_DESTINATIONS__ATS__CONCURRENCY", "many"),
            ("RELAY_ROUTES__0__STOP", "true"),
        ],
        &[("log.level", "loud")],
    );
    assert_snapshot!(found(&inputs, &sound()), @r#"
    environment variable RELAY_ROUTES__0__STOP: routes.0.stop: routes can only be set in the file
      hint: they are a list, and their order counts
    environment variable RELAY_SERVER__LISTN: server.listn: unknown key
      hint: did you mean "listen"?
    command line: log.level: expected one of "error", "warn", "info", "debug", "trace", found "loud"
      hint: choose from error, warn, info, debug, trace
    environment variable RELAY_DESTINATIONS__ATS__CONCURRENCY: destinations.ats.concurrency: expected a whole number of at least 1, found "many"
      hint: write a number such as 8, without quotes
    "#);
}

#[test]
fn the_defaults_are_those_of_the_rooms() {
    let config = config(&sound());
    let (settings, lane) = &config.destinations[0];
    assert_eq!(lane.retry, Policy::default());
    assert_eq!(settings.body, BodyFormat::Raw);
    assert_eq!(config.store.url, StoreUrl::Sqlite("data/relay.db".into()));
    assert_eq!(config.store.max_waiting, 1_000_000);
    assert_eq!(config.routes[0].events.len(), 3);
}

#[test]
fn every_built_in_preset_is_sound_and_lies_under_the_operators_keys() {
    let inputs = Inputs {
        secrets: Secrets::Skip,
        ..inputs()
    };
    for about in mojito_relay::config::presets() {
        let name = about.name;
        let key = |needed: &String| match needed.strip_prefix("with.") {
            Some(value) => format!("with.{value} = \"acme\"\n"),
            None => format!("{needed} = {{ env = \"NAME\" }}\n"),
        };
        let needed: String = about
            .needs
            .iter()
            .filter(|needed| *needed != "url")
            .map(key)
            .collect();
        let text = in_destination(&format!("preset = \"{name}\"\ntimeout = \"7s\"\n{needed}"));
        let text = if about.needs.contains(&"url".to_owned()) {
            text.replace("\"http://127.0.0.1:9000/\"", "{ env = \"NAME\" }")
        } else {
            text.replace("url = ", "#url = ")
        };
        let loaded = loaded(&inputs, &text);
        assert!(loaded.warnings.is_empty(), "{name}: {:?}", loaded.warnings);
        let (settings, _) = &loaded.config.destinations[0];
        assert_eq!(settings.preset.as_deref(), Some(name.as_str()));
        assert_eq!(settings.timeout.as_secs(), 7);
    }
}

#[test]
fn a_body_of_the_operators_takes_the_place_of_the_presets() {
    let body = |line: &str| {
        let text = in_destination(&format!("preset = \"slack\"\n{line}"));
        let (settings, _) = config(&text).destinations.remove(0);
        settings.body
    };
    assert_eq!(body("format = \"envelope\""), BodyFormat::Envelope);
    assert_eq!(body("body_text = \"x\""), BodyFormat::Text("x".to_owned()));
}

#[test]
fn tables_that_the_operator_orders_stay_in_order() {
    let text = with(
        "[destinations.zeta]\nurl = \"http://x/\"\nheaders = { Z = \"1\", A = \"2\" }\n\
         [destinations.zeta.body]\nz = 1\na = { y = [{ d = 1, c = 2 }], b = 1 }\n\
         [destinations.alpha]\nurl = \"http://x/\"\n[[routes]]\nname = \"b\"\nto = [\"zeta\", \"alpha\"]",
    );
    let config = config(&text);
    let names: Vec<&str> = config
        .destinations
        .iter()
        .map(|(settings, _)| &*settings.name)
        .collect();
    assert_eq!(names, ["ats", "zeta", "alpha"]);
    let (zeta, _) = &config.destinations[1];
    let headers: Vec<&str> = zeta.headers.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(headers, ["Z", "A"]);
    let BodyFormat::Structured(body) = &zeta.body else {
        panic!("no table");
    };
    assert_eq!(
        body.to_string(),
        r#"{"z":1,"a":{"y":[{"d":1,"c":2}],"b":1}}"#
    );
}

#[test]
fn a_url_may_hold_a_template() {
    let text = in_destination("").replace("9000/", "9000/{{ result.id }}");
    let (settings, _) = &config(&text).destinations[0];
    let expect = ConfigText::Template("http://127.0.0.1:9000/{{ result.id }}".to_owned());
    assert_eq!(settings.url, expect);
}

#[test]
fn an_unnamed_route_is_named_by_its_position() {
    let text = with("[[routes]]\nname = \"second\"\nto = [\"ats\"]\n[[routes]]\nto = [\"ats\"]");
    let config = config(&text);
    let names: Vec<&str> = config.routes.iter().map(|route| &*route.name).collect();
    assert_eq!(names, ["route-1", "second", "route-3"]);
}

#[test]
fn the_hash_tells_whether_the_text_is_the_same() {
    let hash = |text: &str| config(text).hash;
    assert_eq!(hash(&sound()), hash(&sound()));
    assert_ne!(hash(&sound()), hash(&with("# a comment")));
    assert_eq!(hash(&sound()).len(), 32);
}

#[test]
fn a_locator_names_lines_for_what_is_compiled_later() {
    let inputs = Inputs {
        secrets: Secrets::Skip,
        ..inputs()
    };
    let text = in_destination("[destinations.ats.body]\na = 1\nblocks = [\n  \"x\",\n]");
    let locator = loaded(&inputs, &text).locator;
    let finding = locator.error("destinations.ats.body.blocks[0].text", "bad template");
    assert_eq!(finding.line, Some(8));
}
