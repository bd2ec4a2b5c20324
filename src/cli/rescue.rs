//! `tessera finalize` and `tessera discard`: ends sessions whose writer is gone, with the authority of the data directory.

use std::net::IpAddr;
use std::net::Ipv4Addr;
use std::net::Ipv6Addr;
use std::net::SocketAddr;
use std::time::Duration;

use crate::auth::OrderSealer;
use crate::client::Client;
use crate::client::ClientError;
use crate::client::OpenTopic;
use crate::client::SessionInfo;
use crate::daemon;
use crate::io::wall_ns;
use crate::model::Locator;
use crate::model::Order;
use crate::model::OrderVerb;
use crate::model::SequenceName;
use crate::model::TimeRange;
use crate::wire::InfoExtras;
use crate::wire::order_action;

use super::arguments::ConfigArguments;
use super::arguments::DiscardArguments;
use super::arguments::FinalizeArguments;
use super::arguments::RescueArguments;
use super::arguments::ServerArguments;
use super::config;
use super::ls;
use super::main::Failure;
use super::main::Outcome;
use super::main::connect;
use super::main::wrong_usage;
use super::output;

/// How long an order may be under way.
const ORDER_LIFE: Duration = Duration::from_secs(60);
const _: () = assert!(ORDER_LIFE.as_secs() < OrderSealer::LIFE_MAX.as_secs(), "or it is refused as made too early");

pub fn finalize(arguments: &FinalizeArguments) -> Result<Outcome, Failure> {
    let desk = Desk::open(&arguments.rescue)?;
    let verb = if arguments.drop_unwritten { OrderVerb::FinalizeWritten } else { OrderVerb::Finalize };
    let (sequence, said) = (&desk.sequence, desk.describe(verb));
    match desk.give(verb) {
        Ok(()) => {
            println!("finalized {said}: they can be read, see `tessera info {sequence}`");
            let mut dropped = desk.dropped(verb).map(|topic| output::printable(&topic.resource_locator)).peekable();
            if dropped.peek().is_some() {
                println!("left out, for they were never written: {}", output::listed(dropped));
            }
            Ok(Outcome::Done)
        }
        Err(ClientError::Refused { message, .. }) if message.contains("never written") => Err(failed(format!(
            "{message}. Its writer is gone? Then `--drop-unwritten` finalizes the session without such topics"
        ))),
        Err(ClientError::Refused { message, .. }) if message.contains("has no topics") => Err(failed(format!(
            "{said}: none of its topics was written, so there is nothing to make readable; `tessera discard {} --yes` deletes it",
            desk.session.locator
        ))),
        Err(error) => Err(refused(error)),
    }
}

/// What to do about a writer that is there, or seems to be.
fn refused(error: ClientError) -> Failure {
    match error {
        ClientError::Refused { message, .. } if message.contains("still running") => failed(format!(
            "{message}. A writer that has vanished is noticed within a minute; give the order again then"
        )),
        error => error.into(),
    }
}

pub fn discard(arguments: &DiscardArguments) -> Result<Outcome, Failure> {
    let desk = Desk::open(&arguments.rescue)?;
    let said = desk.describe(OrderVerb::Discard);
    if !arguments.yes {
        return Err(failed(format!("this would delete {said}, for good: say --yes to do it")));
    }
    desk.give(OrderVerb::Discard).map_err(refused)?;
    println!("deleted {said}");
    Ok(Outcome::Done)
}

/// Everything that an order takes.
struct Desk {
    client: Client,
    sealer: OrderSealer,
    sequence: SequenceName,
    session: SessionInfo,
}

impl Desk {
    fn open(arguments: &RescueArguments) -> Result<Self, Failure> {
        let locator = Locator::parse(&arguments.sequence).map_err(wrong_usage)?;
        let (sequence, wanted) = match (locator, &arguments.session) {
            (Locator::Sequence(sequence), wanted) => (sequence, wanted.clone()),
            (Locator::Session { sequence, session }, None) => (sequence, Some(session.0.as_simple().to_string())),
            _ => return Err(Failure::usage("name a sequence, and with --session one of its sessions")),
        };
        let source = ConfigArguments {
            listen: None,
            data_dirs: arguments.data_dirs.clone(),
            catalog: None,
            fleet_address: None,
            config: arguments.config.clone(),
        };
        let config = config::load(&source)?.config;
        let sealer = daemon::order_sealer(&config)?;
        let server = arguments.server.clone().unwrap_or_else(|| reached_at(config.server.listen));
        let client = connect(&ServerArguments { server }).map_err(|failure| match failure.outcome {
            Outcome::Unreachable => {
                let message = format!(
                    "{}. A server does run on the data directory: name its address with --server",
                    failure.message
                );
                Failure { message, ..failure }
            }
            _ => failure,
        })?;
        let extras = InfoExtras { storage: false, open: true, selection: None };
        let info = client.info_with(&Locator::Sequence(sequence.clone()), TimeRange::ALL, extras)?;
        let sessions = info.sequence.map(|s| s.sessions).unwrap_or_default();
        let session = choose(&sequence, sessions, wanted.as_deref())?;
        if let Some(server) = session.open_topics.iter().flatten().find_map(|topic| topic.server.as_ref()) {
            let locator = &session.locator;
            return Err(failed(format!(
                "session {locator} is recorded at another server of this catalog, {server}: give the order there, with its data \
                 directory; nobody else knows whether its writer is there"
            )));
        }
        Ok(Self { client, sealer, sequence, session })
    }

