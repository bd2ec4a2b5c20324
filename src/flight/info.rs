//! GetFlightInfo, GetSchema and ListFlights: what there is, and tickets to read it.

use std::collections::HashMap;
use std::sync::Arc;

use arrow::datatypes::Schema;
use arrow::ipc::writer::IpcWriteOptions;
use arrow_flight::FlightDescriptor;
use arrow_flight::FlightEndpoint;
use arrow_flight::FlightInfo;
use arrow_flight::IpcMessage;
use arrow_flight::Location;
use arrow_flight::SchemaAsIpc;
use arrow_flight::SchemaResult;
use bytes::Bytes;
use futures::FutureExt;
use futures::Stream;
use futures::StreamExt;
use futures::TryStreamExt;
use futures::future::BoxFuture;
use futures::stream;

use super::desk::Desk;
use super::guard;
use super::guard::Descriptor;
use super::ipc::SchemaMessage;
use super::status::tonic_status;
use crate::auth::TICKET_LEN;
use crate::auth::Ticket;
use crate::fleet;
use crate::fleet::Fleet;
use crate::model::Locator;
use crate::model::NodeId;
use crate::model::SequenceHead;
use crate::model::SequenceName;
use crate::model::TimeRange;
use crate::model::TopicStorage;
use crate::model::TopicView;
use crate::query;
use crate::retrieval::Info;
use crate::retrieval::RetrievalError;
use crate::retrieval::TopicInfo;
use crate::shard::Window;
use crate::wire::DescriptorForm;
use crate::wire::InfoDescriptor;
use crate::wire::TopicExtras;
use crate::wire::WindowInfo;
use crate::wire::WireError;
use crate::wire::plain_ticket;
use crate::wire::sequence_app_metadata;
use crate::wire::sequence_schema_metadata;
use crate::wire::topic_app_metadata;
use crate::wire::topic_location;
use crate::wire::topic_schema_metadata;

/// Windows that are asked of other servers for one request at a time.
const OTHERS_AT_ONCE: usize = 16;

pub(super) async fn flight_info(desk: &Desk, descriptor: FlightDescriptor) -> Result<FlightInfo, tonic::Status> {
    let asked = parse(descriptor.clone())?;
    if let Some(selection) = &asked.extras.selection {
        let max = guard::TICKET_BYTES_MAX - TICKET_LEN;
        guard::check_len("tessera_columns and tessera_where", selection.len(), max).map_err(|e| tonic_status(&e))?;
        let named = |error: query::QueryError| tonic_status(&error.behind("tessera_"));
        query::parse_selection(selection.as_bytes()).map_err(named)?;
    }
    let info = desk.retrieval.info(&asked.locator, asked.range).await.map_err(|error| tonic_status(&error))?;
    let info = windows_of_others(desk, info, asked.range).await?;
    let places = places(desk, &info).await;
    let storage = match asked.extras.storage {
        true => desk.retrieval.storage(&info).await.map_err(|error| tonic_status(&error))?,
        false => Vec::new(),
    };
    let open = match asked.extras.open {
        true => desk.retrieval.open_sessions(&info).await.map_err(|error| tonic_status(&error))?,
        false => Vec::new(),
    };
    let Info { sequence, topics } = info;
    let schema = match (&asked.locator, topics.first()) {
        (Locator::Topic(_), Some(topic)) => {
            let schema =
                with_metadata(&stored_schema(&topic.view), topic_schema_metadata(&topic.view, Some(rows(topic))));
            encapsulated(&schema)?
        }
        _ => encapsulated(&with_metadata(&Schema::empty(), sequence_schema_metadata(&sequence.head)))?,
    };
    let records: u64 = topics.iter().map(|topic| rows(topic).rows).sum();
    let bytes: u64 = topics.iter().map(|topic| topic.view.totals.file_bytes).sum();
    Ok(FlightInfo {
        schema,
        flight_descriptor: Some(descriptor),
        endpoint: (0..)
            .zip(&topics)
            .map(|(index, topic)| endpoint(desk, &asked, topic, storage.get(index), places.get(index)))
            .collect(),
        total_records: i64::try_from(records).unwrap_or(i64::MAX),
        total_bytes: i64::try_from(bytes).unwrap_or(i64::MAX),
        ordered: false,
        app_metadata: Bytes::from(sequence_app_metadata(&sequence, &open)),
    })
}

