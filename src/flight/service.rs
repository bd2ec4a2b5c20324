//! The calls that are not bulk, through tonic's generated service. DoPut and DoGet never come here.

use std::sync::Arc;

use arrow_flight::Action;
use arrow_flight::ActionType;
use arrow_flight::Criteria;
use arrow_flight::Empty;
use arrow_flight::FlightData;
use arrow_flight::FlightDescriptor;
use arrow_flight::FlightInfo;
use arrow_flight::HandshakeRequest;
use arrow_flight::HandshakeResponse;
use arrow_flight::PollInfo;
use arrow_flight::PutResult;
use arrow_flight::SchemaResult;
use arrow_flight::Ticket;
use arrow_flight::flight_service_server::FlightService;
use bytes::Bytes;
use futures::StreamExt;
use futures::stream;
use futures::stream::BoxStream;
use tonic::Request;
use tonic::Response;
use tonic::Status;
use tonic::Streaming;

use super::action;
use super::desk::Desk;
use super::guard;
use super::info;
use super::status::tonic_status;
use super::status::unimplemented;
use crate::auth::Errand;
use crate::fleet;
use crate::fleet::Fleet;
use crate::fleet::GREET;
use crate::fleet::LOOK;
use crate::fleet::PASS_HEADER;
use crate::fleet::WINDOW;
use crate::retrieval::RetrievalError;
use crate::wire::check_criteria;

pub(super) struct Service {
    desk: Arc<Desk>,
}

impl Service {
    pub fn new(desk: Arc<Desk>) -> Self {
        Self { desk }
    }
}

impl Service {
    /// What servers of a fleet ask of each other; `None` for everything else.
    async fn of_servers(
        &self,
        kind: &str,
        body: &[u8],
        pass: Option<&[u8]>,
    ) -> Result<Option<Answers<Vec<u8>>>, Status> {
        let Some(fleet) = &self.desk.fleet else { return Ok(None) };
        let one = |answer: Vec<u8>| Some(stream::iter([Ok(answer)]).boxed());
        match kind {
            GREET => fleet.greet(body).map(one).map_err(|error| tonic_status(&error)),
            WINDOW => {
                fleet.admit(Errand::Window, body, pass).map_err(|error| tonic_status(&error))?;
                info::window(&self.desk, body).await.map(one)
            }
            LOOK => {
                fleet.admit(Errand::Look, body, pass).map_err(|error| tonic_status(&error))?;
                let look = Fleet::read_look(body).map_err(|error| tonic_status(&error))?;
                let times = self.desk.retrieval.look(look).await.map_err(|error| tonic_status(&error))?;
                let answer = |times: Result<Vec<i64>, RetrievalError>| match times {
                    Ok(times) => Ok(fleet::times_to_bytes(&times)),
                    Err(error) => Err(tonic_status(&error)),
                };
                Ok(Some(times.map(answer).boxed()))
            }
            _ => Ok(None),
        }
    }
}

type Answers<T> = BoxStream<'static, Result<T, Status>>;

#[tonic::async_trait]
impl FlightService for Service {
    type HandshakeStream = Answers<HandshakeResponse>;
    type ListFlightsStream = Answers<FlightInfo>;
    type DoGetStream = Answers<FlightData>;
    type DoPutStream = Answers<PutResult>;
    type DoActionStream = Answers<arrow_flight::Result>;
    type ListActionsStream = Answers<ActionType>;
    type DoExchangeStream = Answers<FlightData>;

    async fn list_flights(&self, request: Request<Criteria>) -> Result<Response<Self::ListFlightsStream>, Status> {
        let expression = request.into_inner().expression;
        guard::check_len("criteria", expression.len(), guard::DESCRIPTOR_BYTES_MAX).map_err(|e| tonic_status(&e))?;
        check_criteria(&expression).map_err(|error| tonic_status(&error))?;
        Ok(Response::new(info::flights(Arc::clone(&self.desk)).boxed()))
    }

    async fn get_flight_info(&self, request: Request<FlightDescriptor>) -> Result<Response<FlightInfo>, Status> {
        info::flight_info(&self.desk, request.into_inner()).await.map(Response::new)
    }

    async fn get_schema(&self, request: Request<FlightDescriptor>) -> Result<Response<SchemaResult>, Status> {
        info::schema(&self.desk, request.into_inner()).await.map(Response::new)
    }

    /// Every action has one result, but windows: those are one each, and there may be none.
    async fn do_action(&self, request: Request<Action>) -> Result<Response<Self::DoActionStream>, Status> {
        let pass = request.metadata().get(PASS_HEADER).map(|pass| pass.as_bytes().to_vec());
        let Action { r#type: kind, body } = request.into_inner();
        if let Some(answers) = self.of_servers(&kind, &body, pass.as_deref()).await? {
            let result =
                |answer: Result<Vec<u8>, Status>| answer.map(|body| arrow_flight::Result { body: body.into() });
            return Ok(Response::new(answers.map(result).boxed()));
        }
        let answers = action::run(&self.desk, &kind, &body).await?;
        let result =
            |answer: Result<String, Status>| answer.map(|json| arrow_flight::Result { body: Bytes::from(json) });
        Ok(Response::new(answers.map(result).boxed()))
    }

    async fn list_actions(&self, _: Request<Empty>) -> Result<Response<Self::ListActionsStream>, Status> {
        let action = |(name, description): &(&str, &str)| {
            Ok(ActionType { r#type: (*name).to_owned(), description: (*description).to_owned() })
        };
        Ok(Response::new(stream::iter(action::SERVED.iter().map(action).collect::<Vec<_>>()).boxed()))
    }

    async fn handshake(
        &self,
        _: Request<Streaming<HandshakeRequest>>,
    ) -> Result<Response<Self::HandshakeStream>, Status> {
        Err(unimplemented("Handshake"))
    }

    async fn poll_flight_info(&self, _: Request<FlightDescriptor>) -> Result<Response<PollInfo>, Status> {
        Err(unimplemented("PollFlightInfo"))
    }

    async fn do_exchange(&self, _: Request<Streaming<FlightData>>) -> Result<Response<Self::DoExchangeStream>, Status> {
        Err(unimplemented("DoExchange"))
    }

    async fn do_get(&self, _: Request<Ticket>) -> Result<Response<Self::DoGetStream>, Status> {
        Err(unimplemented("DoGet on this path"))
    }

    async fn do_put(&self, _: Request<Streaming<FlightData>>) -> Result<Response<Self::DoPutStream>, Status> {
        Err(unimplemented("DoPut on this path"))
    }
}
