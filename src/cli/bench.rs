//! `tessera bench`.

use std::io::IsTerminal;
use std::path::Path;
use std::path::PathBuf;

use clap::Args;
use clap::Subcommand;

use crate::bench;
use crate::bench::BenchError;
use crate::bench::CatalogPlan;
use crate::bench::ClosePlan;
use crate::bench::Device;
use crate::bench::GetPlan;
use crate::bench::Machine;
use crate::bench::MixPlan;
use crate::bench::PutPlan;
use crate::bench::RangePlan;
use crate::bench::RestartPlan;
use crate::bench::Row;
use crate::bench::Scratch;
use crate::bench::ShardPlan;
use crate::bench::SinkOptions;
use crate::bench::Terms;
use crate::bench::Transport;
use crate::bench::Workload;
use crate::io::Host;
use crate::model::TopicName;

use super::arguments::ConfigArguments;
use super::main::Failure;
use super::main::Outcome;
use super::output;
use super::output::Cell;
use super::output::Table;
use super::serve;

#[derive(Debug, Args)]
pub struct BenchArguments {
    #[command(subcommand)]
    pub what: Option<BenchCommand>,
    #[command(flatten)]
    pub common: CommonArguments,
}

#[derive(Debug, Subcommand)]
pub enum BenchCommand {
    /// Record as fast as it goes, up to the durable close
    Put,
    /// Read back whole topics
    Get,
    /// Read ranges of 1 % out of the middle of a topic
    Range,
    /// The wait from a stream's last byte to its OK
    Close,
    /// The start after a kill
    Restart(RestartArguments),
    /// A vehicle's sensors at a fixed rate: how late messages leave
    Mix(MixArguments),
    /// One shard without the network
    Shard,
    /// The null sink, as a server
    #[command(hide = true)]
    Sink(SinkArguments),
    /// Fill the catalog of a stopped server, for queries to be measured on it (see `perf/queries.py`)
    #[command(hide = true)]
    Catalog(CatalogArguments),
    /// The daemon under test: as `tessera serve`, until its standard input ends
    #[command(hide = true)]
    Serve(ConfigArguments),
}

#[derive(Clone, Debug, Args)]
pub struct MixArguments {
    /// How long to send
    #[arg(long, value_name = "SECONDS", default_value = "30")]
    pub seconds: u32,
    /// Share of the measured maximum to send at, as 0.7; without it the sensors' own rates
    #[arg(long, value_name = "SHARE")]
    pub rate: Option<f64>,
}

#[derive(Clone, Debug, Args)]
pub struct RestartArguments {
    /// Chunks on disk when the daemon is killed
    #[arg(long, value_name = "COUNT", default_value = "1000")]
    pub chunks: usize,
}

#[derive(Debug, Args)]
pub struct SinkArguments {
    #[arg(long, value_name = "PATH")]
    pub unix_socket: Option<PathBuf>,
}

#[derive(Debug, Args)]
pub struct CatalogArguments {
    #[arg(long, value_name = "DIR")]
    pub data_dir: PathBuf,
    /// Sequences with metadata alone
    #[arg(long, value_name = "COUNT", default_value = "0")]
    pub sequences: usize,
    /// Chunks, in sequences of their own
    #[arg(long, value_name = "COUNT", default_value = "0")]
    pub chunks: usize,
    /// The recorded topic that the chunks are like
    #[arg(long, value_name = "LOCATOR", value_parser = topic)]
    pub like: TopicName,
}

