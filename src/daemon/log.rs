//! The log: one line per event on standard error, plain for people or JSON for machines.
//!
//! Texts of clients may be in it. Whatever they hold, a line stays a line and a terminal shows it as it is: see [`escape`].

use std::borrow::Cow;
use std::io;
use std::io::Write;
use std::os::fd::AsFd;
use std::panic;
use std::panic::PanicHookInfo;
use std::sync::Mutex;
use std::sync::OnceLock;
use std::sync::PoisonError;
use std::time::Duration;

use tracing_subscriber::EnvFilter;

use crate::config::LogConfig;
use crate::config::LogFormat;
use crate::io::Unblocked;
use crate::io::offer;
use crate::io::unblocked;

#[derive(Debug, thiserror::Error)]
#[error("log.level {level:?} is no level and no filter: {cause}")]
pub struct LogError {
    level: String,
    cause: String,
}

/// Starts logging for the whole process. A second call changes nothing.
///
/// # Errors
/// [`LogError`] when the level is not understood.
pub fn start(config: &LogConfig) -> Result<(), LogError> {
    let filter = EnvFilter::builder()
        .parse(&config.level)
        .map_err(|cause| LogError { level: config.level.clone(), cause: cause.to_string() })?;
    // glommio reports its probe for polled I/O as an error once per file opened for writing; it is what we want. h2 warns of
    // each connection that breaks its rules, so that clients would decide how fast the log grows.
    let quiet = [("glommio", "glommio=off"), ("h2", "h2=error")];
    let unnamed = quiet.iter().filter(|(target, _)| !config.level.contains(target));
    let directives = unnamed.filter_map(|(_, directive)| directive.parse().ok());
    let filter = directives.fold(filter, EnvFilter::add_directive);
    // What cannot be logged is not printed either: that panics where standard error is full or gone.
    let builder = tracing_subscriber::fmt().log_internal_errors(false).with_env_filter(filter).with_writer(|| Escaped);
    // Somebody else's subscriber (a test's) may be there already: then that one stays.
    let started = match config.format {
        LogFormat::Plain => builder.with_ansi(false).try_init(),
        LogFormat::Json => builder.json().try_init(),
    };
    if started.is_ok() {
        let _ = FORMAT.set(config.format);
        let _ = UNBLOCKED.set(unblocked(&io::stderr()));
        panic::set_hook(Box::new(log_panic));
    }
    Ok(())
}

/// What the events look like, for what is written beside them.
static FORMAT: OnceLock<LogFormat> = OnceLock::new();

/// Standard error, where it is a pipe or a terminal that can be opened once more.
static UNBLOCKED: OnceLock<Option<Unblocked>> = OnceLock::new();

/// A panic is an event like any other: one line, in the form that was asked for.
fn log_panic(info: &PanicHookInfo<'_>) {
    let place = info.location().map(ToString::to_string).unwrap_or_default();
    let what = info.payload_as_str().unwrap_or("no text");
    let thread = std::thread::current();
    tracing::error!(thread = thread.name().unwrap_or_default(), place, what, "panicked: a bug");
}

/// Standard error, one whole event at a time. An event that cannot be written, or that nobody reads, is lost: recording goes on
/// without its log.
struct Escaped;

