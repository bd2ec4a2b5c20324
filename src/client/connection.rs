//! One connection to a server, and its calls.

use std::time::Duration;

use arrow::datatypes::Schema;
use arrow_flight::Action;
use arrow_flight::Criteria;
use arrow_flight::FlightDescriptor;
use arrow_flight::FlightEndpoint;
use arrow_flight::Ticket;
use arrow_flight::decode::FlightRecordBatchStream;
use arrow_flight::error::FlightError;
use arrow_flight::flight_service_client::FlightServiceClient;
use futures::TryStreamExt;
use serde::de::DeserializeOwned;
use serde_json::Value;
use serde_json::json;
use tokio::runtime::Builder;
use tokio::runtime::Runtime;
use tonic::transport::Channel;
use tonic::transport::Endpoint as Transport;

use super::Address;
use super::Batches;
use super::ClientError;
use super::Endpoint;
use super::Info;
use super::SequenceInfo;
use super::ServerInfo;
use super::error::chain;
use crate::model::Locator;
use crate::model::TimeRange;
use crate::model::TopicName;
use crate::wire::InfoExtras;

/// The largest message taken, in bytes: the most a server ever sends. A larger one ends its call with an error.
const MESSAGE_BYTES_MAX: usize = 512 << 20;
/// How long connecting, and then the first answer, may each take.
const CONNECT_LIMIT: Duration = Duration::from_secs(5);
/// Bytes under way per stream and per connection. Large, so that the server never waits for us on a fast line.
const STREAM_WINDOW: u32 = 16 << 20;
const CONNECTION_WINDOW: u32 = 64 << 20;

/// Of a stream that shares the connection with thousands: a frame.
const STREAM_WINDOW_MIN: u32 = 64 << 10;

/// Bytes under way, of each stream and all together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Windows {
    stream: u32,
    connection: u32,
}

impl Windows {
    /// All windows of the streams fit into that of the connection, with room for another.
    fn of(streams: usize) -> Self {
        let streams = u32::try_from(streams).unwrap_or(u32::MAX).clamp(1, 1 << 13);
        let stream = (CONNECTION_WINDOW / (streams + 1)).clamp(STREAM_WINDOW_MIN, STREAM_WINDOW);
        Self { stream, connection: CONNECTION_WINDOW.max(stream * (streams + 1)) }
    }
}

/// Blocking calls to one server. Not for use inside a runtime.
pub struct Client {
    runtime: Runtime,
    address: Address,
    service: FlightServiceClient<Channel>,
}

impl Client {
    /// Connects and asks the server who it is, so that a wrong address fails here and not later.
    ///
    /// # Errors
    /// [`ClientError::Address`], [`ClientError::Unreachable`], [`ClientError::Silent`], or what `info` was answered with.
    pub fn connect(address: &str) -> Result<Self, ClientError> {
        Self::connect_within(address, CONNECT_LIMIT, Windows::of(1))
    }

    /// As [`Self::connect`], for reading so many streams in turn: those that wait for theirs cannot fill the connection, so
    /// that the one that is read goes on.
    ///
    /// # Errors
    /// As [`Self::connect`].
    pub fn connect_reading(address: &str, streams: usize) -> Result<Self, ClientError> {
        Self::connect_within(address, CONNECT_LIMIT, Windows::of(streams))
    }

    fn connect_within(address: &str, limit: Duration, windows: Windows) -> Result<Self, ClientError> {
        let address = Address::parse(address)?;
        let runtime = Builder::new_current_thread().enable_all().build()?;
        let unreachable = |error: tonic::transport::Error| ClientError::Unreachable {
            address: address.clone(),
            cause: chain(&error),
        };
        let transport = Transport::from_shared(address.endpoint())
            .map_err(unreachable)?
            .connect_timeout(limit)
            .initial_stream_window_size(windows.stream)
            .initial_connection_window_size(windows.connection);
        let channel = runtime.block_on(transport.connect()).map_err(unreachable)?;
        let service = FlightServiceClient::new(channel)
            .max_decoding_message_size(MESSAGE_BYTES_MAX)
            .max_encoding_message_size(MESSAGE_BYTES_MAX);
        let client = Self { runtime, address, service };
        let answer =
            client.runtime.block_on(async { tokio::time::timeout(limit, client.ask("info", &json!({}))).await });
        match answer {
            Ok(answer) => answer.map(|_| client),
            Err(_) => Err(ClientError::Silent { address: client.address, limit }),
        }
    }

    pub fn address(&self) -> &Address {
        &self.address
    }

    /// # Errors
    /// [`ClientError`]
    pub fn server(&self) -> Result<ServerInfo, ClientError> {
        let answer = self.action("info", &json!({}))?.unwrap_or_default();
        serde_json::from_value(answer).map_err(|error| ClientError::answer("info", error))
    }

    /// Names of all sequences, as the server orders them.
    ///
    /// # Errors
    /// [`ClientError`]
    pub fn list_sequences(&self) -> Result<Vec<String>, ClientError> {
        let what = "listing sequences";
        self.run(what, async {
            let infos = self.service.clone().list_flights(Criteria::default()).await?.into_inner();
            let paths =
                infos.map_ok(|info| info.flight_descriptor.map(|descriptor| descriptor.path).unwrap_or_default());
            Ok(paths.try_collect::<Vec<_>>().await?.into_iter().flatten().collect())
        })
    }

    /// What the server knows about a sequence with all its topics, or about one topic, and tickets to read them within
    /// `range`.
    ///
    /// # Errors
    /// [`ClientError`]; a locator that names nothing is `Refused` with the code `NotFound`.
    pub fn info(&self, locator: &Locator, range: TimeRange) -> Result<Info, ClientError> {
        self.info_with(locator, range, InfoExtras::default())
    }

