//! Goal: whatever goes wrong in any call to the disk or the host, no acknowledged row is lost, nothing is left half, clients
//! are told the right thing, and a retry works.
//!
//! Method: a clean run of the scenario tells every call and the line of ours that makes it. Then the scenario runs again for
//! a call × a kind of fault × once or for good, and the contract is checked on a good device. `TESSERA_FAULTS` says how many
//! runs besides the one that each line gets: a number (default 0), or `all` for each call × kind × span, of which
//! `TESSERA_FAULTS_PART=2/10` takes a tenth (with `TESSERA_FAULTS_LINES=off`: it does not pass every line).
//! `TESSERA_FAULTS_SEED` repeats a choice, `TESSERA_FAULTS_ONE` (`operation site nth kind span`, as a failure prints it) one run.

use std::collections::BTreeMap;
use std::collections::BTreeSet;
use std::sync::Mutex;
use std::sync::atomic::AtomicUsize;
use std::sync::atomic::Ordering::Relaxed;
use std::thread;

use tonic::Code;

use tessera::io::CallSite;
use tessera::io::Fault;
use tessera::io::FaultKind;
use tessera::io::FaultScript;
use tessera::io::Host;
use tessera::io::Operation;
use tessera::io::Span;

use crate::contract;
use crate::house::scratch;
use crate::scenario;
use crate::scenario::Journal;
use crate::sites;

const KINDS: [FaultKind; 6] =
    [FaultKind::Io, FaultKind::Lost, FaultKind::Full, FaultKind::Torn, FaultKind::Short, FaultKind::Late];
const SPANS: [Span; 2] = [Span::Once, Span::ForGood];

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap()
}

/// One fault, and the one before it without which its line is never reached.
#[derive(Clone, Debug)]
struct Case {
    before: Option<Fault>,
    fault: Fault,
}

/// One run: how often it struck, or what is broken.
fn run(case: &Case, seed: u64) -> Result<usize, String> {
    let (directory, runtime) = (scratch(), runtime());
    let root = directory.path().join("data");
    let script = FaultScript::with(case.before.iter().chain([&case.fault]).cloned().collect());
    let mut journal = runtime.block_on(scenario::run(&root, &Host::faulty(script.clone())));
    let struck = script.struck();
    if case.fault.kind == FaultKind::Lost {
        script.cut_power(seed).map_err(|error| format!("the power cut fails: {error}"))?;
    }
    let told = told_right(case, &mut journal);
    let retried = script.asked_of_dead_files();
    match retried.iter().find(|operation| matches!(operation, Operation::Sync | Operation::Truncate)) {
        Some(operation) => Err(format!("{operation:?} is retried on a file that failed before")),
        None => told.and_then(|()| runtime.block_on(contract::check(&root, journal))).map(|()| struck),
    }
}

/// Whether clients were told what happened: a code that fits the fault, and no rows that are not theirs.
fn told_right(case: &Case, journal: &mut Journal) -> Result<(), String> {
    let fault = &case.fault;
    if let Some(wrong) = journal.wrong.first() {
        return Err(format!("a client is given what is not so: {wrong}"));
    }
    if fault.kind == FaultKind::Late
        && case.before.is_none()
        && !(journal.failed.is_empty() && journal.refused.is_empty())
    {
        return Err(format!("a late call is no failure: {:?} {:?}", journal.failed, journal.refused));
    }
    // What follows from an earlier failure has the code of its own state.
    let follows = [Code::NotFound, Code::FailedPrecondition];
    for (nth, (what, failed)) in journal.failed.iter().enumerate() {
        let fits = match failed.code {
            Code::Unavailable => true,
            Code::ResourceExhausted => fault.kind == FaultKind::Full,
            Code::DataLoss => what.starts_with("read"),
            code => nth > 0 && follows.contains(&code),
        };
        if !fits {
            return Err(format!("{what} is answered {failed:?}"));
        }
    }
    let space = [Operation::Create, Operation::Write, Operation::Allocate].contains(&fault.operation);
    if let (FaultKind::Full, true, Some((what, failed))) =
        (fault.kind, space && case.before.is_none(), journal.failed.first())
        && failed.code != Code::ResourceExhausted
    {
        return Err(format!("a full disk is answered {failed:?} to {what}"));
    }
    Ok(())
}

/// Calls by line of ours and operation: how many, and the fault without which there are none.
type Calls = BTreeMap<(CallSite, Operation), (usize, Option<Fault>)>;

