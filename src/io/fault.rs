//! What goes wrong on purpose: every call of a clean run can be counted, with the line of ours that made it, and then be made
//! to fail in turn. The script decides; [`FaultDevice`](super::FaultDevice) and [`Host`](super::Host) carry it out.

use std::io;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::MutexGuard;
use std::sync::PoisonError;
use std::thread;
use std::time::Duration;

use rustix::io::Errno;

use super::call_site::CallSite;
use super::outage::Unsynced;

/// What was asked for, as the trace tells it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Operation {
    Create,
    Open,
    Write,
    Read,
    Allocate,
    Truncate,
    Sync,
    Close,
    Rename,
    Unlink,
    MakeDirectory,
    RemoveDirectory,
    List,
    Names,
    SyncDirectory,
    ReadSmall,
    WriteSmall,
    Space,
    // Of the host alone: what a start does before there is a device.
    Look,
    Lock,
    Probe,
    Random,
}

/// Which operations fail, counted from 0 in the order they are asked for. A failing one does not reach the device.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Faults {
    #[default]
    None,
    /// This one, with EIO.
    One(usize),
    /// This one and all after it: what a killed process leaves on the disk.
    From(usize),
    /// This one, with ENOSPC.
    Full(usize),
    /// This one of its kind panics in its caller.
    Panic(Operation, usize),
    /// Those of its kind from the first number to before the second, with ENOSPC: as a quota answers.
    FullOf(Operation, usize, usize),
    /// All of its kind, with EIO.
    All(Operation),
}

/// One call of ours, made to go wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    pub operation: Operation,
    pub site: CallSite,
    /// Counted from 0 among the calls of this operation at this site.
    pub nth: usize,
    pub kind: FaultKind,
    pub span: Span,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FaultKind {
    /// EIO, and nothing reaches the device.
    Io,
    /// ENOSPC, and nothing reaches the device.
    Full,
    /// Half of a write or read, and an error. Anything else as [`Self::Io`].
    Short,
    /// A write leaves rubbish in its second half and fails; a read brings rubbish and *succeeds*; anything else is done, and
    /// fails all the same: the answer got lost.
    Torn,
    /// It takes its time, and succeeds.
    Late,
    /// The power fails: this call and all after it. [`FaultScript::cut_power`] then takes away what was not synced.
    Lost,
}

/// For how long, once it struck.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Span {
    Once,
    ForGood,
}

/// How late a late call is: once, and each of many.
const LATE: Duration = Duration::from_millis(30);
const LATE_EACH: Duration = Duration::from_millis(1);

/// What becomes of one call.
#[derive(Debug)]
pub(super) enum Verdict {
    Proceed,
    Fail(Errno),
    Short,
    Torn,
    Late(Duration),
}

/// The faults to come and the trace so far. Clones, on any thread, are the same.
#[derive(Clone, Default)]
pub struct FaultScript(Arc<Mutex<Script>>);

#[derive(Default)]
struct Script {
    faults: Faults,
    armed: Vec<Armed>,
    trace: Vec<Operation>,
    /// With `trace`, where sites are watched.
    sites: Option<Vec<(Operation, CallSite)>>,
    after_death: Vec<Operation>,
    /// What a power cut would take, in the order it was done.
    unsynced: Unsynced,
}

struct Armed {
    fault: Fault,
    /// Calls of the fault's operation and site so far.
    matched: usize,
    struck: usize,
}

impl FaultScript {
    pub fn new(faults: Faults) -> Self {
        Self(Arc::new(Mutex::new(Script { faults, ..Script::default() })))
    }

    /// Single calls that go wrong, each where and as it says.
    pub fn with(faults: Vec<Fault>) -> Self {
        let armed = faults.into_iter().map(|fault| Armed { fault, matched: 0, struck: 0 }).collect();
        Self(Arc::new(Mutex::new(Script { armed, ..Script::default() })))
    }

    /// From here on the site of every call is kept. Costs a walk up the stack for each.
    pub fn watch(&self) {
        self.script().sites = Some(Vec::new());
    }

    /// Every operation asked for so far, the failed ones included.
    pub fn trace(&self) -> Vec<Operation> {
        self.script().trace.clone()
    }

    /// The site of every call so far, of a script that watches.
    pub fn sites(&self) -> Vec<(Operation, CallSite)> {
        self.script().sites.clone().unwrap_or_default()
    }

    /// How many calls the last of the single faults met.
    pub fn struck(&self) -> usize {
        self.script().armed.last().map_or(0, |armed| armed.struck)
    }