/// The schema of a topic's stream, as its writer sent it; empty when nothing was put.
pub(super) async fn schema(desk: &Desk, descriptor: FlightDescriptor) -> Result<SchemaResult, tonic::Status> {
    let asked = parse(descriptor)?;
    let Locator::Topic(name) = asked.locator else {
        let (key, expected) = ("resource_locator", "the locator of a topic: only topics have a schema");
        return Err(tonic_status(&WireError::Value { key, expected, found: asked.locator.to_string() }));
    };
    let view = desk.retrieval.topic(&name).await.map_err(|error| tonic_status(&error))?;
    Ok(SchemaResult { schema: encapsulated(&stored_schema(&view))? })
}

/// Every sequence, a page of the catalog at a time.
pub(super) fn flights(desk: Arc<Desk>) -> impl Stream<Item = Result<FlightInfo, tonic::Status>> + Send + 'static {
    let pages = stream::try_unfold(Page::First, move |page| {
        let desk = Arc::clone(&desk);
        async move {
            let after = match page {
                Page::First => None,
                Page::After(name) => Some(name),
                Page::Done => return Ok::<_, tonic::Status>(None),
            };
            let page = desk.retrieval.sequences(after).await.map_err(|error| tonic_status(&error))?;
            let last = page.items.last().filter(|_| page.next.is_some());
            let then = last.map_or(Page::Done, |head| Page::After(head.name.clone()));
            Ok(Some((stream::iter(page.items).map(|head| Ok(flight(&head))), then)))
        }
    });
    pages.try_flatten()
}

enum Page {
    First,
    After(SequenceName),
    Done,
}

fn flight(head: &SequenceHead) -> FlightInfo {
    let descriptor = FlightDescriptor::new_path(vec![head.name.to_string()]);
    FlightInfo { flight_descriptor: Some(descriptor), total_records: -1, total_bytes: -1, ..FlightInfo::default() }
}

fn parse(descriptor: FlightDescriptor) -> Result<InfoDescriptor, tonic::Status> {
    let Descriptor { kind, command, path } = Descriptor::check(descriptor).map_err(|error| tonic_status(&error))?;
    InfoDescriptor::parse(kind, &command, &path).map_err(|error| tonic_status(&error))
}

/// What lies in the range, of topics whose owners alone can tell.
async fn windows_of_others(desk: &Desk, mut info: Info, range: TimeRange) -> Result<Info, tonic::Status> {
    let mut asked: Vec<BoxFuture<'_, Result<(), tonic::Status>>> = Vec::new();
    for topic in &mut info.topics {
        if let Some(node) = topic.away {
            asked.push(window_of_other(desk, node, topic, range).boxed());
        }
    }
    stream::iter(asked).buffered(OTHERS_AT_ONCE).try_collect::<()>().await?;
    Ok(info)
}

async fn window_of_other(
    desk: &Desk,
    node: NodeId,
    topic: &mut TopicInfo,
    range: TimeRange,
) -> Result<(), tonic::Status> {
    let head = &topic.view.head;
    let Some(fleet) = &desk.fleet else {
        return Err(tonic_status(&RetrievalError::Elsewhere { topic: head.name.clone(), node }));
    };
    let window = fleet.window(node, head.id, range).await.map_err(|error| tonic_status(&error))?;
    topic.window = Some(Window { bounds: window.bounds(), rows: window.rows });
    Ok(())
}