impl Write for Escaped {
    fn write(&mut self, event: &[u8]) -> io::Result<usize> {
        let mut reader = READER.lock().unwrap_or_else(PoisonError::into_inner);
        let text = String::from_utf8_lossy(event);
        match UNBLOCKED.get().and_then(Option::as_ref) {
            Some(mut out) => reader.hand(escape(&text).as_bytes(), &mut out),
            None => reader.hand(escape(&text).as_bytes(), &mut io::stderr().lock()),
        }
        Ok(event.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// How long an event waits for a pipe that is full, once. Whoever reads then has fallen behind by 64 KiB.
const PATIENCE: Duration = Duration::from_millis(200);

static READER: Mutex<Reader> = Mutex::new(Reader { lost: 0, is_cut: false });

/// Whoever reads the log. One that stops reading must stop nothing else: not the order that is logged, nor the stop itself.
struct Reader {
    /// Events since it last read.
    lost: u64,
    /// Whether the last one ends in its middle.
    is_cut: bool,
}

impl Reader {
    fn hand(&mut self, event: &[u8], out: &mut (impl Write + AsFd)) {
        // Each event of a reader that is late would wait again.
        let patience = if self.lost == 0 { PATIENCE } else { Duration::ZERO };
        let told = self.told();
        let whole = [told.as_bytes(), event].concat();
        match offer(&whole, out, patience) {
            // Nobody can be told that the log cannot be written.
            Ok(taken) if taken == whole.len() => (self.lost, self.is_cut) = (0, false),
            Err(_) => {}
            Ok(0) => self.lost += 1,
            // Those before are told, and count no more.
            Ok(taken) if taken >= told.len() => (self.lost, self.is_cut) = (1, taken > told.len()),
            Ok(_) => (self.lost, self.is_cut) = (self.lost + 1, true),
        }
    }

    /// What stands before the next event, when some were lost.
    fn told(&self) -> String {
        let (lost, end) = (self.lost, if self.is_cut { "\n" } else { "" });
        match FORMAT.get() {
            _ if lost == 0 => String::new(),
            Some(LogFormat::Json) => {
                format!("{end}{{\"level\":\"WARN\",\"fields\":{{\"message\":\"{UNREAD}\",\"lost\":{lost}}}}}\n")
            }
            Some(LogFormat::Plain) | None => format!("{end} WARN {UNREAD} lost={lost}\n"),
        }
    }
}

const UNREAD: &str = "nobody read the log: events are missing here";

/// The event with everything that ends a line, moves a cursor or turns text around written out, in the way of JSON, which is
/// right inside its texts too. The line break that ends the event stays.
fn escape(event: &str) -> Cow<'_, str> {
    let (text, end) = event.strip_suffix('\n').map_or((event, ""), |text| (text, "\n"));
    if !text.contains(hidden) {
        return Cow::Borrowed(event);
    }
    let mut line = String::with_capacity(event.len() + 16);
    for character in text.chars() {
        match hidden(character) {
            true => character.encode_utf16(&mut [0; 2]).iter().for_each(|unit| line += &format!("\\u{unit:04x}")),
            false => line.push(character),
        }
    }
    Cow::Owned(line + end)
}

/// Control characters of both kinds, line and paragraph separators, marks of direction, tags, and the mark of byte order.
fn hidden(character: char) -> bool {
    let directions =
        ['\u{200e}'..='\u{200f}', '\u{2028}'..='\u{202e}', '\u{2066}'..='\u{2069}', '\u{e0000}'..='\u{e007f}'];
    character.is_control()
        || matches!(character, '\u{61c}' | '\u{feff}')
        || directions.iter().any(|range| range.contains(&character))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Goal: a reader that stops costs the events it does not read, and never more than a moment; then it is told.
    #[test]
    fn a_reader_that_stops_holds_up_nobody() {
        let (mut from, mut to) = io::pipe().unwrap();
        let mut reader = Reader { lost: 0, is_cut: false };
        let event = format!("{}\n", "x".repeat(999));
        // Far more than a pipe holds: 16 pages.
        (0..1000).for_each(|_| reader.hand(event.as_bytes(), &mut to));
        assert!((900..1000).contains(&reader.lost), "{}", reader.lost);
        let lost = reader.lost;
        let mut read = vec![0; 64 << 10];
        let mut seen = Vec::new();
        while seen.len() < event.len() * (1000 - lost as usize) {
            let len = io::Read::read(&mut from, &mut read).unwrap();
            seen.extend_from_slice(&read[..len]);
        }
        reader.hand(b"again\n", &mut to);
        drop(to);
        io::Read::read_to_end(&mut from, &mut seen).unwrap();
        let text = String::from_utf8(seen).unwrap();
        let last: Vec<_> = text.lines().rev().take(2).collect();
        assert_eq!((last[0], reader.lost), ("again", 0));
        assert!(last[1].contains(&format!("lost={lost}")), "{}", last[1]);
    }

    /// Each event is read whole or told as lost, once, wherever the pipe is full: also between the two.
    #[test]
    fn what_is_told_and_what_is_read_are_all_events() {
        let (mut from, mut to) = io::pipe().unwrap();
        let mut reader = Reader { lost: 0, is_cut: false };
        let event = format!("{}\n", "x".repeat(4999));
        let (mut seen, mut handed) = (Vec::new(), 0);
        for room in [0, 4096, 8192, 4096, 40_000] {
            let mut read = vec![0; room];
            io::Read::read_exact(&mut from, &mut read).unwrap();
            seen.extend_from_slice(&read);
            (0..100).for_each(|_| reader.hand(event.as_bytes(), &mut to));
            handed += 100;
        }
        drop(to);
        io::Read::read_to_end(&mut from, &mut seen).unwrap();
        let text = String::from_utf8(seen).unwrap();
        let whole = text.split_inclusive('\n').filter(|line| *line == event).count() as u64;
        let told = text.lines().filter_map(|line| line.split_once("lost=")?.1.parse::<u64>().ok()).sum::<u64>();
        assert_eq!(whole + told + reader.lost, handed, "{whole} whole, {told} told, {} to be told", reader.lost);
    }

    #[test]
    fn an_event_is_one_line_that_moves_nothing() {
        assert_eq!(escape("INFO ready: m/s², 日本\n"), "INFO ready: m/s², 日本\n");
        assert_eq!(escape("a\nERROR made up\r\x1b[2J\u{9b}2J\n"), "a\\u000aERROR made up\\u000d\\u001b[2J\\u009b2J\n");
        assert_eq!(escape("\u{202e}txt\u{e0041}"), "\\u202etxt\\udb40\\udc41");
        let json = format!("{{\"name\":{}}}", serde_json::json!("a\n\u{202e}b"));
        let read: serde_json::Value = serde_json::from_str(&escape(&json)).unwrap();
        assert_eq!(read["name"], "a\n\u{202e}b", "still the same JSON");
    }
}
