//! Times of matching rows that another server finds, as they come. What is not asked for yet waits there.

use std::sync::Arc;

use bytes::Buf;
use bytes::Bytes;
use bytes::BytesMut;
use h2::RecvStream;
use prost::Message;
use serde::Deserialize;
use serde::Serialize;
use uuid::Uuid;

use super::error::FleetError;
use super::link::Ending;
use super::link::Link;
use super::link::ending;
use super::places::Place;
use crate::model::NodeId;
use crate::model::TimeRange;
use crate::model::TopicId;

/// Times in one message.
pub const TIMES_MAX: usize = 4096;
/// Bytes of a message that can hold these.
const MESSAGE_BYTES_MAX: usize = TIMES_MAX * size_of::<i64>() + 64;
const PREFIX_BYTES: usize = 5;

/// Which request of a client another server is asked to look at rows for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum AskedBy {
    Query,
    Clusters,
    Intersection,
}

/// What is wanted of the matching rows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Wanted {
    /// Whether there is one.
    First,
    /// The first and the last time.
    Bounds,
    /// All times.
    All,
}

/// A look at the rows of one topic. The other server reads the client's request itself, and finds the conditions in it that are
/// meant: two versions that understand it differently tell so instead of finding different rows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Look {
    pub topic: TopicId,
    pub range: TimeRange,
    pub by: AskedBy,
    pub wanted: Wanted,
    /// Digest of the conditions; `None`: every row.
    pub conditions: Option<u64>,
    /// The request as it came.
    pub body: Bytes,
}

#[derive(Deserialize, Serialize)]
struct Head {
    topic: String,
    start: Option<i64>,
    end: Option<i64>,
    by: AskedBy,
    wanted: Wanted,
    conditions: Option<u64>,
}

impl Look {
    /// A line that says what is meant, and behind it the request.
    pub(super) fn to_bytes(&self) -> Vec<u8> {
        let Self { topic, range, by, wanted, conditions, body } = self;
        let (start, end) = (range.start(), range.end());
        let head = Head { topic: topic.to_string(), start, end, by: *by, wanted: *wanted, conditions: *conditions };
        let mut bytes = serde_json::to_vec(&head).unwrap_or_default();
        bytes.push(b'\n');
        bytes.extend_from_slice(body);
        bytes
    }

    /// # Errors
    /// What is wrong with it.
    pub(super) fn read(bytes: &[u8]) -> Result<Self, String> {
        let at = bytes.iter().position(|byte| *byte == b'\n').ok_or("there is no line")?;
        let (head, body) = bytes.split_at(at);
        let Head { topic, start, end, by, wanted, conditions } =
            serde_json::from_slice(head).map_err(|error| error.to_string())?;
        let topic = TopicId(Uuid::try_parse(&topic).map_err(|error| error.to_string())?);
        let range = TimeRange::new(start, end).map_err(|error| error.to_string())?;
        let body = Bytes::copy_from_slice(body.get(1..).unwrap_or_default());
        Ok(Self { topic, range, by, wanted, conditions, body })
    }
}

/// Times that another server finds. Dropping it ends the look there.
pub struct Times {
    body: RecvStream,
    received: BytesMut,
    node: NodeId,
    address: String,
    place: Place,
    _link: Arc<Link>,
}

impl Times {
    pub(super) fn new(body: RecvStream, node: NodeId, place: Place, link: Arc<Link>) -> Self {
        Self { body, received: BytesMut::new(), node, address: link.address(), place, _link: link }
    }

    /// The next times, ascending, at least one; `None` at the end.
    ///
    /// # Errors
    /// As [`super::Passage::next`]; [`FleetError::Cut`] when it was not asked for long, and others wait.
    pub async fn next(&mut self) -> Result<Option<Vec<i64>>, FleetError> {
        if self.place.asked() {
            return Err(FleetError::Cut);
        }
        let times = self.receive().await?;
        self.place.answered();
        Ok(times)
    }

    async fn receive(&mut self) -> Result<Option<Vec<i64>>, FleetError> {
        loop {
            if let Some(message) = self.message()? {
                let result = arrow_flight::Result::decode(message).map_err(|error| self.broken(error.to_string()))?;
                let times = result.body.chunks_exact(size_of::<i64>()).filter_map(|bytes| bytes.try_into().ok());
                return Ok(Some(times.map(i64::from_le_bytes).collect()));
            }
            match self.body.data().await {
                Some(Ok(frame)) => {
                    let released = self.body.flow_control().release_capacity(frame.len());
                    released.map_err(|error| self.broken(error.to_string()))?;
                    self.received.extend_from_slice(&frame);
                }
                Some(Err(error)) => return Err(self.broken(error.to_string())),
                None => break,
            }
        }
        let trailers = self.body.trailers().await.map_err(|error| self.broken(error.to_string()))?;
        match ending(trailers.as_ref()) {
            Some(Ending { code: 0, .. }) if self.received.is_empty() => Ok(None),
            Some(Ending { code: 0, .. }) => Err(self.broken("it ended inside a message".to_owned())),
            Some(Ending { code, message }) => Err(FleetError::Refused { code, message }),
            None => Err(self.broken("it sent no status".to_owned())),
        }
    }

    /// The next whole message of what was received.
    fn message(&mut self) -> Result<Option<Bytes>, FleetError> {
        let Some(mut prefix) = self.received.get(1..PREFIX_BYTES) else { return Ok(None) };
        let len = prefix.get_u32() as usize;
        if len > MESSAGE_BYTES_MAX {
            return Err(self.broken(format!("a message of {len} bytes")));
        }
        if self.received.len() < PREFIX_BYTES + len {
            return Ok(None);
        }
        self.received.advance(PREFIX_BYTES);
        Ok(Some(self.received.split_to(len).freeze()))
    }

    fn broken(&self, cause: String) -> FleetError {
        FleetError::Broken { node: self.node, address: self.address.clone(), cause }
    }
}

/// As [`Times`] reads them.
pub fn times_to_bytes(times: &[i64]) -> Vec<u8> {
    times.iter().flat_map(|time| time.to_le_bytes()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_look_comes_back() {
        let look = Look {
            topic: TopicId(Uuid::from_u128(7)),
            range: TimeRange::new(Some(-5), None).unwrap(),
            by: AskedBy::Query,
            wanted: Wanted::Bounds,
            conditions: Some(u64::MAX),
            body: Bytes::from_static(b"{\"a\":\n\"b\"}\n"),
        };
        assert_eq!(Look::read(&look.to_bytes()), Ok(look.clone()));
        let every = Look { conditions: None, body: Bytes::new(), range: TimeRange::ALL, ..look };
        assert_eq!(Look::read(&every.to_bytes()), Ok(every));
        for bad in [&b""[..], b"{}\n", b"\n{}", br#"{"topic":"x","by":"query","wanted":"all"}"#] {
            assert!(Look::read(bad).is_err());
        }
    }
}
