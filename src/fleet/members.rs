//! This server among the others: who they are, and what they are asked.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::PoisonError;
use std::time::Duration;

use arrow_flight::Action;
use arrow_flight::Ticket;
use bytes::Bytes;
use h2::RecvStream;
use prost::Message;
use serde::Deserialize;
use serde::Serialize;
use uuid::Uuid;

use super::GREET;
use super::LOOK;
use super::WINDOW;
use super::door::Door;
use super::error::FleetError;
use super::link::CallError;
use super::link::Link;
use super::passage::Passage;
use super::places::Places;
use super::times::Look;
use super::times::Times;
use crate::auth::Errand;
use crate::auth::FleetSealer;
use crate::auth::Greeting;
use crate::auth::Nonce;
use crate::auth::PASS_LIFE;
use crate::auth::Pass;
use crate::auth::PassError;
use crate::catalog::Catalog;
use crate::catalog::Membership;
use crate::io::monotonic;
use crate::model::IdSource;
use crate::model::NodeId;
use crate::model::StartId;
use crate::model::TimeBounds;
use crate::model::TimeRange;
use crate::model::TopicId;

/// How long one that could not be reached is not tried again: those who ask for many topics of it wait once.
const REST: Duration = Duration::from_secs(1);
/// How long an address is believed that is only told to clients.
const ADDRESS_LIFE: Duration = Duration::from_secs(10);

pub(super) const SCHEME: &str = "grpc://";

/// gRPC's number of PERMISSION_DENIED.
const DENIED: i32 = 7;

/// The other servers, as this one reaches them. Cheap to clone.
#[derive(Clone)]
pub struct Fleet {
    own: Arc<Own>,
}

/// What a server begins with.
pub struct Setup {
    pub catalog: Arc<dyn Catalog>,
    pub membership: Membership,
    pub start: StartId,
    /// Where the others reach it.
    pub address: String,
    pub ids: Arc<IdSource>,
    /// Streams from others at a time.
    pub streams: u32,
    /// How long a client may take nothing of one while others wait; zero: for ever.
    pub patience: Duration,
}

struct Own {
    setup: Setup,
    sealer: FleetSealer,
    door: Door,
    places: Places,
    slots: Mutex<HashMap<NodeId, Arc<tokio::sync::Mutex<Slot>>>>,
    addresses: Mutex<HashMap<NodeId, (Duration, Option<String>)>>,
}

/// The connection to one server.
#[derive(Default)]
struct Slot {
    link: Option<Arc<Link>>,
    failed: Option<(Duration, FleetError)>,
}

/// A call of another server.
struct Question<'a> {
    errand: Errand,
    /// What the pass is made for.
    request: &'a [u8],
    /// What is sent.
    message: Vec<u8>,
}

enum Answer {
    Stream(RecvStream),
    Short(Bytes),
}

/// Whether a connection was there already.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Age {
    Fresh,
    Kept,
}

/// What lies in a range of a topic.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
pub struct Window {
    pub rows: u64,
    pub first: Option<i64>,
    pub last: Option<i64>,
}

#[derive(Deserialize, Serialize)]
struct WindowQuestion {
    topic: String,
    start: Option<i64>,
    end: Option<i64>,
}

impl Window {
    pub fn bounds(&self) -> Option<TimeBounds> {
        self.first.zip(self.last).map(|(first, last)| TimeBounds { first, last })
    }
}

impl Fleet {
    pub fn new(setup: Setup) -> Self {
        let sealer = FleetSealer::new(&setup.membership.secret);
        let door = Door::new(sealer.clone(), setup.start);
        let places = Places::new(setup.streams, setup.patience);
        let (slots, addresses) = (Mutex::default(), Mutex::default());
        Self { own: Arc::new(Own { setup, sealer, door, places, slots, addresses }) }
    }

    /// The key of tickets that every server of the fleet opens.
    pub fn ticket_key(&self) -> [u8; 32] {
        self.own.sealer.ticket_key()
    }

    /// Who has what lies here.
    pub fn node(&self) -> NodeId {
        self.own.setup.membership.node
    }

    /// Answers another server's greeting.
    ///
    /// # Errors
    /// [`PassError::Seal`] when it is none of this fleet.
    pub fn greet(&self, question: &[u8]) -> Result<Vec<u8>, PassError> {
        let greeting = Greeting { node: self.node(), start: self.own.setup.start, now_ns: now_ns() };
        self.own.sealer.answer(question, &greeting)
    }