/// Every call of a clean run, and those of runs in which something has gone wrong already.
fn calls() -> Calls {
    let mut calls = watched(None);
    let last = |operation: Operation, file: &str, nth| {
        let found = calls.keys().rfind(|(site, op)| *op == operation && site.file == file);
        Fault { operation, site: found.unwrap().0.clone(), nth, kind: FaultKind::Io, span: Span::Once }
    };
    // A chunk that is abandoned; and a directory that is there and was not seen, of the four that the first start looks at
    // and the one of the second.
    let before = [last(Operation::Allocate, "store/writer.rs", 0), last(Operation::Look, "daemon/mount.rs", 4)];
    for fault in before {
        for (call, found) in watched(Some(fault)) {
            calls.entry(call).or_insert(found);
        }
    }
    calls
}

fn watched(before: Option<Fault>) -> Calls {
    let (directory, runtime) = (scratch(), runtime());
    let root = directory.path().join("data");
    let script = FaultScript::with(before.iter().cloned().collect());
    script.watch();
    let journal = runtime.block_on(scenario::run(&root, &Host::faulty(script.clone())));
    if before.is_none() {
        assert!(journal.failed.is_empty() && journal.refused.is_empty(), "{:?} {:?}", journal.failed, journal.refused);
        assert_eq!(journal.wrong, Vec::<String>::new());
        runtime.block_on(contract::check(&root, journal)).unwrap();
    }
    let mut calls = Calls::new();
    for (operation, site) in script.sites() {
        calls.entry((site, operation)).or_insert((0, before.clone())).0 += 1;
    }
    calls
}

/// The same numbers for the same seed.
struct Dice(u64);

impl Dice {
    fn below(&mut self, end: usize) -> usize {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        ((self.0 >> 33) % end as u64) as usize
    }
}

/// Those that `TESSERA_FAULTS_KINDS` names, with commas between; all by default.
fn kinds() -> Vec<FaultKind> {
    let named = std::env::var("TESSERA_FAULTS_KINDS").unwrap_or_default();
    let wanted = |kind: &FaultKind| named.is_empty() || named.split(',').any(|name| name == format!("{kind:?}"));
    KINDS.into_iter().filter(wanted).collect()
}

fn plan(calls: &Calls, dice: &mut Dice) -> Vec<Case> {
    let case =
        |((site, operation), (_, before)): (&(CallSite, Operation), &(usize, Option<Fault>)), nth, kind, span| {
            let fault = Fault { operation: *operation, site: site.clone(), nth, kind, span };
            Case { before: before.clone(), fault }
        };
    let each: Vec<_> =
        calls.iter().flat_map(|(call, found)| (0..found.0).map(move |nth| ((call, found), nth))).collect();
    let asked = std::env::var("TESSERA_FAULTS").unwrap_or_default();
    let kinds = kinds();
    if asked == "all" {
        let mut cases = Vec::new();
        for (call, nth) in each {
            for kind in &kinds {
                let spans = if *kind == FaultKind::Lost { &SPANS[..1] } else { &SPANS[..] };
                cases.extend(spans.iter().map(|span| case(call, nth, *kind, *span)));
            }
        }
        // In slices, where one is named: `2/10` is the second tenth.
        let part = std::env::var("TESSERA_FAULTS_PART").unwrap_or_else(|_| "1/1".to_owned());
        let (nth, of) = part.split_once('/').expect("nth/of");
        let (nth, of): (usize, usize) = (nth.parse().unwrap(), of.parse().unwrap());
        return cases.into_iter().enumerate().filter(|(at, _)| at % of == nth - 1).map(|(_, case)| case).collect();
    }
    // Each line once, whatever else; the kinds take turns, so that each comes about.
    let turn = dice.below(kinds.len());
    let turns = kinds.iter().cycle().skip(turn);
    let mut cases: Vec<Case> =
        calls.iter().zip(turns).map(|(call, kind)| case(call, 0, *kind, SPANS[dice.below(2)])).collect();
    for _ in 0..asked.parse().unwrap_or(0) {
        let (call, nth) = each[dice.below(each.len())];
        cases.push(case(call, nth, kinds[dice.below(kinds.len())], SPANS[dice.below(2)]));
    }
    cases
}

