//! A sequence being recorded, and recorded ones being looked up, over the calls that are not bulk.

use serde_json::Value;
use serde_json::json;

use super::error::BenchError;
use super::load::Load;
use super::process::Server;
use super::workload::Workload;
use crate::client::Client;
use crate::model::Locator;
use crate::model::TimeRange;

/// An open session of a sequence of its own.
pub struct Recording {
    client: Client,
    sequence: String,
    session: String,
}

impl Recording {
    /// * `sequence`: a name that is free.
    ///
    /// # Errors
    /// [`BenchError::Client`].
    pub fn begin(server: &Server, sequence: &str) -> Result<Self, BenchError> {
        let client = Client::connect(&server.address())?;
        client.action("sequence_create", &json!({"locator": sequence, "user_metadata": {}}))?;
        let session = uuid(client.action("session_create", &json!({"locator": sequence}))?)?;
        Ok(Self { client, sequence: sequence.to_owned(), session })
    }

    /// A new topic: the command its DoPut begins with.
    ///
    /// # Errors
    /// [`BenchError::Client`].
    pub fn topic(&self, path: &str, workload: Workload) -> Result<String, BenchError> {
        let locator = format!("{}/{path}", self.sequence);
        let request = json!({
            "session_uuid": self.session,
            "locator": locator,
            "serialization_format": workload.format(),
            "ontology_tag": format!("bench_{}", workload.name().replace('-', "_")),
            "user_metadata": {},
        });
        let token = uuid(self.client.action("topic_create", &request)?)?;
        Ok(json!({"resource_locator": locator, "topic_uuid": token}).to_string())
    }

    /// A new topic for each stream of a load.
    ///
    /// # Errors
    /// [`BenchError::Client`].
    pub fn topics(&self, load: &Load) -> Result<Vec<String>, BenchError> {
        (0..load.streams).map(|stream| self.topic(&format!("s{stream}"), load.workload)).collect()
    }

    /// Makes what was recorded readable.
    ///
    /// # Errors
    /// [`BenchError::Client`].
    pub fn finalize(self) -> Result<Recorded, BenchError> {
        self.client.action("session_finalize", &json!({"session_uuid": self.session}))?;
        Ok(Recorded { client: self.client, sequence: self.sequence })
    }

    /// Throws all of it away.
    ///
    /// # Errors
    /// [`BenchError::Client`].
    pub fn delete(self) -> Result<(), BenchError> {
        self.client.action("sequence_delete", &json!({"locator": self.sequence}))?;
        Ok(())
    }
}

/// A finalized sequence.
pub struct Recorded {
    client: Client,
    sequence: String,
}

impl Recorded {
    /// Tickets for the rows of each topic within a range, and the bytes of their files, whole.
    ///
    /// # Errors
    /// [`BenchError::Client`].
    pub fn tickets(&self, range: TimeRange) -> Result<Vec<(Vec<u8>, u64)>, BenchError> {
        let locator = Locator::parse(&self.sequence).map_err(|error| BenchError::Connection(error.to_string()))?;
        let info = self.client.info(&locator, range)?;
        Ok(info.endpoints.into_iter().map(|end| (end.ticket, end.topic.data_info.total_bytes)).collect())
    }
}

fn uuid(answer: Option<Value>) -> Result<String, BenchError> {
    let uuid = answer.as_ref().and_then(|answer| answer.get("uuid")).and_then(Value::as_str);
    uuid.map(str::to_owned).ok_or_else(|| BenchError::Wrong {
        what: "an answer",
        found: format!("{answer:?}"),
        expected: "a uuid".to_owned(),
    })
}