    /// What was asked of files that a fault had killed before: a sync or a truncation among it is a retry that can lie.
    pub fn asked_of_dead_files(&self) -> Vec<Operation> {
        self.script().after_death.clone()
    }

    /// Takes away what was done and not synced, each part of it kept, torn or lost as `seed` has it. Call it once everything
    /// that used the script is gone, after a fault of kind [`FaultKind::Lost`]. Returns how much was taken.
    ///
    /// # Errors
    /// Whatever the file system says.
    pub fn cut_power(&self, seed: u64) -> io::Result<usize> {
        let unsynced = std::mem::take(&mut self.script().unsynced);
        unsynced.take_away(seed)
    }

    pub(super) fn ask(&self, operation: Operation) -> Verdict {
        let wanted = {
            let script = self.script();
            script.sites.is_some() || script.armed.iter().any(|armed| armed.fault.operation == operation)
        };
        let site = if wanted { CallSite::of_caller() } else { None };
        let mut script = self.script();
        let number = script.trace.len();
        let of_kind = script.trace.iter().filter(|earlier| **earlier == operation).count();
        script.trace.push(operation);
        if let (Some(sites), Some(site)) = (&mut script.sites, &site) {
            sites.push((operation, site.clone()));
        }
        match script.faults {
            Faults::One(nth) if number == nth => Verdict::Fail(Errno::IO),
            Faults::From(nth) if number >= nth => Verdict::Fail(Errno::IO),
            Faults::Full(nth) if number == nth => Verdict::Fail(Errno::NOSPC),
            Faults::Panic(kind, nth) if kind == operation && of_kind == nth => {
                drop(script);
                panic!("{operation:?} number {nth} panics as it was told to")
            }
            Faults::FullOf(kind, from, to) if kind == operation && (from..to).contains(&of_kind) => {
                Verdict::Fail(Errno::NOSPC)
            }
            Faults::All(kind) if kind == operation => Verdict::Fail(Errno::IO),
            _ => script.strike(operation, site.as_ref()),
        }
    }

    /// For calls that know done and failed only, and may block.
    pub(super) fn ask_host(&self, operation: Operation) -> io::Result<()> {
        match self.ask(operation) {
            Verdict::Proceed => Ok(()),
            Verdict::Fail(error) => Err(error.into()),
            Verdict::Short | Verdict::Torn => Err(Errno::IO.into()),
            Verdict::Late(late) => {
                thread::sleep(late);
                Ok(())
            }
        }
    }

    pub(super) fn asked_of_dead_file(&self, operation: Operation) {
        self.script().after_death.push(operation);
    }

    /// Runs `note` on what is not synced, where a power cut is to come.
    pub(super) fn note(&self, note: impl FnOnce(&mut Unsynced) -> io::Result<()>) -> io::Result<()> {
        let mut script = self.script();
        match script.armed.iter().any(|armed| armed.fault.kind == FaultKind::Lost) {
            true => note(&mut script.unsynced),
            false => Ok(()),
        }
    }

    // Counters and lists, each valid by itself whatever panicked.
    fn script(&self) -> MutexGuard<'_, Script> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Script {
    fn strike(&mut self, operation: Operation, site: Option<&CallSite>) -> Verdict {
        let strikes = self.armed.iter_mut().map(|armed| armed.strike(operation, site));
        // Every one of them counts this call, and the first one that strikes decides.
        strikes.fold(None, |first, next| first.or(next)).unwrap_or(Verdict::Proceed)
    }
}

impl Armed {
    fn strike(&mut self, operation: Operation, site: Option<&CallSite>) -> Option<Verdict> {
        let fault = &self.fault;
        let lasts = fault.span == Span::ForGood || fault.kind == FaultKind::Lost;
        let matches = fault.operation == operation && site == Some(&fault.site);
        self.matched += usize::from(matches);
        let strikes = if self.struck == 0 { matches && self.matched == fault.nth + 1 } else { lasts };
        if !strikes {
            return None;
        }
        self.struck += 1;
        Some(match fault.kind {
            FaultKind::Io | FaultKind::Lost => Verdict::Fail(Errno::IO),
            FaultKind::Full => Verdict::Fail(Errno::NOSPC),
            FaultKind::Short => Verdict::Short,
            FaultKind::Torn => Verdict::Torn,
            FaultKind::Late => Verdict::Late(if lasts { LATE_EACH } else { LATE }),
        })
    }
}
