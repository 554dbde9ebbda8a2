//! What strangers do in numbers is counted, and does not fill the log.

use http::Method;
use mojito_relay::transport::NetworkTransport;

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
