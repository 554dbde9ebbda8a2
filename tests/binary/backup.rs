//! `relay backup`: a copy that a relay can go on with.

use serde_json::Value;

use crate::cli::run;
use crate::operate::Scene;
use crate::process::{Folder, Process};

#[tokio::test(flavor = "multi_thread")]
async fn a_backup_is_taken_beside_the_relay_and_serves_in_its_place() {
    let scene = Scene::start().await;
    scene.post("s-1", 1).await;
    // The two lanes come to their ends in either order.
    while scene.json(&["status"])["counts"]["delivered"] != 1 {}
    scene.process.until_it_says("lane is blocked");
    let (code, text) = run(scene.folder.path(), &["backup", "copy.db"]);
    assert_eq!(code, 0, "{text}");
    assert!(
        text.ends_with(" of sqlite:data/relay.db are in copy.db\n"),
        "{text}"
    );
    scene.post("s-2", 1).await;
    let (code, text) = run(scene.folder.path(), &["backup", "copy.db"]);
    assert_eq!(code, 1);
    assert!(
        text.contains("copy.db: there is such a file; name one that is not there yet"),
        "{text}"
    );
    let copy = scene.folder.file("copy.db");
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt as _;
        let mode = copy.metadata().unwrap().permissions().mode();
        assert_eq!(mode & 0o077, 0, "its owner's alone");
    }
    let elsewhere = Folder::new(
        "[sources.jobmojito]\nauth = \"none\"\n[destinations.ats]\nurl = \"http://127.0.0.1:1/in\"\npaused = true\n\
         [[routes]]\nto = [\"ats\"]\n",
    );
    std::fs::create_dir(elsewhere.file("data")).unwrap();
    std::fs::copy(&copy, elsewhere.file("data/relay.db")).unwrap();
    let process = Process::start(elsewhere.path());
    let admin = format!("http://{}", process.admin);
    let (_, text) = run(elsewhere.path(), &["status", "--json", "--admin", &admin]);
    let status: Value = serde_json::from_str(&text).unwrap();
    let counts = &status["counts"];
    assert_eq!(
        (&counts["delivered"], &counts["waiting"]),
        (&1.into(), &1.into()),
        "as it stood at that moment"
    );
}