#[derive(Clone, Debug, Args)]
pub struct CommonArguments {
    /// Where to record: on the disk to be measured. What is written is removed at the end
    #[arg(long, global = true, value_name = "DIR", default_value = "./tessera-bench")]
    pub directory: PathBuf,
    /// Leave the recordings and the servers' logs behind
    #[arg(long, global = true)]
    pub keep: bool,
    /// Talk over a Unix socket instead of TCP
    #[arg(long, global = true)]
    pub unix: bool,
    /// Shapes of streams: blobs, lidar, 4k-image, 4k-default, imu10k, imu100
    #[arg(long = "workload", global = true, value_name = "NAMES", value_delimiter = ',', value_parser = workload)]
    pub workloads: Vec<Workload>,
    /// Streams at once; several numbers are measured one after another
    #[arg(long, global = true, value_name = "COUNTS", value_delimiter = ',', value_parser = clap::value_parser!(u16).range(1..))]
    pub streams: Vec<u16>,
    /// Connections of the client, at most; streams beyond share them
    #[arg(long, global = true, value_name = "COUNT", default_value = "8", value_parser = clap::value_parser!(u16).range(1..))]
    pub connections: u16,
    /// Bytes of one repeat, all streams together, as 20MB or 2GB
    #[arg(long, global = true, value_name = "SIZE", value_parser = size)]
    pub bytes: Option<u64>,
    /// Repeats, in which the daemon and its floors take turns [default: 5]
    #[arg(long, global = true, value_name = "COUNT", value_parser = clap::value_parser!(u16).range(1..))]
    pub repeats: Option<u16>,
    /// Little data, once: shows that it works, not how fast it is
    #[arg(long, global = true)]
    pub quick: bool,
    /// Write all results, with the facts of the machine, into a file
    #[arg(long, global = true, value_name = "FILE")]
    pub json: Option<PathBuf>,
}

/// Of one repeat, when nothing is said.
const BYTES: u64 = 1_000_000_000;
const REPEATS: u16 = 5;
/// Without a subcommand there is a minute or two for everything.
const TOUR_BYTES: u64 = 400_000_000;
const TOUR_MIX_SECONDS: u32 = 5;
/// With `--quick`.
const QUICK_BYTES: u64 = 50_000_000;

pub fn run(arguments: &BenchArguments) -> Result<Outcome, Failure> {
    let common = &arguments.common;
    match &arguments.what {
        Some(BenchCommand::Sink(SinkArguments { unix_socket })) => {
            bench::serve_sink(&SinkOptions { unix_socket: unix_socket.clone() })?;
            return Ok(Outcome::Done);
        }
        Some(BenchCommand::Catalog(CatalogArguments { data_dir, sequences, chunks, like })) => {
            let plan = CatalogPlan { sequences: *sequences, chunks: *chunks, like: like.clone() };
            bench::fill_catalog(&plan, data_dir)?;
            return Ok(Outcome::Done);
        }
        Some(BenchCommand::Serve(arguments)) => {
            bench::end_with_parent();
            return serve::run(arguments);
        }
        _ => {}
    }
    if let Some(path) = &common.json {
        // Before hours of measuring, not behind them.
        let place = path.parent().filter(|place| !place.as_os_str().is_empty()).unwrap_or(Path::new("."));
        if !Host::default().is_directory(place) {
            return Err(Failure::usage(format!(
                "--json {}: there is no such directory: make it first",
                path.display()
            )));
        }
    }
    let scratch = Scratch::make(&common.directory, common.keep)?;
    scratch.remove_on_signals()?;
    let device = Device::of(scratch.path())?;
    let machine = Machine::look(scratch.path(), device.backend());
    let mut run = Run { common, scratch: &scratch, device: &device, rows: Vec::new() };
    run.measure(arguments.what.as_ref())?;
    let rows = run.rows;
    print(&machine, &rows)?;
    if let Some(path) = &common.json {
        let report = serde_json::json!({"machine": machine, "rows": rows});
        let written = Host::default().write_report(path, &format!("{report:#}\n"));
        written.map_err(|cause| Failure::usage(format!("--json {}: {cause}", path.display())))?;
    }
    Ok(Outcome::Done)
}

struct Run<'a> {
    common: &'a CommonArguments,
    scratch: &'a Scratch,
    device: &'a Device,
    rows: Vec<Row>,
}

