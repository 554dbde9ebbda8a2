use proptest::prelude::*;

use super::*;

const EVENT: &str = "evt_0198c6d2e0a07000b3a1c2d3e4f50617";
const DELIVERY: &str = "dlv_0198c6d2e0a07000b3a1c2d3e4f50617_3";

fn hook(method: &Method, target: &str) -> Result<String, NoCall> {
    let target: Uri = target.parse().unwrap();
    let IngressCall::Hook { source } = IngressCall::parse(method, &target)?;
    Ok(source.into_owned())
}

#[test]
fn a_webhook_is_posted_to_the_name_of_a_source() {
    let table = [
        ("/hooks/jobmojito", "jobmojito"),
        ("/hooks/jobmojito?x=1", "jobmojito"),
        ("http://elsewhere.example/hooks/jobmojito", "jobmojito"),
        ("/hooks/%6aobmojito", "jobmojito"),
        ("/hooks/job%20mojito", "job mojito"),
        ("/hooks/caf%C3%A9", "café"),
        ("/hooks/%2525", "%25"),
        ("/hooks/a.b", "a.b"),
    ];
    for (target, expected) in table {
        assert_eq!(
            hook(&Method::POST, target).as_deref(),
            Ok(expected),
            "{target}"
        );
        for method in [Method::GET, Method::HEAD, Method::OPTIONS, Method::PUT] {
            assert_eq!(
                hook(&method, target),
                Err(NoCall::MethodNotAllowed { allow: "POST" })
            );
        }
    }
}

#[test]
fn everything_else_is_not_found_whatever_the_method() {
    let strange = [
        "/",
        "*",
        "/hooks",
        "/hooks/",
        "//hooks/x",
        "/hooks//x",
        "/hooks/x/",
        "/hooks/x/y",
        "/hooks/x%2fy",
        "/hooks/x%2Fy",
        "/hooks/x%5cy",
        "/hooks/.",
        "/hooks/..",
        "/hooks/%2e%2e",
        "/hooks/./x",
        "/hooks/../hooks/x",
        "/a/../hooks/x",
        "/Hooks/x",
        "/%68ooks/x",
        "/hooks/%00",
        "/hooks/x%0d%0a",
        "/hooks/%ff",
        "/hooks/%",
        "/hooks/%4",
        "/hooks/%zz",
        "/hooks/%%41",
        "http://host",
        "http://host//hooks/x",
    ];
    for target in strange {
        for method in [Method::POST, Method::GET] {
            assert_eq!(hook(&method, target), Err(NoCall::NotFound), "{target}");
        }
    }
    let long = format!("/hooks/{}", "a".repeat(MAX_NAME + 1));
    assert_eq!(hook(&Method::POST, &long), Err(NoCall::NotFound));
    let authority = Uri::from_static("example.com:443");
    assert_eq!(
        IngressCall::parse(&Method::CONNECT, &authority),
        Err(NoCall::NotFound)
    );
}

#[test]
fn admin_calls_are_known_by_path_and_method() {
    let event = EVENT.parse().unwrap();
    let delivery = DELIVERY.parse().unwrap();
    let table = [
        (
            "/".to_owned(),
            AdminCall::Page(File::at("/").expect("the page")),
        ),
        ("/api/v1/stream".to_owned(), AdminCall::Stream),
        ("/healthz".to_owned(), AdminCall::Health),
        ("/readyz".to_owned(), AdminCall::Ready),
        ("/metrics".to_owned(), AdminCall::Metrics),
        ("/openapi.json".to_owned(), AdminCall::OpenApi),
        ("/api/v1/status".to_owned(), AdminCall::Status),
        (
            "/api/v1/events?type=x&limit=5".to_owned(),
            AdminCall::Events,
        ),
        (format!("/api/v1/events/{EVENT}"), AdminCall::Event(event)),
        ("/api/v1/deliveries".to_owned(), AdminCall::Deliveries),
        (
            format!("/api/v1/deliveries/{DELIVERY}"),
            AdminCall::Delivery(delivery),
        ),
        (
            format!("/api/v1/deliveries/{DELIVERY}/replay"),
            AdminCall::Replay(delivery),
        ),
        (
            "/api/v1/destinations/ats/pause".to_owned(),
            AdminCall::Pause("ats".into()),
        ),
        (
            "/api/v1/destinations/ats/resume".to_owned(),
            AdminCall::Resume("ats".into()),
        ),
    ];
    for (target, call) in table {
        let target: Uri = target.parse().unwrap();
        let parse = |method| AdminCall::parse(&method, &target);
        let posts = matches!(
            call,
            AdminCall::Replay(_) | AdminCall::Pause(_) | AdminCall::Resume(_)
        );
        let (right, wrong) = if posts {
            (vec![Method::POST], vec![Method::GET, Method::HEAD])
        } else {
            (
                vec![Method::GET, Method::HEAD],
                vec![Method::POST, Method::DELETE],
            )
        };
        for method in right {
            assert_eq!(parse(method), Ok(call.clone()));
        }
        let allow = if posts { "POST" } else { "GET, HEAD" };
        for method in wrong {
            assert_eq!(parse(method), Err(NoCall::MethodNotAllowed { allow }));
        }
    }
}