/// What another server asks of [`windows_of_others`].
pub(super) async fn window(desk: &Desk, request: &[u8]) -> Result<Vec<u8>, tonic::Status> {
    let (id, range) = Fleet::read_window(request).map_err(|error| tonic_status(&error))?;
    let topic = desk.retrieval.window(id, range).await.map_err(|error| tonic_status(&error))?;
    let bounds = topic.bounds;
    let (first, last) = (bounds.map(|bounds| bounds.first), bounds.map(|bounds| bounds.last));
    Ok(serde_json::to_vec(&fleet::Window { rows: topic.rows, first, last }).unwrap_or_default())
}

/// Where the rows of each topic are, as far as that is known.
async fn places(desk: &Desk, info: &Info) -> Vec<Option<String>> {
    let Some(fleet) = &desk.fleet else { return Vec::new() };
    let mut known: HashMap<NodeId, Option<String>> = HashMap::new();
    let mut places = Vec::with_capacity(info.topics.len());
    for topic in &info.topics {
        let node = topic.view.node.unwrap_or(fleet.node());
        let place = match known.get(&node) {
            Some(place) => place.clone(),
            None => fleet.address(node).await,
        };
        known.insert(node, place.clone());
        places.push(place);
    }
    places
}

/// * `place`: of the server that has its rows.
fn endpoint(
    desk: &Desk,
    asked: &InfoDescriptor,
    topic: &TopicInfo,
    storage: Option<&TopicStorage>,
    place: Option<&Option<String>>,
) -> FlightEndpoint {
    let head = &topic.view.head;
    let ticket = match asked.form {
        DescriptorForm::Command => {
            let mut ticket = desk.tickets.seal(&Ticket { topic: head.id, range: asked.range });
            ticket.extend_from_slice(asked.extras.selection.as_deref().unwrap_or_default().as_bytes());
            ticket
        }
        DescriptorForm::Path => plain_ticket(&head.name),
    };
    let window = (asked.range != TimeRange::ALL).then(|| rows(topic));
    let extras = TopicExtras { storage, interrupted: asked.extras.open };
    FlightEndpoint {
        ticket: Some(arrow_flight::Ticket { ticket: Bytes::from(ticket) }),
        // In this order: there are clients that take the first one for the topic's name.
        location: [topic_location(&head.name)]
            .into_iter()
            .chain(place.cloned().flatten())
            .map(|uri| Location { uri })
            .collect(),
        expiration_time: None,
        app_metadata: Bytes::from(topic_app_metadata(&topic.view, window, extras)),
    }
}

/// What a read of the topic would bring: its window, or all of it.
fn rows(topic: &TopicInfo) -> WindowInfo {
    let totals = topic.view.totals;
    match topic.window {
        Some(window) => WindowInfo { bounds: window.bounds, rows: window.rows },
        None => WindowInfo { bounds: totals.bounds, rows: totals.rows },
    }
}

fn stored_schema(view: &TopicView) -> Schema {
    let message = view.schema.clone().map(|message| SchemaMessage::parse(Bytes::from(message)));
    match message {
        Some(Ok(message)) => message.schema.as_ref().clone(),
        // It was checked by the same code when it came; a DoGet of the topic says what is wrong with it.
        Some(Err(_)) | None => Schema::empty(),
    }
}

/// The schema with entries added to its metadata, on top of the client's own.
pub(super) fn with_metadata<const N: usize>(schema: &Schema, entries: [(String, String); N]) -> Schema {
    let mut schema = schema.clone();
    schema.metadata.extend(entries);
    schema
}

fn encapsulated(schema: &Schema) -> Result<Bytes, tonic::Status> {
    let options = IpcWriteOptions::default();
    let message: IpcMessage = SchemaAsIpc::new(schema, &options)
        .try_into()
        .map_err(|error| tonic_status(&super::ipc::FrameError::Encode(error)))?;
    Ok(message.0)
}