impl Run<'_> {
    fn measure(&mut self, what: Option<&BenchCommand>) -> Result<(), BenchError> {
        use Workload as W;
        match what {
            Some(BenchCommand::Put) => self.put(&W::ALL, &[1, 4], BYTES),
            Some(BenchCommand::Get) => self.get(&[W::Blobs, W::Lidar, W::Default4k, W::Imu10k], &[1, 4], BYTES),
            Some(BenchCommand::Range) => self.range(BYTES),
            Some(BenchCommand::Close) => self.close(),
            Some(BenchCommand::Restart(arguments)) => self.restart(arguments.chunks),
            Some(BenchCommand::Mix(arguments)) => self.mix(arguments.seconds, arguments.rate),
            Some(BenchCommand::Shard) => self.shard(),
            Some(BenchCommand::Sink(_) | BenchCommand::Serve(_) | BenchCommand::Catalog(_)) => Ok(()), // these serve, see `run`
            None => {
                self.put(&[W::Blobs, W::Lidar, W::Image4k, W::Imu10k], &[1, 4], TOUR_BYTES)?;
                self.get(&[W::Blobs, W::Imu10k], &[1], TOUR_BYTES)?;
                self.range(TOUR_BYTES)?;
                self.mix(if self.common.quick { 1 } else { TOUR_MIX_SECONDS }, None)
            }
        }
    }

    fn put(&mut self, workloads: &[Workload], streams: &[usize], bytes: u64) -> Result<(), BenchError> {
        let (terms, workloads, streams) = (self.terms(bytes), self.workloads(workloads), self.streams(streams));
        let plan = PutPlan { terms, workloads, streams };
        bench::measure_puts(&plan, self.scratch, self.device, done(&mut self.rows))
    }

    fn get(&mut self, workloads: &[Workload], streams: &[usize], bytes: u64) -> Result<(), BenchError> {
        let (terms, workloads, streams) = (self.terms(bytes), self.workloads(workloads), self.streams(streams));
        let plan = GetPlan { terms, workloads, streams };
        bench::measure_gets(&plan, self.scratch, self.device, done(&mut self.rows))
    }

    fn range(&mut self, bytes: u64) -> Result<(), BenchError> {
        let workloads = self.workloads(&[Workload::Blobs, Workload::Imu10k]);
        let plan = RangePlan { terms: self.terms(bytes), workloads };
        bench::measure_ranges(&plan, self.scratch, done(&mut self.rows))
    }

    fn close(&mut self) -> Result<(), BenchError> {
        let (terms, workloads) = (self.terms(BYTES), self.workloads(&[Workload::Blobs, Workload::Imu10k]));
        let sizes = vec![terms.bytes / 10, terms.bytes];
        bench::measure_closes(&ClosePlan { terms, workloads, sizes }, self.scratch, self.device, done(&mut self.rows))
    }

    fn restart(&mut self, chunks: usize) -> Result<(), BenchError> {
        bench::measure_restart(&RestartPlan { terms: self.terms(BYTES), chunks }, self.scratch, done(&mut self.rows))
    }

    fn mix(&mut self, seconds: u32, rate: Option<f64>) -> Result<(), BenchError> {
        let plan = MixPlan { terms: self.terms(BYTES), seconds, rate };
        bench::measure_mix(&plan, self.scratch, self.device, done(&mut self.rows))
    }

    fn shard(&mut self) -> Result<(), BenchError> {
        let workloads = self.workloads(&[Workload::Blobs, Workload::Lidar, Workload::Imu10k]);
        let plan = ShardPlan { terms: self.terms(BYTES), workloads };
        bench::measure_shard(&plan, self.scratch, self.device, done(&mut self.rows))
    }

    fn terms(&self, bytes: u64) -> Terms {
        let quick = self.common.quick;
        Terms {
            transport: if self.common.unix { Transport::Unix } else { Transport::Tcp },
            repeats: usize::from(self.common.repeats.unwrap_or(if quick { 1 } else { REPEATS }).max(1)),
            bytes: self.common.bytes.unwrap_or(if quick { QUICK_BYTES } else { bytes }).max(1),
            connections: usize::from(self.common.connections),
        }
    }

    fn workloads(&self, otherwise: &[Workload]) -> Vec<Workload> {
        if self.common.workloads.is_empty() { otherwise.to_vec() } else { self.common.workloads.clone() }
    }

    fn streams(&self, otherwise: &[usize]) -> Vec<usize> {
        match self.common.streams.as_slice() {
            [] => otherwise.to_vec(),
            asked => asked.iter().map(|count| usize::from((*count).max(1))).collect(),
        }
    }
}

