//! How many files and sockets may be open at once, and who gets them: senders shall not take what the store and the
//! receivers need.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use crate::http::ServerLimits;

/// The limits of the senders' door and of the admin's.
pub(super) fn shared_out(ingress: ServerLimits) -> (ServerLimits, ServerLimits) {
    let Some(files) = raised() else {
        return (ingress, ServerLimits::admin());
    };
    let within = |limits: ServerLimits, share: u64| ServerLimits {
        max_connections: limits
            .max_connections
            .min(usize::try_from(share).unwrap_or(usize::MAX)),
        ..limits
    };
    let shared = within(ingress, files / 2);
    if shared.max_connections < ingress.max_connections {
        tracing::warn!(
            open_files = files,
            connections = shared.max_connections,
            wanted = ingress.max_connections,
            "so few files may be open that senders get fewer connections than server.max_connections; raise the limit \
             (LimitNOFILE of systemd, ulimit -n)"
        );
    }
    (shared, within(ServerLimits::admin(), files / 4))
}

/// The process's limit, raised as far as it may be without asking anybody; None where there is none. The usual one is for
/// programs that cannot handle more.
fn raised() -> Option<u64> {
    let limit = getrlimit(Resource::Nofile);
    let most = Rlimit {
        current: limit.maximum,
        maximum: limit.maximum,
    };
    match setrlimit(Resource::Nofile, most) {
        Ok(()) => most.current,
        Err(_) => limit.current,
    }
}