#[test]
fn admin_paths_that_are_nearly_right_are_not_found() {
    for target in [
        "/healthz/",
        "//healthz",
        "/api/v1",
        "/api/v1/",
        "/api/v1/status/",
        "/api/v1//events",
        "/api/v1/events/",
        "/api/v1/events/nothing",
        "/api/v1/deliveries/x/replay",
        "/api/v1/../v1/status",
        "/api%2fv1/status",
        "/api/v2/status",
        "/api/v1/deliveries/dlv_0198c6d2e0a07000b3a1c2d3e4f50617_3/replay/",
        "/api/v1/deliveries/evt_0198c6d2e0a07000b3a1c2d3e4f50617",
    ] {
        let target: Uri = target.parse().unwrap();
        let call = AdminCall::parse(&Method::GET, &target);
        assert_eq!(call, Err(NoCall::NotFound), "{target}");
    }
}

#[test]
fn only_what_holds_no_data_is_open() {
    assert!(AdminCall::Metrics.is_open() && AdminCall::Ready.is_open());
    assert!(!AdminCall::Status.is_open() && !AdminCall::Events.is_open());
}

fn path() -> impl Strategy<Value = String> {
    let piece = prop_oneof![
        Just("/".to_owned()),
        Just("//".to_owned()),
        Just("hooks".to_owned()),
        Just("/hooks/".to_owned()),
        Just("..".to_owned()),
        Just("%2f".to_owned()),
        Just("%2e".to_owned()),
        Just("%".to_owned()),
        Just("/api/v1/".to_owned()),
        Just("deliveries".to_owned()),
        Just("replay".to_owned()),
        Just(DELIVERY.to_owned()),
        "[a-z%?#@:;=&.~!-]{0,6}",
        "%[0-9a-fA-F]{2}",
    ];
    proptest::collection::vec(piece, 0..8).prop_map(|pieces| pieces.concat())
}

proptest! {
    #[test]
    fn any_target_is_a_call_or_none_and_never_two(path in path()) {
        let Ok(target) = path.parse::<Uri>() else {
            return Ok(());
        };
        let ingress = IngressCall::parse(&Method::POST, &target);
        let admin = AdminCall::parse(&Method::GET, &target);
        prop_assert!(ingress.is_err() || admin.is_err());
        if let Ok(IngressCall::Hook { source }) = ingress {
            let raw = target.path().strip_prefix("/hooks/");
            prop_assert!(raw.is_some_and(|raw| !raw.contains('/')));
            prop_assert!(!source.is_empty() && !source.contains(['/', '\\', '\0', '\n']));
        }
    }

    #[test]
    fn a_name_is_found_however_it_is_escaped(name in "[a-z0-9_-]{1,20}", escape in any::<u32>()) {
        let segment: String = name
            .bytes()
            .enumerate()
            .map(|(at, byte)| match escape >> (at % 32) & 1 {
                0 => char::from(byte).to_string(),
                _ => format!("%{byte:02x}"),
            })
            .collect();
        prop_assert_eq!(hook(&Method::POST, &format!("/hooks/{segment}")), Ok(name));
    }
}