    /// The session with what the order is about: topics that it drops are left out.
    fn describe(&self, verb: OrderVerb) -> String {
        let topics = self.session.open_topics.iter().flatten().filter(|topic| !is_dropped(topic, verb));
        let rows: u64 = topics.clone().map(|topic| topic.data.total_row_count).sum();
        let bytes: u64 = topics.clone().map(|topic| topic.data.total_bytes).sum();
        let (topics, rows) = (output::count(topics.count() as u64, "topic"), output::count(rows, "row"));
        format!("session {} with {topics}, {rows}, {}", self.session.locator, output::bytes(bytes))
    }

    fn dropped(&self, verb: OrderVerb) -> impl Iterator<Item = &OpenTopic> {
        self.session.open_topics.iter().flatten().filter(move |topic| is_dropped(topic, verb))
    }

    fn give(&self, verb: OrderVerb) -> Result<(), ClientError> {
        let expires_at_ns = wall_ns().saturating_add(ORDER_LIFE.as_nanos() as i64);
        let Ok(Locator::Session { session, .. }) = Locator::parse(&self.session.locator) else {
            let (what, cause) = ("the open sessions".to_owned(), "a session without a locator".to_owned());
            return Err(ClientError::Answer { what, cause });
        };
        let order = Order { verb, session, expires_at_ns };
        let (kind, body) = order_action(&self.sequence, &order, &self.sealer.seal(&order));
        self.client.action(kind, &body).map(drop)
    }
}

fn is_dropped(topic: &OpenTopic, verb: OrderVerb) -> bool {
    verb == OrderVerb::FinalizeWritten && topic.state == "created"
}

/// From this machine.
fn reached_at(listen: SocketAddr) -> String {
    let ip = match listen.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(ip) if ip.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
        ip => ip,
    };
    format!("grpc://{}", SocketAddr::new(ip, listen.port()))
}

/// The open session that is meant: the one that is named, or the only one.
fn choose(sequence: &SequenceName, sessions: Vec<SessionInfo>, wanted: Option<&str>) -> Result<SessionInfo, Failure> {
    let wanted = wanted.map(|text| text.rsplit(':').next().unwrap_or_default().replace('-', "").to_lowercase());
    let is_wanted = |session: &SessionInfo| match wanted.as_deref() {
        Some(start) => !start.is_empty() && ls::session_id(session).starts_with(start),
        None => true,
    };
    let list = format!("`tessera ls --open {sequence}` lists the open ones");
    let (open, locked): (Vec<_>, Vec<_>) = sessions.into_iter().filter(is_wanted).partition(|session| !session.locked);
    let several = open.len();
    match (open.into_iter().next().filter(|_| several == 1), wanted) {
        (Some(session), _) => Ok(session),
        (None, None) if several > 1 => {
            Err(failed(format!("{sequence} has {several} open sessions: say which with --session; {list}")))
        }
        (None, None) => Err(failed(format!("{sequence} has no open session: there is nothing to do"))),
        (None, Some(start)) if several > 1 => {
            Err(failed(format!("{several} open sessions of {sequence} begin with {start}: give more digits; {list}")))
        }
        (None, Some(start)) if !locked.is_empty() => {
            Err(failed(format!("session {start} of {sequence} is finalized already: there is nothing to do")))
        }
        (None, Some(start)) => Err(failed(format!("{sequence} has no open session {start}; {list}"))),
    }
}

fn failed(message: String) -> Failure {
    Failure { outcome: Outcome::Failed, message }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn session(id: &str, locked: bool) -> SessionInfo {
        let locator = format!("drive:{id}");
        SessionInfo { locator, created_at_ns: 0, completed_at_ns: None, locked, topics: Vec::new(), open_topics: None }
    }

    fn chosen(sessions: &[(&str, bool)], wanted: Option<&str>) -> Result<String, String> {
        let sessions = sessions.iter().map(|(id, locked)| session(id, *locked)).collect();
        let sequence = SequenceName::parse("drive").unwrap();
        choose(&sequence, sessions, wanted).map(|s| s.locator).map_err(|failure| failure.message)
    }

    #[test]
    fn the_only_open_session_needs_no_name() {
        assert_eq!(chosen(&[("aa11", true), ("bb22", false)], None), Ok("drive:bb22".to_owned()));
        assert!(chosen(&[("aa11", true)], None).unwrap_err().contains("no open session"));
        assert!(chosen(&[("aa11", false), ("bb22", false)], None).unwrap_err().contains("--session"));
    }

    #[test]
    fn a_session_is_named_by_as_many_digits_as_tell_it_apart() {
        let sessions = [("aa11", false), ("aa22", false), ("bb33", true)];
        for name in ["aa1", "AA11", "drive:aa11", "aa-11"] {
            assert_eq!(chosen(&sessions, Some(name)), Ok("drive:aa11".to_owned()), "{name}");
        }
        assert!(chosen(&sessions, Some("aa")).unwrap_err().contains("more digits"));
        assert!(chosen(&sessions, Some("bb")).unwrap_err().contains("finalized already"));
        assert!(chosen(&sessions, Some("cc")).unwrap_err().contains("--open"));
        assert!(chosen(&sessions, Some("")).is_err());
    }
}
