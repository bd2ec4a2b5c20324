//! Which call goes where: the bulk (DoPut, DoGet) straight to its handler, everything else through tonic's service.

use std::convert::Infallible;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;

use futures::FutureExt;
use futures::future::BoxFuture;
use h2::RecvStream;
use h2::server::SendResponse;
use http::HeaderMap;
use http::Method;
use http::Request;
use http::Response;
use http::StatusCode;
use tonic::body::Body;
use tower_service::Service;

use super::answer::Answer;
use super::body;
use super::body::RequestBody;
use super::config::TransportConfig;
use super::config::ms;
use super::deframer::Deframer;
use super::deframer::Encoding;
use super::get;
use super::get::GetReply;
use super::get::GetRequest;
use super::held::Held;
use super::held::Total;
use super::pool::Pool;
use super::put;
use super::put::PutParts;
use super::put::PutReply;
use super::put::PutStream;
use super::rope::Rope;
use super::silent::Silent;
use super::socket::Peer;
use super::status::ReceiveError;
use super::status::Status;
use crate::runtime::Budget;

const DO_PUT: &str = "/arrow.flight.protocol.FlightService/DoPut";
const DO_GET: &str = "/arrow.flight.protocol.FlightService/DoGet";

/// Handles one DoPut. Runs in a task of its own; a panic ends the call as INTERNAL and nothing else.
pub type PutHandler = Arc<dyn Fn(PutStream, PutReply) -> BoxFuture<'static, ()> + Send + Sync>;
/// Handles one DoGet, likewise.
pub type GetHandler = Arc<dyn Fn(GetRequest, GetReply) -> BoxFuture<'static, ()> + Send + Sync>;
type RestHandler = Arc<dyn Fn(Request<Body>) -> BoxFuture<'static, Response<Body>> + Send + Sync>;

/// The handlers of a server. Cheap to clone.
#[derive(Clone)]
pub struct Routes {
    put: PutHandler,
    get: GetHandler,
    rest: RestHandler,
}

/// What every connection of a server shares.
#[derive(Clone)]
pub(super) struct Shared {
    pub config: Arc<TransportConfig>,
    pub routes: Routes,
    pub budget: Budget,
    /// What puts were sent and have not taken.
    pub held: Total,
    pub silent: Silent,
    /// Bytes of the requests of all calls but puts and gets, and of their answers.
    pub requests: Budget,
    pub answers: Budget,
    pub pool: Pool,
}

/// What a call counts as, for the windows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Put,
    Other,
}

/// A call taken apart from the connection, to be run as a task.
pub(super) struct Call {
    pub kind: Kind,
    pub run: BoxFuture<'static, ()>,
}

impl Routes {
    /// * `rest`: the generated `FlightServiceServer`, for every other call.
    pub fn new<S>(put: PutHandler, get: GetHandler, rest: S) -> Self
    where
        S: Service<Request<Body>, Response = Response<Body>, Error = Infallible> + Clone + Send + Sync + 'static,
        S::Future: Send + 'static,
    {
        let rest = move |request| {
            let mut service = rest.clone(); // generated services are always ready
            let response = service.call(request);
            async move { response.await.unwrap_or_else(|never| match never {}) }.boxed()
        };
        Self { put, get, rest: Arc::new(rest) }
    }

    /// Routes of a server that takes the bulk calls only: every other is UNIMPLEMENTED.
    pub fn bulk(put: PutHandler, get: GetHandler) -> Self {
        let refused = || tonic::Status::unimplemented("only DoPut and DoGet are served here");
        Self { put, get, rest: Arc::new(move |_| async move { refused().into_http() }.boxed()) }
    }
}

impl Shared {
    /// Starts a call.
    ///
    /// * `held`: of the call's connection.
    ///
    /// # Errors
    /// A call that is refused is answered here: nothing is left to run.
    pub fn open(
        &self,
        request: Request<RecvStream>,
        respond: SendResponse<Rope>,
        peer: Peer,
        held: &Held,
    ) -> Result<Call, Refused> {
        if request.method() != Method::POST {
            return Err(refuse_plain(respond, StatusCode::METHOD_NOT_ALLOWED));
        }
        let path = request.uri().path().to_owned();
        let (kind, run) = match path.as_str() {
            DO_PUT => (Kind::Put, self.put(request, respond, peer, held)?),
            DO_GET => (Kind::Other, self.get(request, respond, peer, held)?),
            _ => (Kind::Other, self.rest(request, respond, peer, held)),
        };
        Ok(Call { kind, run: contained(run, path, peer) })
    }

