//! What can be typed.

use std::net::SocketAddr;
use std::path::PathBuf;

use clap::Args;
use clap::Parser;
use clap::Subcommand;
use clap::ValueEnum;

use super::bench::BenchArguments;

#[derive(Debug, Parser)]
#[command(name = "tessera", version, about = "Recording server for sensor data", arg_required_else_help = true)]
pub struct Arguments {
    #[command(subcommand)]
    pub command: Command,
}

#[derive(Debug, Subcommand)]
pub enum Command {
    /// Run the recording server
    Serve(ConfigArguments),
    /// Check or explain the configuration
    #[command(subcommand)]
    Config(ConfigCommand),
    /// List sequences, or the topics of one
    Ls(LsArguments),
    /// Show one sequence or topic: time, size, and per topic rows, rate, longest gap, chunks, codec
    Info(InfoArguments),
    /// Print the rows of a topic as NDJSON, one JSON object a line
    Cat(CatArguments),
    /// Find topics by name, metadata and the values of their rows, and when these match
    Query(QueryArguments),
    /// Write a topic, or all of a sequence, to Parquet files or an MCAP file
    Export(ExportArguments),
    /// List, or clear, the notifications of a topic, or of a sequence and all its topics
    Notifications(NotificationsArguments),
    /// Finalize a session whose writer is gone: what it made durable becomes readable
    Finalize(FinalizeArguments),
    /// Delete an open session whose writer is gone, with everything in it, and its sequence when it has no other
    Discard(DiscardArguments),
    /// Say whether a server runs on these data directories, and what reading all that is stored again last found
    Status(ConfigArguments),
    /// Check every chunk of a stopped server's data directories against the catalog and its checksums
    Verify(ConfigArguments),
    /// Make a lost catalog again; make or check one that several servers share
    #[command(subcommand)]
    Catalog(CatalogCommand),
    /// Measure what this machine records and reads back, next to the floors of the same run
    Bench(BenchArguments),
}

#[derive(Debug, Subcommand)]
pub enum CatalogCommand {
    /// Make a lost or damaged catalog again, from the files in the data directories alone
    Rebuild(RebuildArguments),
    /// Make the keyspace and tables of a shared catalog, as far as they are missing. Once, not by two at a time
    Init(InitArguments),
    /// Say whether a shared catalog can be used, down to every statement
    Check(ConfigArguments),
}

#[derive(Debug, Args)]
pub struct InitArguments {
    #[command(flatten)]
    pub source: ConfigArguments,
    /// Copies of every row [default: 3, or as many as there are nodes]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u8).range(1..=7))]
    pub copies: Option<u8>,
}

#[derive(Debug, Args)]
pub struct RebuildArguments {
    #[command(flatten)]
    pub source: ConfigArguments,
    /// Write the catalog into this directory and change nothing else [default: into its place; the old one is kept beside]
    #[arg(long, value_name = "DIR")]
    pub to: Option<PathBuf>,
    /// Go on although chunks lie on a data directory that is not named: reading them will say DATA_LOSS
    #[arg(long)]
    pub without_missing: bool,
}

#[derive(Debug, Subcommand)]
pub enum ConfigCommand {
    /// Say whether the configuration is good
    Check(ConfigArguments),
    /// Show every key with its value and where it came from
    Explain(ConfigArguments),
}

/// Where the configuration comes from. Flags win over the environment (`TESSERA_<SECTION>_<KEY>`), that over the file.
#[derive(Clone, Debug, Default, Args)]
pub struct ConfigArguments {
    /// Address and port to listen on [default: 127.0.0.1:6726]
    #[arg(long, value_name = "ADDR:PORT")]
    pub listen: Option<SocketAddr>,
    /// Data directory, once per device; the first holds the catalog [default: ./tessera-data]
    #[arg(long = "data-dir", value_name = "DIR")]
    pub data_dirs: Vec<PathBuf>,
    /// Catalog shared by several servers: scylla://HOST[:PORT],.../KEYSPACE [default: a file in the first data directory]
    #[arg(long, value_name = "URL")]
    pub catalog: Option<String>,
    /// Where the other servers of a shared catalog reach this one: grpc://HOST:PORT [default: the address it listens on]
    #[arg(long, value_name = "URI")]
    pub fleet_address: Option<String>,
    /// Configuration file (TOML)
    #[arg(long, value_name = "FILE", env = "TESSERA_CONFIG")]
    pub config: Option<PathBuf>,
}

#[derive(Clone, Debug, Args)]
pub struct ServerArguments {
    /// The server to talk to: grpc://host:port or unix:/path
    #[arg(long, value_name = "URI", default_value = "grpc://127.0.0.1:6726", env = "TESSERA_SERVER")]
    pub server: String,
}