/// Keeps a row, and says on a terminal that there is one more.
fn done(rows: &mut Vec<Row>) -> impl FnMut(Row) {
    |row| {
        if std::io::stderr().is_terminal() {
            let speed = row.mb_s.map_or_else(String::new, |speed| format!(": {speed:.0} MB/s"));
            eprintln!("{} {} × {}{speed}", row.measure, row.workload, row.streams);
        }
        rows.push(row);
    }
}

fn print(machine: &Machine, rows: &[Row]) -> Result<(), Failure> {
    use std::io::Write;
    let out = std::io::stdout();
    if !out.is_terminal() {
        let mut text = format!("{}\n", serde_json::json!({"measure": "machine", "machine": machine}));
        for row in rows {
            text += &format!("{}\n", serde_json::to_string(row)?);
        }
        output::quiet_pipe(out.lock().write_all(text.as_bytes()))?;
        return Ok(());
    }
    println!(
        "tessera {} · {} × {} · {} RAM · Linux {} · {} on {} · {}",
        machine.version,
        machine.cores,
        machine.processor,
        output::bytes(machine.memory),
        machine.kernel,
        machine.file_system,
        machine.device,
        machine.backend
    );
    let mut table = Table::new(&[
        "measure", "workload", "streams", "MB/s", "rows/s", "sink", "device", "ratio", "s/GB", "added", "client",
        "RSS", "p50", "p99", "p99.9",
    ]);
    let number = |value: Option<f64>, digits: usize| match value {
        Some(value) => Cell::number(format!("{value:.digits$}"), value),
        None => Cell::number("-", serde_json::Value::Null),
    };
    for row in rows {
        table.row(vec![
            row.measure.into(),
            row.workload.clone().into(),
            Cell::number(row.streams.to_string(), row.streams),
            number(row.mb_s, 0),
            number(row.rows_s, 0),
            number(row.sink_mb_s, 0),
            number(row.device_mb_s, 0),
            number(row.ratio, 2),
            number(row.server_s_gb, 3),
            number(row.added_s_gb, 3),
            number(row.client_s_gb, 3),
            row.peak_rss.map_or(number(None, 0), |bytes| Cell::number(output::bytes(bytes), bytes)),
            number(row.p50_ms, 2),
            number(row.p99_ms, 1),
            number(row.p999_ms, 1),
        ]);
    }
    Ok(table.print()?)
}

fn topic(text: &str) -> Result<TopicName, String> {
    TopicName::parse(text).map_err(|error| error.to_string())
}

fn workload(text: &str) -> Result<Workload, String> {
    Workload::parse(text)
        .ok_or_else(|| format!("{text:?} is no workload: blobs, lidar, 4k-image, 4k-default, imu10k or imu100"))
}

/// `20MB`, `2GB`, `500kB` or a plain number of bytes.
fn size(text: &str) -> Result<u64, String> {
    let digits = text.trim_end_matches(|c: char| !c.is_ascii_digit());
    let factor = match text.get(digits.len()..).unwrap_or_default() {
        "" | "B" => 1,
        "kB" | "KB" => 1_000,
        "MB" => 1_000_000,
        "GB" => 1_000_000_000,
        "TB" => 1_000_000_000_000,
        _ => return Err(format!("{text:?} is no size: write 20MB or 2GB")),
    };
    let count: Option<u64> = digits.parse().ok();
    count.and_then(|count| count.checked_mul(factor)).ok_or_else(|| format!("{text:?} is no size: write 20MB or 2GB"))
}
