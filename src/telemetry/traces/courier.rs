//! Carries spans to the collector over the relay's own transport, and says once when it cannot.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use http::{Request, Response};
use opentelemetry_http::{HttpClient, HttpError};
use tokio::runtime::Handle;
use url::Url;

use crate::transport::{Connection, Outgoing, Transport};

/// One batch, from connecting to the end of the answer.
const PATIENCE: Duration = Duration::from_secs(10);

pub(super) struct Courier {
    transport: Arc<dyn Transport>,
    connection: Arc<Connection>,
    /// Batches come from a thread without one.
    runtime: Handle,
    failing: AtomicBool,
}

impl Courier {
    pub(super) fn new(transport: Arc<dyn Transport>) -> Self {
        // A collector stands beside the relay, and its name is the operator's: it may be at a private address.
        let connection = Connection {
            allow_private: true,
            ..Connection::default()
        };
        Self {
            transport,
            connection: Arc::new(connection),
            runtime: Handle::current(),
            failing: AtomicBool::new(false),
        }
    }

    fn tell(&self, failure: Option<&str>) {
        let before = self.failing.swap(failure.is_some(), Ordering::Relaxed);
        match failure {
            Some(reason) if !before => tracing::warn!(reason, "traces cannot be handed over"),
            None if before => tracing::info!("traces can be handed over again"),
            _ => {}
        }
    }
}

#[async_trait]
impl HttpClient for Courier {
    async fn send_bytes(&self, request: Request<Bytes>) -> Result<Response<Bytes>, HttpError> {
        let (parts, body) = request.into_parts();
        let outgoing = Outgoing {
            method: parts.method,
            url: Url::parse(&parts.uri.to_string())?,
            headers: parts.headers,
            body,
            timeout: PATIENCE,
            connection: self.connection.clone(),
        };
        let transport = self.transport.clone();
        let sending = async move { transport.send(outgoing).await };
        let answer = self.runtime.spawn(sending).await?;
        let answer = answer.inspect_err(|failure| self.tell(Some(&failure.message)))?;
        let refused = (!answer.status.is_success()).then(|| answer.status.to_string());
        self.tell(refused.as_deref());
        let mut response = Response::new(answer.body);
        *response.status_mut() = answer.status;
        *response.headers_mut() = answer.headers;
        Ok(response)
    }
}

impl fmt::Debug for Courier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Courier")
    }
}
