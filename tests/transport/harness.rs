//! A server whose handlers do what the first message's descriptor says, and clients for it.

use std::future::Future;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::atomic::AtomicUsize;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;
use std::time::Instant;

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
use arrow_flight::flight_service_client::FlightServiceClient;
use arrow_flight::flight_service_server::FlightService;
use arrow_flight::flight_service_server::FlightServiceServer;
use bytes::Bytes;
use futures::FutureExt;
use futures::StreamExt;
use futures::stream;
use futures::stream::BoxStream;
use prost::Message;
use tessera::flight::transport::GetReply;
use tessera::flight::transport::GetRequest;
use tessera::flight::transport::ListenConfig;
use tessera::flight::transport::Listener;
use tessera::flight::transport::PutReply;
use tessera::flight::transport::PutStream;
use tessera::flight::transport::Rope;
use tessera::flight::transport::Routes;
use tessera::flight::transport::Status;
use tessera::flight::transport::Stop;
use tessera::flight::transport::TransportConfig;
use tessera::runtime::Budget;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tonic::Request;
use tonic::Response;
use tonic::Streaming;
use tonic::transport::Channel;
use tonic::transport::Endpoint;

pub const MIB: usize = 1 << 20;

pub struct Server {
    pub address: String,
    pub budget: Budget,
    /// What handlers met, in order.
    pub log: Arc<Mutex<Vec<String>>>,
    /// Bytes of the bodies that handlers have taken.
    pub taken: Arc<AtomicUsize>,
    /// Lets held puts go.
    pub release: watch::Sender<bool>,
    pub stop: watch::Sender<Stop>,
    pub task: JoinHandle<()>,
}

#[derive(Clone)]
struct Null {
    log: Arc<Mutex<Vec<String>>>,
    taken: Arc<AtomicUsize>,
    release: watch::Receiver<bool>,
}

/// Fails the test instead of hanging it. Generous: the machine may be busy.
pub async fn within<T>(what: &str, future: impl Future<Output = T>) -> T {
    let result = tokio::time::timeout(Duration::from_secs(90), future).await;
    result.unwrap_or_else(|_| panic!("{what}: not done in time"))
}

/// Waits for a condition no one signals.
pub async fn until(what: &str, mut condition: impl FnMut() -> bool) {
    within(what, async {
        while !condition() {
            tokio::task::yield_now().await;
        }
    })
    .await
}

pub async fn start(budget: usize, config: TransportConfig) -> Server {
    start_on(ListenConfig { listen: ([127, 0, 0, 1], 0).into(), ..ListenConfig::default() }, budget, config).await
}

pub async fn start_on(listen: ListenConfig, budget: usize, config: TransportConfig) -> Server {
    let listener = Listener::bind(&listen).await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let (budget, log) = (Budget::new(budget), Arc::<Mutex<Vec<String>>>::default());
    let (release, released) = watch::channel(false);
    let (stop, stopped) = watch::channel(Stop::Run);
    let taken = Arc::<AtomicUsize>::default();
    let null = Null { log: Arc::clone(&log), taken: Arc::clone(&taken), release: released };
    let (for_put, for_get) = (null.clone(), null.clone());
    let routes = Routes::new(
        Arc::new(move |stream, reply| for_put.clone().put(stream, reply).boxed()),
        Arc::new(move |request, reply| for_get.clone().get(request, reply).boxed()),
        FlightServiceServer::new(null),
    );
    let task = tokio::spawn(listener.serve(config, routes, budget.clone(), stopped));
    Server { address, budget, log, taken, release, stop, task }
}

impl Server {
    pub async fn client(&self) -> FlightServiceClient<Channel> {
        let endpoint = Endpoint::from_shared(format!("http://{}", self.address)).unwrap();
        FlightServiceClient::new(endpoint.connect().await.unwrap())
    }

    pub fn logged(&self, what: &str) -> bool {
        self.log.lock().unwrap().iter().any(|line| line.contains(what))
    }

    pub fn drain(&self, patience: Duration) {
        self.stop.send_replace(Stop::Drain { until: Instant::now() + patience });
    }
}

/// One put: `count` messages of `bytes`, the first of which says what the handler is to do.
pub fn messages(mode: &str, count: usize, bytes: usize) -> impl futures::Stream<Item = FlightData> + Send + 'static {
    let descriptor = FlightDescriptor::new_cmd(mode.to_owned());
    let body = Bytes::from(vec![42; bytes]);
    stream::iter(0..count).map(move |index| FlightData {
        flight_descriptor: (index == 0).then(|| descriptor.clone()),
        data_header: Bytes::from_static(b"header"),
        app_metadata: Bytes::new(),
        data_body: if index == 0 { Bytes::new() } else { body.clone() },
    })
}

/// Runs one put to its end: the sum the server counted.
pub async fn put(
    mut client: FlightServiceClient<Channel>,
    mode: &str,
    count: usize,
    bytes: usize,
) -> Result<String, tonic::Status> {
    let mut replies = client.do_put(messages(mode, count, bytes)).await?.into_inner();
    let mut last = String::new();
    while let Some(reply) = replies.message().await? {
        last = String::from_utf8_lossy(&reply.app_metadata).into_owned();
    }
    Ok(last)
}