    /// Lets a request of another server in, once.
    ///
    /// # Errors
    /// [`PassError`] when it is none of this fleet.
    pub fn admit(&self, errand: Errand, request: &[u8], pass: Option<&[u8]>) -> Result<(), PassError> {
        self.own.door.admit(errand, request, pass.ok_or(PassError::Missing)?, now_ns())
    }

    /// What another server asks of [`Self::window`].
    ///
    /// # Errors
    /// [`FleetError::Refused`] for what is no such question.
    pub fn read_window(request: &[u8]) -> Result<(TopicId, TimeRange), FleetError> {
        let refused = |message: String| FleetError::Refused { code: 3, message };
        let asked: WindowQuestion = serde_json::from_slice(request).map_err(|error| refused(error.to_string()))?;
        let range = TimeRange::new(asked.start, asked.end).map_err(|error| refused(error.to_string()))?;
        let topic = Uuid::try_parse(&asked.topic).map_err(|error| refused(error.to_string()))?;
        Ok((TopicId(topic), range))
    }

    /// Where a server is, for clients; `None` when that is not known.
    pub async fn address(&self, node: NodeId) -> Option<String> {
        if node == self.node() {
            return Some(self.own.setup.address.clone());
        }
        let known = self.own.addresses.lock().unwrap_or_else(PoisonError::into_inner).get(&node).cloned();
        if let Some((at, address)) = known
            && monotonic().saturating_sub(at) < ADDRESS_LIFE
        {
            return address;
        }
        let address = self.own.setup.catalog.member(node).await.ok()?.map(|member| member.address);
        let entry = (monotonic(), address.clone());
        self.own.addresses.lock().unwrap_or_else(PoisonError::into_inner).insert(node, entry);
        address
    }

    /// The rows of a ticket, from the server that has them.
    ///
    /// * `ticket`: sealed with the fleet's key, with what stands behind the seal.
    ///
    /// # Errors
    /// [`FleetError`]
    pub async fn rows(&self, node: NodeId, ticket: &[u8]) -> Result<Passage, FleetError> {
        let place = self.own.places.enter().await?;
        let message = Ticket { ticket: Bytes::copy_from_slice(ticket) }.encode_to_vec();
        let (link, answer) = self.ask(node, &Question { errand: Errand::Rows, request: ticket, message }).await?;
        match answer {
            Answer::Stream(body) => Ok(Passage::new(body, node, place, link)),
            Answer::Short(_) => unreachable!("rows are answered by a stream"),
        }
    }

    /// What lies in a range of a topic, from the server that has it.
    ///
    /// # Errors
    /// [`FleetError`]
    pub async fn window(&self, node: NodeId, topic: TopicId, range: TimeRange) -> Result<Window, FleetError> {
        let question = WindowQuestion { topic: topic.to_string(), start: range.start(), end: range.end() };
        let request = serde_json::to_vec(&question).unwrap_or_default();
        let question = Question { errand: Errand::Window, request: &request, message: request.clone() };
        let (link, answer) = self.ask(node, &question).await?;
        let Answer::Short(answer) = answer else { unreachable!("a window is a short answer") };
        let odd =
            |error: serde_json::Error| FleetError::Broken { node, address: link.address(), cause: error.to_string() };
        serde_json::from_slice(&answer).map_err(odd)
    }

    /// What another server asks of [`Self::look`].
    ///
    /// # Errors
    /// [`FleetError::Refused`] for what is no such question.
    pub fn read_look(request: &[u8]) -> Result<Look, FleetError> {
        Look::read(request).map_err(|message| FleetError::Refused { code: 3, message })
    }

