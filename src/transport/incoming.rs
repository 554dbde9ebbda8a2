//! An answer that is read as it comes, such as server-sent events.

use bytes::Bytes;
use http::StatusCode;
use reqwest::Response;

/// An answer whose head is there and whose body still comes.
pub struct Incoming {
    response: Response,
}

impl Incoming {
    pub(super) fn new(response: Response) -> Self {
        Self { response }
    }

    pub fn status(&self) -> StatusCode {
        self.response.status()
    }

    /// The next piece of the body; None once it has ended or broken off.
    pub async fn chunk(&mut self) -> Option<Bytes> {
        self.response.chunk().await.ok().flatten()
    }

    /// What is left of the body, for one that does end.
    pub async fn rest(self) -> Bytes {
        self.response.bytes().await.unwrap_or_default()
    }
}
