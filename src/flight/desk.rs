//! What every handler stands on.

use std::sync::Arc;

use arrow_flight::flight_service_server::FlightServiceServer;
use futures::FutureExt;
use tonic::codec::CompressionEncoding;

use super::get;
use super::guard;
use super::ipc::DecodeLimits;
use super::put;
use super::service::Service;
use super::transport::Routes;
use crate::auth::Errand;
use crate::auth::PassError;
use crate::auth::TicketSealer;
use crate::fleet::Fleet;
use crate::retrieval::Retrieval;
use crate::runtime::Budget;
use crate::runtime::Shares;
use crate::session::Sessions;
use crate::shard::Shards;
use crate::wire::SessionAnswer;

/// What clients are told and held to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HandlerConfig {
    /// The form of session_create's answer.
    pub session_answer: SessionAnswer,
    /// Bytes of one DoPut message. Clients are told it by `info` and fill their batches up to 90 % of it.
    pub message_bytes_max: usize,
    /// Bytes a DoGet message aims at; told by `info`.
    pub target_message_bytes: usize,
    /// Bytes for the dictionaries of all puts: half of it for those that are held, half for values on their way out of them.
    pub dictionary_bytes: u64,
}

/// The handlers of all calls. Cheap to clone.
#[derive(Clone)]
pub struct Desk {
    pub(super) sessions: Sessions,
    pub(super) retrieval: Retrieval,
    pub(super) tickets: TicketSealer,
    /// The other servers of a shared catalog.
    pub(super) fleet: Option<Fleet>,
    pub(super) config: HandlerConfig,
    /// Of all running puts. One that finds no room ends.
    pub(super) dictionaries: Budget,
    /// Values out of dictionaries on their way to their writers. At the limit puts wait.
    pub(super) written_out: Shares,
    /// Messages on their way there, likewise.
    pub(super) received: Shares,
}

/// Who makes a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Caller {
    Client,
    /// Another server, for a client of its own: it is answered from here, or not at all.
    Server,
}

impl Desk {
    /// * `shards`: those of `sessions`. When memory is short, their writers let go of rows.
    pub fn new(
        sessions: Sessions,
        retrieval: Retrieval,
        tickets: TicketSealer,
        config: HandlerConfig,
        shards: &Shards,
    ) -> Self {
        let half = usize::try_from(config.dictionary_bytes / 2).unwrap_or(usize::MAX);
        let (dictionaries, written_out) = (Budget::new(half), Budget::new(half));
        shards.relieve_when_short(&written_out);
        let (written_out, received) =
            (shards.in_parts(&written_out, put::WRITTEN_OUT_BYTES), shards.received().clone());
        Self { sessions, retrieval, tickets, fleet: None, config, dictionaries, written_out, received }
    }

    /// The same as one of several servers, which open each other's tickets.
    #[must_use]
    pub fn within(self, fleet: Fleet) -> Self {
        self.retrieval.join(fleet.clone());
        Self { tickets: TicketSealer::new(fleet.ticket_key()), fleet: Some(fleet), ..self }
    }

    /// The routes of a listener.
    pub fn routes(self) -> Routes {
        let desk = Arc::new(self);
        let (puts, gets) = (Arc::clone(&desk), Arc::clone(&desk));
        let rest = FlightServiceServer::new(Service::new(desk))
            // The transport measures what comes, against connections.request_bytes_max; this is for what it inflates to.
            .max_decoding_message_size(guard::REQUEST_BYTES_MAX)
            .accept_compressed(CompressionEncoding::Gzip);
        Routes::new(
            Arc::new(move |stream, reply| put::serve(Arc::clone(&puts), stream, reply).boxed()),
            Arc::new(move |request, reply| get::serve(Arc::clone(&gets), request, reply).boxed()),
            rest,
        )
    }

    /// Who calls. A pass that is no good is refused, and never taken for none.
    pub(super) fn caller(&self, errand: Errand, request: &[u8], pass: Option<&[u8]>) -> Result<Caller, PassError> {
        match (pass, &self.fleet) {
            (None, _) => Ok(Caller::Client),
            (Some(_), Some(fleet)) => fleet.admit(errand, request, pass).map(|()| Caller::Server),
            (Some(_), None) => Err(PassError::Seal),
        }
    }

    pub(super) fn decode_limits(&self) -> DecodeLimits {
        DecodeLimits { message_bytes_max: self.config.message_bytes_max }
    }
}