#[test]
fn whatever_fails_nothing_acknowledged_is_lost() {
    let number = |name: &str, default: u64| std::env::var(name).map_or(default, |text| text.parse().unwrap());
    let seed = number("TESSERA_FAULTS_SEED", u64::from(std::process::id()));
    let calls = calls();
    if let Ok(one) = std::env::var("TESSERA_FAULTS_ONE") {
        let case = parse(&one, &calls);
        println!("{}: struck {} times", words(&case.fault), run(&case, seed).unwrap());
        return;
    }
    let cases = plan(&calls, &mut Dice(seed));
    let (next, outcomes) = (AtomicUsize::new(0), Mutex::new(Vec::with_capacity(cases.len())));
    // Most of a run waits for the disk.
    thread::scope(|scope| {
        for _ in 0..number("TESSERA_FAULTS_THREADS", 4) {
            scope.spawn(|| {
                while let Some((nth, case)) = Some(next.fetch_add(1, Relaxed)).and_then(|n| Some((n, cases.get(n)?))) {
                    let outcome = run(case, seed + nth as u64);
                    if let Err(why) = &outcome {
                        println!("BROKEN {} {why}", again(case, seed + nth as u64));
                    }
                    outcomes.lock().unwrap().push((nth, outcome));
                }
            });
        }
    });
    let mut unhit: BTreeSet<(CallSite, Operation)> = calls.keys().cloned().collect();
    let (mut broken, mut missed) = (Vec::new(), 0);
    for (nth, outcome) in outcomes.into_inner().unwrap() {
        let fault = &cases[nth].fault;
        match outcome {
            // The order of calls is not the same in every run: the last ones of a line may not come again.
            Ok(0) => {
                missed += 1;
                continue;
            }
            Ok(_) => {}
            Err(why) => broken.push(format!("{} {why}", again(&cases[nth], seed + nth as u64))),
        }
        unhit.remove(&(fault.site.clone(), fault.operation));
    }
    let total: usize = calls.values().map(|(count, _)| count).sum();
    println!(
        "seed {seed}: {total} calls from {} lines; {} runs, {missed} of them met no fault, {} broken",
        calls.len(),
        cases.len(),
        broken.len()
    );
    assert!(broken.is_empty(), "seed {seed}\n{}", broken.join("\n"));
    // A mutant may have taken a call away, and then the contract alone has to notice; a slice does not pass every line.
    if std::env::var("TESSERA_FAULTS_LINES").is_ok_and(|lines| lines == "off") {
        return;
    }
    assert!(unhit.is_empty(), "no fault ever hit these: {unhit:?}");
    // A new call to the disk cannot hide from the faults: the calls that the source shows are those that were made.
    let made: BTreeSet<CallSite> = calls.into_keys().map(|(site, _)| site).collect();
    let written = sites::in_source();
    let never: Vec<_> = written.difference(&made).map(CallSite::to_string).collect();
    let unseen: Vec<_> = made.difference(&written).map(CallSite::to_string).collect();
    assert!(never.is_empty(), "the scenario passes none of these, so no fault hits them:\n{}", never.join("\n"));
    assert!(unseen.is_empty(), "these call by other names than `sites` looks for:\n{}", unseen.join("\n"));
}

fn again(case: &Case, seed: u64) -> String {
    format!("TESSERA_FAULTS_SEED={seed} TESSERA_FAULTS_ONE='{}':", words(&case.fault))
}

fn words(fault: &Fault) -> String {
    format!(
        "{:?} {}:{} {} {:?} {:?}",
        fault.operation, fault.site.file, fault.site.line, fault.nth, fault.kind, fault.span
    )
}

fn parse(words: &str, calls: &Calls) -> Case {
    let parts: Vec<&str> = words.split(' ').collect();
    let [operation, place, nth, kind, span] = parts[..] else {
        panic!("operation file:line nth kind span, not {words}")
    };
    let matches = |(site, op): &(CallSite, Operation)| {
        format!("{op:?}") == operation && format!("{}:{}", site.file, site.line) == place
    };
    let ((site, operation), (_, before)) = calls.iter().find(|(call, _)| matches(call)).expect("a call that is made");
    let fault = Fault {
        operation: *operation,
        site: site.clone(),
        nth: nth.parse().unwrap(),
        kind: KINDS.into_iter().find(|k| format!("{k:?}") == kind).expect("a kind"),
        span: SPANS.into_iter().find(|s| format!("{s:?}") == span).expect("a span"),
    };
    Case { before: before.clone(), fault }
}