    /// As [`Self::info`], with what only a tessera server tells; other servers leave it out.
    ///
    /// # Errors
    /// As [`Self::info`].
    pub fn info_with(&self, locator: &Locator, range: TimeRange, extras: InfoExtras) -> Result<Info, ClientError> {
        let what = format!("asking about {locator}");
        let mut command = vec![("resource_locator", json!(locator.to_string()))];
        command.extend(extras.storage.then_some(("tessera_storage", json!(true))));
        command.extend(extras.open.then_some(("tessera_open", json!(true))));
        if let Some(selection) = &extras.selection {
            let own: Value = parse(&what, selection.as_bytes())?;
            for (key, own_key) in [("tessera_columns", "columns"), ("tessera_where", "where")] {
                command.extend(own.get(own_key).cloned().map(|value| (key, value)));
            }
        }
        command.extend(range.start().map(|start| ("timestamp_ns_start", json!(start))));
        command.extend(range.end().map(|end| ("timestamp_ns_end", json!(end))));
        let descriptor = FlightDescriptor::new_cmd(command.into_iter().collect::<Value>().to_string());
        let info =
            self.run(&what, async { Ok(self.service.clone().get_flight_info(descriptor).await?.into_inner()) })?;
        let sequence = match locator {
            Locator::Topic(_) => None,
            Locator::Sequence(_) | Locator::Session { .. } => Some(parse::<SequenceInfo>(&what, &info.app_metadata)?),
        };
        let endpoints = info.endpoint.into_iter().map(|endpoint| read_endpoint(&what, endpoint));
        Ok(Info { sequence, endpoints: endpoints.collect::<Result<_, _>>()? })
    }

    /// Opens the stream of a ticket from [`Self::info`].
    ///
    /// # Errors
    /// [`ClientError`]
    pub fn get(&self, ticket: &[u8]) -> Result<Batches<'_>, ClientError> {
        let ticket = Ticket::new(ticket.to_vec());
        let data =
            self.run("opening a stream", async { Ok(self.service.clone().do_get(ticket).await?.into_inner()) })?;
        let stream = FlightRecordBatchStream::new_from_flight_data(data.map_err(FlightError::from));
        Ok(Batches { runtime: &self.runtime, address: &self.address, stream })
    }

    /// Runs one action; the `response` of its answer, `None` when it has none.
    ///
    /// # Errors
    /// [`ClientError`]
    pub fn action(&self, kind: &str, body: &Value) -> Result<Option<Value>, ClientError> {
        self.runtime.block_on(self.ask(kind, body))
    }

    /// Gives the `response` of each result of an action that answers with several documents, as they come.
    ///
    /// # Errors
    /// [`ClientError`]
    pub fn action_each(&self, kind: &str, body: &Value, mut take: impl FnMut(Value)) -> Result<(), ClientError> {
        let action = Action::new(kind, body.to_string());
        let mut results = self.run(kind, async { Ok(self.service.clone().do_action(action).await?.into_inner()) })?;
        while let Some(result) = self.run(kind, results.try_next())? {
            let mut answer: Value = parse(kind, &result.body)?;
            take(answer.get_mut("response").map(Value::take).unwrap_or_default());
        }
        Ok(())
    }

    /// The schema of a topic's rows; without fields when nothing was put.
    ///
    /// # Errors
    /// [`ClientError`]; a topic that is not there is `Refused` with the code `NotFound`.
    pub fn schema(&self, topic: &TopicName) -> Result<Schema, ClientError> {
        let what = format!("asking for the schema of {topic}");
        let descriptor = FlightDescriptor::new_cmd(json!({"resource_locator": topic.to_string()}).to_string());
        let answer = self.run(&what, async { Ok(self.service.clone().get_schema(descriptor).await?.into_inner()) })?;
        Schema::try_from(&answer).map_err(|error| ClientError::answer(&what, error))
    }

    async fn ask(&self, kind: &str, body: &Value) -> Result<Option<Value>, ClientError> {
        let action = Action::new(kind, body.to_string());
        let call = async {
            let results = self.service.clone().do_action(action).await?.into_inner();
            results.try_collect::<Vec<_>>().await
        };
        let results = call.await.map_err(|status| ClientError::rpc(&self.address, kind, &status))?;
        // One document, in however many pieces it comes; none at all is an answer without content.
        let text: Vec<u8> = results.iter().flat_map(|result| result.body.iter().copied()).collect();
        if text.is_empty() {
            return Ok(None);
        }
        let mut answer: Value = parse(kind, &text)?;
        let response = answer.get_mut("response").map(Value::take).filter(|response| !response.is_null());
        match answer.get("action").and_then(Value::as_str) {
            Some(name) if name == kind => Ok(response),
            None | Some("empty") => Ok(None),
            Some(other) => Err(ClientError::answer(kind, format!("it answers {other:?}"))),
        }
    }

    fn run<T>(&self, what: &str, call: impl Future<Output = Result<T, tonic::Status>>) -> Result<T, ClientError> {
        self.runtime.block_on(call).map_err(|status| ClientError::rpc(&self.address, what, &status))
    }
}

fn read_endpoint(what: &str, endpoint: FlightEndpoint) -> Result<Endpoint, ClientError> {
    let topic = parse(what, &endpoint.app_metadata)?;
    let ticket = endpoint.ticket.ok_or_else(|| ClientError::answer(what, "an endpoint without a ticket"))?;
    Ok(Endpoint { topic, ticket: ticket.ticket.to_vec() })
}

fn parse<T: DeserializeOwned>(what: &str, json: &[u8]) -> Result<T, ClientError> {
    serde_json::from_slice(json).map_err(|error| ClientError::answer(what, error))
}

#[cfg(test)]
mod tests;