    /// Times of matching rows, from the server that has them.
    ///
    /// # Errors
    /// [`FleetError`]
    pub async fn look(&self, node: NodeId, look: &Look) -> Result<Times, FleetError> {
        let place = self.own.places.enter().await?;
        let request = look.to_bytes();
        let action = Action { r#type: LOOK.to_owned(), body: Bytes::from(request.clone()) };
        let question = Question { errand: Errand::Look, request: &request, message: action.encode_to_vec() };
        let (link, answer) = self.ask(node, &question).await?;
        match answer {
            Answer::Stream(body) => Ok(Times::new(body, node, place, link)),
            Answer::Short(_) => unreachable!("times are answered by a stream"),
        }
    }

    fn pass(&self, link: &Link, errand: Errand, request: &[u8]) -> String {
        // In the middle of what is let through: two clocks run a little differently.
        let half_ns = u64::try_from(PASS_LIFE.as_nanos() / 2).unwrap_or(u64::MAX);
        let pass = Pass { nonce: self.nonce(), expires_at_ns: link.its_now_ns().saturating_add(half_ns) };
        self.own.sealer.pass(link.greeting().start, errand, request, &pass)
    }

    fn nonce(&self) -> Nonce {
        self.own.setup.ids.uuid().into_bytes()
    }

    /// Asks a server something: once more when the connection that was kept turns out to be lost, or when the server has started
    /// anew since it was greeted. Nothing was answered then.
    async fn ask(&self, node: NodeId, question: &Question<'_>) -> Result<(Arc<Link>, Answer), FleetError> {
        loop {
            let (link, age) = self.link(node).await?;
            let error = match self.put(&link, question).await {
                Ok(answer) => return Ok((link, answer)),
                Err(error) => error,
            };
            let address = link.address();
            match error {
                CallError::Refused { code, message } if code != DENIED => {
                    return Err(FleetError::Refused { code, message });
                }
                _ if age == Age::Kept => self.forget(node, &link).await,
                CallError::Refused { message, .. } => {
                    return Err(FleetError::Unreachable { node, address, cause: message });
                }
                CallError::Lost(cause) => {
                    self.forget(node, &link).await;
                    return Err(FleetError::Unreachable { node, address, cause });
                }
            }
        }
    }

    async fn put(&self, link: &Link, question: &Question<'_>) -> Result<Answer, CallError> {
        let pass = self.pass(link, question.errand, question.request);
        let message = question.message.clone();
        match question.errand {
            Errand::Rows => link.call("DoGet", message, Some(pass)).await.map(Answer::Stream),
            Errand::Window => link.act(WINDOW, message, Some(pass)).await.map(Answer::Short),
            Errand::Look => link.call("DoAction", message, Some(pass)).await.map(Answer::Stream),
        }
    }

    fn slot(&self, node: NodeId) -> Arc<tokio::sync::Mutex<Slot>> {
        Arc::clone(self.own.slots.lock().unwrap_or_else(PoisonError::into_inner).entry(node).or_default())
    }

    /// The connection to a server. Who comes while it is made waits for it, and shares its failure.
    async fn link(&self, node: NodeId) -> Result<(Arc<Link>, Age), FleetError> {
        let slot = self.slot(node);
        let mut slot = slot.lock().await;
        if let Some(link) = slot.link.as_ref().filter(|link| link.is_alive()) {
            return Ok((Arc::clone(link), Age::Kept));
        }
        if let Some((at, error)) = &slot.failed
            && monotonic().saturating_sub(*at) < REST
        {
            return Err(error.clone());
        }
        (slot.link, slot.failed) = (None, None);
        match self.connect(node).await {
            Ok(link) => {
                let link = Arc::new(link);
                slot.link = Some(Arc::clone(&link));
                Ok((link, Age::Fresh))
            }
            Err(error) => {
                slot.failed = Some((monotonic(), error.clone()));
                Err(error)
            }
        }
    }

    async fn forget(&self, node: NodeId, link: &Arc<Link>) {
        let slot = self.slot(node);
        let mut slot = slot.lock().await;
        if slot.link.as_ref().is_some_and(|own| Arc::ptr_eq(own, link)) {
            slot.link = None;
        }
    }

    async fn connect(&self, node: NodeId) -> Result<Link, FleetError> {
        let member = self.own.setup.catalog.member(node).await?.ok_or(FleetError::Untold { node })?;
        let address = member.address;
        let unreachable = |cause: String| FleetError::Unreachable { node, address: address.clone(), cause };
        let stranger = |found: &str| FleetError::Stranger { node, address: address.clone(), found: found.to_owned() };
        let authority = address.strip_prefix(SCHEME).unwrap_or(&address);
        let mut link = Link::open(authority, self.own.setup.streams).await.map_err(unreachable)?;
        let nonce = self.nonce();
        let answer = link.ask_unknown(GREET, self.own.sealer.question(&nonce)).await;
        let answer = answer.map_err(|error| match error {
            CallError::Lost(cause) => unreachable(cause),
            CallError::Refused { message, .. } => stranger(&format!("is no server of this fleet ({message})")),
        })?;
        let greeting = self.own.sealer.read_answer(&nonce, &answer);
        let greeting = greeting.ok_or_else(|| stranger("is no server of this fleet"))?;
        if greeting.node == self.node() {
            return Err(stranger("is the server that looked for it"));
        }
        if greeting.node != node {
            return Err(stranger(&format!("is node {}", greeting.node)));
        }
        link.greeted(greeting);
        Ok(link)
    }
}

/// Of the clock that passes are held against: since some moment of this process.
fn now_ns() -> u64 {
    u64::try_from(monotonic().as_nanos()).unwrap_or(u64::MAX)
}
