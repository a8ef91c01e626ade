//! A whole answer.

use anyhow::{Context, Result};
use bytes::Bytes;
use http::{HeaderMap, Response, StatusCode};
use http_body_util::BodyExt;
use hyper::body::Incoming;
use serde_json::Value;

use crate::simulator::Echo;

/// An answer that has been read to its end.
#[derive(Clone, Debug)]
pub struct Reply {
    /// Status.
    pub status: StatusCode,
    /// Headers.
    pub headers: HeaderMap,
    /// Body.
    pub body: Bytes,
    /// Trailers.
    pub trailers: HeaderMap,
}

impl Reply {
    /// Reads an answer to its end.
    ///
    /// # Errors
    /// When it breaks off.
    pub async fn read(response: Response<Incoming>) -> Result<Self> {
        let (parts, body) = response.into_parts();
        let body = body.collect().await.context("the answer broke off")?;
        let trailers = body.trailers().cloned().unwrap_or_default();
        Ok(Self { status: parts.status, headers: parts.headers, body: body.to_bytes(), trailers })
    }

    /// A header's value; empty when it is absent or no text.
    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default()
    }

    /// The simulated Pod that answered; empty when none did.
    pub fn pod(&self) -> &str {
        self.header("x-inference-pod")
    }

    /// The body as text.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// The body as JSON.
    ///
    /// # Panics
    /// When it is none.
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body)
            .unwrap_or_else(|error| panic!("{} is not JSON: {error}: {:?}", self.status, self.text()))
    }

    /// The body as a Pod's echo.
    ///
    /// # Panics
    /// When it is none.
    pub fn echo(&self) -> Echo {
        serde_json::from_slice(&self.body)
            .unwrap_or_else(|error| panic!("{} is not an echo: {error}: {:?}", self.status, self.text()))
    }

    /// The message of an error in the OpenAI shape, with its code.
    ///
    /// # Panics
    /// When the body has another shape.
    pub fn openai_error(&self) -> (String, String) {
        let json = self.json();
        let error = json["error"].as_object().unwrap_or_else(|| panic!("no error object in {json}"));
        for key in ["message", "type", "param", "code"] {
            assert!(error.contains_key(key), "error.{key} is missing in {json}");
        }
        let message =
            error["message"].as_str().unwrap_or_else(|| panic!("error.message is no text in {json}"));
        let code = error["code"].as_str().map_or_else(|| error["code"].to_string(), str::to_owned);
        (message.to_owned(), code)
    }
}