    fn put(
        &self,
        request: Request<RecvStream>,
        respond: SendResponse<Rope>,
        peer: Peer,
        held: &Held,
    ) -> Result<BoxFuture<'static, ()>, Refused> {
        let (head, mut receive) = request.into_parts();
        let encoding = match encoding(&head.headers) {
            Ok(encoding) => encoding,
            Err(error) => return Err(refuse(respond, &Status::from(&error))),
        };
        let held = match held.open(receive.flow_control().clone()) {
            Ok(held) => held,
            Err(refusal) => return Err(refuse(respond, &Status::from(&refusal))),
        };
        let (stream, reply) = put::open(PutParts {
            headers: head.headers,
            peer,
            receive,
            held,
            place: self.silent.enter(),
            deframer: Deframer::new(encoding, self.config.message_bytes_max),
            budget: self.budget.clone(),
            pool: self.pool.clone(),
            config: Arc::clone(&self.config),
            answer: Answer::new(respond),
        });
        let put = Arc::clone(&self.routes.put);
        // The handler itself is called inside the task: a panic before its first await stays there too.
        Ok(async move { put(stream, reply).await }.boxed())
    }

    fn get(
        &self,
        request: Request<RecvStream>,
        respond: SendResponse<Rope>,
        peer: Peer,
        held: &Held,
    ) -> Result<BoxFuture<'static, ()>, Refused> {
        let (head, mut receive) = request.into_parts();
        let encoding = match encoding(&head.headers) {
            Ok(encoding) => encoding,
            Err(error) => return Err(refuse(respond, &Status::from(&error))),
        };
        let get = Arc::clone(&self.routes.get);
        let (patience, held) = (ms(self.config.first_message_ms), held.request(receive.flow_control().clone()));
        Ok(async move {
            let mut answer = Answer::new(respond);
            let ticket = get::read_ticket(&mut receive, encoding, patience).await;
            drop(held);
            match ticket {
                Ok(ticket) => {
                    let request = GetRequest { headers: head.headers, peer, ticket };
                    get(request, GetReply::new(answer)).await;
                }
                Err(error) => answer.finish(&Status::from(&error)),
            }
        }
        .boxed())
    }

    fn rest(
        &self,
        request: Request<RecvStream>,
        mut respond: SendResponse<Rope>,
        peer: Peer,
        held: &Held,
    ) -> BoxFuture<'static, ()> {
        let (rest, answers, held) = (Arc::clone(&self.routes.rest), self.answers.clone(), held.clone());
        let (max, all, patience) = (self.config.request_bytes_max, self.requests.clone(), ms(self.config.stall_ms));
        async move {
            let mut request = request.map(|receive| Body::new(RequestBody::new(receive, &held, max, all, patience)));
            request.extensions_mut().insert(peer);
            let handling = AssertUnwindSafe(async move { rest(request).await }).catch_unwind();
            let reset = std::future::poll_fn(|cx| respond.poll_reset(cx));
            let response = tokio::select! {
                response = handling => response,
                _ = reset => return,
            };
            match response {
                // An error here means that the client is gone.
                Ok(response) => drop(body::respond(respond, response, &answers).await),
                Err(panic) => {
                    drop(Answer::new(respond)); // ends the call
                    std::panic::resume_unwind(panic);
                }
            }
        }
        .boxed()
    }
}

/// The call was answered with a refusal.
#[derive(Debug)]
pub(super) struct Refused;

/// Ends a call that was not begun. The client's half is reset when the caller drops it.
pub(super) fn refuse(respond: SendResponse<Rope>, status: &Status) -> Refused {
    Answer::new(respond).finish(status);
    Refused
}

fn refuse_plain(mut respond: SendResponse<Rope>, status: StatusCode) -> Refused {
    let mut head = Response::new(());
    *head.status_mut() = status;
    let _ = respond.send_response(head, true);
    Refused
}

fn encoding(headers: &HeaderMap) -> Result<Encoding, ReceiveError> {
    match headers.get("grpc-encoding").map(|value| value.as_bytes()) {
        None | Some(b"identity") => Ok(Encoding::Identity),
        Some(b"gzip") => Ok(Encoding::Gzip),
        Some(other) => {
            let encoding = String::from_utf8_lossy(other.get(..32).unwrap_or(other)).into_owned();
            Err(ReceiveError::Encoding { encoding })
        }
    }
}

/// Runs a call so that a panic ends it alone. Its answer ends as INTERNAL when it is dropped on the way.
fn contained(run: BoxFuture<'static, ()>, path: String, peer: Peer) -> BoxFuture<'static, ()> {
    async move {
        if let Err(panic) = AssertUnwindSafe(run).catch_unwind().await {
            let what = panic.downcast_ref::<&str>().copied();
            let what = what.or_else(|| panic.downcast_ref::<String>().map(String::as_str)).unwrap_or("no text");
            tracing::error!(%peer, path, what, "a call panicked: a bug, the call ended as INTERNAL");
        }
    }
    .boxed()
}