#[derive(Debug, Args)]
pub struct LsArguments {
    /// A sequence; all sequences without one
    pub locator: Option<String>,
    /// List open sessions: those that are being written, and those whose writer is gone
    #[arg(long)]
    pub open: bool,
    #[command(flatten)]
    pub server: ServerArguments,
}

#[derive(Debug, Args)]
pub struct InfoArguments {
    /// A sequence, or a topic as sequence/topic/path
    pub locator: String,
    #[command(flatten)]
    pub server: ServerArguments,
}

#[derive(Debug, Args)]
pub struct NotificationsArguments {
    /// A sequence, or a topic as sequence/topic/path
    pub locator: String,
    /// Remove what is listed
    #[arg(long)]
    pub clear: bool,
    #[command(flatten)]
    pub server: ServerArguments,
}

const CAT_HELP: &str = r#"A row is a JSON object on a line. What JSON has no form for is a text:
  numbers that are none      "NaN", "Infinity", "-Infinity"; null is a value that is missing
  decimals                   all of their digits
  dates, times, durations    as ISO 8601 has them, of a named time zone in UTC; what no calendar has is the number of its unit
  bytes                      two hexadecimal digits each
Maps are objects, those whose keys are no texts lists of objects with key and value."#;

#[derive(Debug, Args)]
#[command(after_help = CAT_HELP)]
pub struct CatArguments {
    /// A topic as sequence/topic/path
    pub locator: String,
    /// First timestamp to print, in nanoseconds
    #[arg(long, value_name = "NS", allow_negative_numbers = true)]
    pub start: Option<i64>,
    /// First timestamp not to print any more, in nanoseconds
    #[arg(long, value_name = "NS", allow_negative_numbers = true)]
    pub end: Option<i64>,
    /// Rows to print at most
    #[arg(long, value_name = "ROWS", value_parser = clap::value_parser!(u64).range(1..), allow_negative_numbers = true)]
    pub limit: Option<u64>,
    #[command(flatten)]
    pub server: ServerArguments,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum ExportFormat {
    /// One file per topic with rows: DIR/sequence/topic/path.parquet. A file that is there is replaced, and removed when
    /// there is no row for it
    Parquet,
    /// One file with all topics, merged by time: DIR/sequence.mcap, of a topic DIR/sequence/topic/path.mcap. A file that is
    /// there is refused
    Mcap,
}

const EXPORT_EXAMPLES: &str = r#"Examples:
  tessera export drive_1 --to out
  tessera export drive_1/imu --to out --column acceleration.x --where 'IMU.acceleration.x > 9.8'
  tessera export drive_1 --to out --format mcap --start 1772366400000000000 --end 1772366460000000000

Messages in MCAP are those of ROS 2 (sensor_msgs, geometry_msgs, nav_msgs, tf2_msgs …) for the models that have one there, in
its own encoding with its definition beside it; point clouds become PointCloud2, images that are not raw a topic
<name>/compressed. Other models are JSON with a JSON schema, its values as `tessera cat --help` has them: numbers that are none
as "NaN", "Infinity", "-Infinity", decimals as texts.

Files of Parquet have the values of columns with a dictionary. A topic that cannot be written is named, and the others are
written: the exit code is 1 then."#;

#[derive(Debug, Args)]
#[command(after_help = EXPORT_EXAMPLES)]
pub struct ExportArguments {
    /// A sequence, or a topic as sequence/topic/path
    pub locator: String,
    /// Directory to write to; it is made where it is missing
    #[arg(long, value_name = "DIR")]
    pub to: PathBuf,
    /// What to write
    #[arg(long, value_enum, value_name = "FORMAT", default_value = "parquet")]
    pub format: ExportFormat,
    /// Only rows for which this holds, in the language of `tessera query`: conditions on one tag; topics with another are left
    /// out
    #[arg(long = "where", value_name = "EXPRESSION")]
    pub rows: Option<String>,
    /// Only this field with all below it, such as acceleration.x; may be given again. The time is always there
    #[arg(long = "column", value_name = "FIELD")]
    pub columns: Vec<String>,
    /// First timestamp to write, in nanoseconds
    #[arg(long, value_name = "NS", allow_negative_numbers = true)]
    pub start: Option<i64>,
    /// First timestamp not to write any more, in nanoseconds
    #[arg(long, value_name = "NS", allow_negative_numbers = true)]
    pub end: Option<i64>,
    #[command(flatten)]
    pub server: ServerArguments,
}

/// All of the language: what stands on the arguments themselves is not shown.
const QUERY_HELP: &str = r#"Fields:
  Tag.path                   of rows, such as IMU.acceleration.x; of a list [0] one element, [?] any, [!] all of them
  sequence.name  sequence.created  sequence.metadata.path
  topic.name  topic.created  topic.metadata.path  topic.tag  topic.format
                             times are in nanoseconds; a list in metadata is asked by its bare name: some element of it

Conditions on a field:
  = != < <= > >= VALUE       a number, true, false, or a text in "double" or 'single' quotes; a quote inside is written
                             twice: "5"" disk", 'it''s'
  like "base_*"              a glob; ~ is the same
  in (1, 2, 3)               between 1 and 2               outside 1 and 2
  exists                     missing

Joined by and, or, not and parentheses. Conditions on one tag hold on the same row; of several tags each holds on some row of the
sequence. not before conditions on one tag finds rows for which they do not hold; around several tags, or rows and what else
there is, it leaves out the sequences for which they hold.

Examples:
  tessera query 'IMU.acceleration.x > 9.8 and sequence.metadata.vehicle = "red"'
  tessera query 'GPS.status.satellites < 4' --in drive_1 --windows 500ms     when, in windows
  tessera query 'IMU.acceleration.x > 9.8' --plot                            drawn, hits marked with ▲
  tessera query 'Pressure.value < 95000' --in drive_1/baro --png baro.png
  tessera query 'topic.tag = "Image" and sequence.created > 1772366400000000000'
  tessera query 'RobotPath.poses[?].position.z > 2' --explain                what it cost, and why

On a pipe, topics and windows are one JSON object a line. A query without a hit is no failure; when that is because no topic
has such a field or tag, or because its values are of a kind that can never fit, standard error says so."#;

#[derive(Debug, Args)]
#[command(after_help = QUERY_HELP)]
pub struct QueryArguments {
    /// What must hold; conditions on one tag on the same row
    pub expression: String,
    /// Only this sequence or topic
    #[arg(long = "in", value_name = "LOCATOR")]
    pub within: Option<String>,
    /// Print when the conditions hold, in windows whose rows are no further apart than this; 1ns: of the same time
    #[arg(long, value_name = "GAP", value_parser = super::query::gap)]
    pub windows: Option<u64>,
    /// Draw the numbers that the expression names over time, around the hits: a chart for each field and topic. The width is
    /// the terminal's, or COLUMNS; NO_COLOR is heeded
    #[arg(long, conflicts_with = "windows")]
    pub plot: bool,
    /// Draw the same into a picture (PNG). A file that is there is refused
    #[arg(long, value_name = "FILE", conflicts_with = "windows")]
    pub png: Option<PathBuf>,
    /// Sequences to print at most
    #[arg(long, value_name = "SEQUENCES", value_parser = clap::value_parser!(u64).range(1..), allow_negative_numbers = true)]
    pub limit: Option<u64>,
    /// Say what was considered, skipped and by what, read, read in vain, and how long each step took
    #[arg(long)]
    pub explain: bool,
    /// Print the query as the body of the action `query` instead of asking
    #[arg(long)]
    pub json: bool,
    #[command(flatten)]
    pub server: ServerArguments,
}

/// Which session, and where the authority comes from: whoever can read the data directory may do this. The server goes on
/// running, and must be the one that runs on that directory.
#[derive(Debug, Args)]
pub struct RescueArguments {
    /// The sequence
    pub sequence: String,
    /// The session, when several are open: the first digits of its id, as `tessera ls --open` shows it
    #[arg(long, value_name = "ID")]
    pub session: Option<String>,
    /// Data directory of the running server [default: ./tessera-data]
    #[arg(long = "data-dir", value_name = "DIR")]
    pub data_dirs: Vec<PathBuf>,
    /// Configuration file (TOML) of the running server
    #[arg(long, value_name = "FILE", env = "TESSERA_CONFIG")]
    pub config: Option<PathBuf>,
    /// The server to talk to: grpc://host:port or unix:/path [default: where the configuration says that it listens]
    #[arg(long, value_name = "URI", env = "TESSERA_SERVER")]
    pub server: Option<String>,
}

#[derive(Debug, Args)]
pub struct FinalizeArguments {
    #[command(flatten)]
    pub rescue: RescueArguments,
    /// Leave out topics that were created and never written, which would make it fail
    #[arg(long)]
    pub drop_unwritten: bool,
}

#[derive(Debug, Args)]
pub struct DiscardArguments {
    #[command(flatten)]
    pub rescue: RescueArguments,
    /// Do it; without this, only say what would be deleted
    #[arg(long)]
    pub yes: bool,
}
