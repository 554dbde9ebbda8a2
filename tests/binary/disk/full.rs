//! A disk that is really full, and a folder that is really read-only: a small file system of the relay's own.
//! Where the machine lets nobody mount one, the shim has shown what there is to see.

use std::path::PathBuf;
use std::process::Command;

use super::{Scene, ask};
use crate::process::{Process, relay};

/// Mounts this at `data`, then becomes the relay.
fn mounted(scene: &Scene, mount: &str) -> Command {
    let served = relay(scene.folder.path());
    let mut command = Command::new("unshare");
    let script = format!("{mount} && exec \"$0\" \"$@\"");
    command
        .current_dir(scene.folder.path())
        .args(["-Urm", "sh", "-c", &script])
        .arg(served.get_program())
        .args(["serve", "--override", "server.listen=127.0.0.1:0"])
        .args(["--override", "admin.listen=127.0.0.2:0"]);
    command
}

#[expect(clippy::print_stdout, reason = "what was not tried is said")]
fn can_mount() -> bool {
    let mut unshare = Command::new("unshare");
    let tried = unshare.args(["-Urm", "mount", "-t", "tmpfs", "none", "/mnt"]);
    let can = tried.output().is_ok_and(|tried| tried.status.success());
    if !can {
        println!("NOT TRIED: nothing can be mounted here; the shim alone shows a full disk");
    }
    can
}

#[tokio::test(flavor = "multi_thread")]
async fn a_small_file_system_that_is_full_is_waited_out_when_there_is_room_again() {
    if !can_mount() {
        return;
    }
    let mut scene = Scene::new().await;
    std::fs::create_dir(scene.folder.file("data")).unwrap();
    let mount = "mount -t tmpfs -o size=3m none data";
    let process =
        Process::watch(&mut mounted(&scene, mount)).unwrap_or_else(|(_, log)| panic!("{log}"));
    scene.takes(&process, 5).await;
    // As the relay sees it.
    let inside = format!("/proc/{}/root", process.id());
    let data = PathBuf::from(inside + scene.folder.file("data").to_str().unwrap());
    let ballast = data.join("ballast");
    for _ in 0..2 {
        std::fs::write(&ballast, vec![b'x'; 4 << 20]).unwrap_err();
        // What is left of the last page of the log is used up first.
        let mut refused = false;
        for _ in 0..50 {
            refused = scene.post(&process).await.status == 503;
            if refused {
                break;
            }
        }
        assert!(refused);
        scene.refuses(&process, "the disk is full").await;
        scene.keeps_everything(&process).await;
        std::fs::remove_file(&ballast).unwrap();
        scene.goes_on(&process).await;
    }
    assert_eq!(ask(&process, "/readyz").await.status, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_relay_on_a_read_only_folder_does_not_start_and_names_it() {
    if !can_mount() {
        return;
    }
    let mut scene = Scene::new().await;
    let process = Process::start(scene.folder.path());
    scene.takes(&process, 3).await;
    process.kill();
    let mount = "mount --bind data data && mount -o remount,ro,bind data";
    let (status, said) = Process::watch(&mut mounted(&scene, mount))
        .err()
        .expect("nothing can be written");
    assert_eq!(status.code(), Some(1));
    assert!(
        said.contains("relay.db") && said.contains("Read-only file system"),
        "{said}"
    );
    scene.goes_on(&Process::start(scene.folder.path())).await;
}
