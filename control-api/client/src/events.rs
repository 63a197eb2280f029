//! The stream of events.

use brownout_wire::EventRecord;
use http_body_util::BodyExt;

use crate::ClientError;

/// How long one event may be.
const EVENT_BYTES_MAX: usize = 1024 * 1024;

/// Events as they come. Dropping it ends them.
#[derive(Debug)]
pub struct EventStream {
    body: hyper::body::Incoming,
    base: String,
    buffer: Vec<u8>,
}

impl EventStream {
    pub(crate) fn new(body: hyper::body::Incoming, base: &str) -> Self {
        Self {
            body,
            base: base.to_owned(),
            buffer: Vec::new(),
        }
    }

    /// The next event; `None` when the API has ended the stream.
    ///
    /// # Errors
    /// When the connection breaks, or what comes is no event.
    pub async fn next(&mut self) -> Result<Option<EventRecord>, ClientError> {
        loop {
            if let Some(event) = self.take()? {
                return Ok(Some(event));
            }
            let Some(frame) = self.body.frame().await else {
                return Ok(None);
            };
            let frame = frame.map_err(|error| self.foreign(&error))?;
            if let Ok(data) = frame.into_data() {
                self.buffer.extend_from_slice(&data);
            }
            if self.buffer.len() > EVENT_BYTES_MAX {
                return Err(self.foreign(&"an event is longer than 1 MiB"));
            }
        }
    }

    /// The first event of the buffer that is whole. Comments are passed over.
    fn take(&mut self) -> Result<Option<EventRecord>, ClientError> {
        while let Some(end) = self.buffer.windows(2).position(|two| two == b"\n\n") {
            let block: Vec<u8> = self.buffer.drain(..end + 2).collect();
            let text = String::from_utf8_lossy(&block);
            let data = text.lines().find_map(|line| line.strip_prefix("data:"));
            if let Some(data) = data {
                let event = serde_json::from_str(data.trim_start());
                return event.map(Some).map_err(|error| self.foreign(&error));
            }
        }
        Ok(None)
    }

    fn foreign(&self, what: &dyn std::fmt::Display) -> ClientError {
        ClientError::Foreign {
            base: self.base.clone(),
            what: what.to_string(),
        }
    }
}