pub async fn action(mut client: FlightServiceClient<Channel>, body: &str) -> Result<Bytes, tonic::Status> {
    let action = Action { r#type: "echo".to_owned(), body: Bytes::copy_from_slice(body.as_bytes()) };
    let mut results = client.do_action(action).await?.into_inner();
    Ok(results.message().await?.map(|result| result.body).unwrap_or_default())
}

impl Null {
    async fn put(mut self, mut stream: PutStream, mut reply: PutReply) {
        let first = match stream.next().await {
            Some(Ok(first)) => first,
            Some(Err(error)) => {
                self.note(error.to_string());
                return reply.finish(Err(Status::from(&error)));
            }
            None => return reply.finish(Ok(())),
        };
        let descriptor = first.descriptor.as_deref().map(|bytes| FlightDescriptor::decode(bytes).unwrap());
        let mode = descriptor.map(|descriptor| String::from_utf8(descriptor.cmd.to_vec()).unwrap()).unwrap_or_default();
        match mode.as_str() {
            "refuse" => return reply.finish(Err(Status { code: 3, message: "bad “topic” 100%".to_owned() })),
            "panic" => panic!("asked to"),
            "hold" => {
                self.note("holding".to_owned());
                self.release.wait_for(|release| *release).await.unwrap();
            }
            _ => {}
        }
        let mut bytes = 0;
        // The last message is kept while the next one comes in: a put needs memory for two to be fast, for one to go on.
        while let Some(message) = stream.next().await {
            match message {
                Ok(message) => {
                    assert!(message.body.iter().all(|byte| *byte == 42), "body damaged");
                    bytes += message.body.len();
                    self.taken.fetch_add(message.body.len(), Relaxed);
                    tokio::task::yield_now().await;
                }
                Err(error) => {
                    self.note(error.to_string());
                    return reply.finish(Err(Status::from(&error)));
                }
            }
        }
        match reply.reply(Bytes::from(bytes.to_string())).await {
            Ok(()) => reply.finish(Ok(())),
            Err(gone) => self.note(gone.to_string()),
        }
    }

    /// The ticket says how many messages of how many bytes: `3x1000`.
    async fn get(self, request: GetRequest, mut reply: GetReply) {
        let ticket = String::from_utf8(request.ticket.to_vec()).unwrap();
        let Some((count, bytes)) = ticket.split_once('x') else {
            return reply.finish(Err(Status { code: 5, message: format!("no ticket {ticket}") }));
        };
        let (count, bytes): (usize, usize) = (count.parse().unwrap(), bytes.parse().unwrap());
        let body = Bytes::from(vec![7; bytes]);
        for _ in 0..count {
            let data = FlightData { data_body: body.clone(), ..FlightData::default() };
            let encoded = Bytes::from(data.encode_to_vec());
            let middle = encoded.len() / 2;
            let rope: Rope = [encoded.slice(..middle), encoded.slice(middle..)].into_iter().collect();
            if let Err(gone) = reply.send(rope, None).await {
                return self.note(format!("get: {gone}"));
            }
        }
        reply.finish(Ok(()));
    }

    fn note(&self, what: String) {
        self.log.lock().unwrap().push(what);
    }
}

type Answer<T> = Result<Response<T>, tonic::Status>;
type Items<T> = BoxStream<'static, Result<T, tonic::Status>>;

fn unused<T>() -> Answer<T> {
    Err(tonic::Status::unimplemented("not served here"))
}

#[tonic::async_trait]
impl FlightService for Null {
    type HandshakeStream = Items<HandshakeResponse>;
    type ListFlightsStream = Items<FlightInfo>;
    type DoGetStream = Items<FlightData>;
    type DoPutStream = Items<PutResult>;
    type DoExchangeStream = Items<FlightData>;
    type DoActionStream = Items<arrow_flight::Result>;
    type ListActionsStream = Items<ActionType>;

    async fn do_action(&self, request: Request<Action>) -> Answer<Self::DoActionStream> {
        let body = request.into_inner().body;
        assert!(body.as_ref() != b"panic", "asked to");
        Ok(Response::new(stream::iter([Ok(arrow_flight::Result { body })]).boxed()))
    }
    async fn handshake(&self, _: Request<Streaming<HandshakeRequest>>) -> Answer<Self::HandshakeStream> {
        unused()
    }
    async fn list_flights(&self, _: Request<Criteria>) -> Answer<Self::ListFlightsStream> {
        unused()
    }
    async fn get_flight_info(&self, _: Request<FlightDescriptor>) -> Answer<FlightInfo> {
        unused()
    }
    async fn poll_flight_info(&self, _: Request<FlightDescriptor>) -> Answer<PollInfo> {
        unused()
    }
    async fn get_schema(&self, _: Request<FlightDescriptor>) -> Answer<SchemaResult> {
        unused()
    }
    async fn do_get(&self, _: Request<Ticket>) -> Answer<Self::DoGetStream> {
        unused()
    }
    async fn do_put(&self, _: Request<Streaming<FlightData>>) -> Answer<Self::DoPutStream> {
        unused()
    }
    async fn do_exchange(&self, _: Request<Streaming<FlightData>>) -> Answer<Self::DoExchangeStream> {
        unused()
    }
    async fn list_actions(&self, _: Request<Empty>) -> Answer<Self::ListActionsStream> {
        unused()
    }
}
