//! What strangers meet: no admin port without a token, and no log that they could fill.

use http::Method;
use mojito_relay::transport::NetworkTransport;

use crate::cli::run;
use crate::process::{Folder, Process, request};

const TOML: &str = "[admin]\ntoken = { file = \"token\" }\n[sources.jobmojito]\n\
                    auth = { bearer = [{ file = \"token\" }] }\n";

#[tokio::test(flavor = "multi_thread")]
async fn refused_requests_are_all_counted_and_ten_a_minute_are_logged() {
    let folder = Folder::new(TOML);
    folder.write("token", "a-token-of-its-own");
    let process = Process::start(folder.path());
    let network = NetworkTransport::default();
    let ask = async |method, url: &str| {
        let answer = request(&network, method, url, "{}".into()).await.unwrap();
        (answer.status.as_u16(), answer.body)
    };
    let hook = format!("http://{}/hooks/jobmojito", process.ingress);
    let admin = format!("http://{}", process.admin);
    for _ in 0..200 {
        assert_eq!(ask(Method::POST, &hook).await.0, 401);
        assert_eq!(
            ask(Method::GET, &format!("{admin}/api/v1/status")).await.0,
            401
        );
    }
    let (_, metrics) = ask(Method::GET, &format!("{admin}/metrics")).await;
    let metrics = String::from_utf8(metrics.to_vec()).unwrap();
    for counted in [
        "relay_requests_refused_total{source=\"jobmojito\",status=\"401\"} 200",
        "relay_admin_requests_refused_total{status=\"401\"} 200",
    ] {
        assert!(metrics.contains(counted), "{counted}: {metrics}");
    }
    process.signal("TERM");
    let (_, log) = process.ended();
    for said in ["\"request refused\"", "\"admin request refused\""] {
        let lines = log.lines().filter(|line| line.contains(said)).count();
        // Two minutes' worth, where one ends on the way.
        assert!((10..=20).contains(&lines), "{lines} of {said}: {log}");
    }
}

#[test]
fn without_a_token_the_admin_port_does_not_leave_loopback() {
    let folder = Folder::new(&TOML.replacen("token = { file = \"token\" }\n", "", 1));
    folder.write("token", "a-token-of-its-own");
    for listen in ["0.0.0.0:0", "[::]:0", "192.0.2.1:0"] {
        let admin = format!("admin.listen={listen}");
        let (code, text) = run(folder.path(), &["serve", "--override", &admin]);
        assert_eq!(code, 78, "{listen}: {text}");
        assert!(text.contains("there is no admin.token"), "{listen}: {text}");
    }
    assert!(!folder.file("data").exists(), "nothing was begun");
}
