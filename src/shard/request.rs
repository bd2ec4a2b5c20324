//! What crosses the bridge to a shard.

use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use futures::channel::oneshot;

use crate::catalog::SegmentView;
use crate::catalog::Tombstone;
use crate::model::SequenceId;
use crate::model::SessionId;
use crate::model::TimeBounds;
use crate::model::TimeRange;
use crate::model::TopicHead;
use crate::model::TopicId;
use crate::model::TopicName;
use crate::runtime::Permit;
use crate::runtime::Receiver;
use crate::runtime::Sender;
use crate::store::RecoveryReport;

use super::counted::Counted;
use super::error::PutError;
use super::error::ReadError;
use super::error::ShardError;
use super::files::Room;
use super::filter::Filter;
use super::put_task::PutSignals;
use super::read_budget::Loan;
use super::read_budget::ReadAccount;
use super::recovery::Stored;
use super::scrub::ScrubRequest;
use super::scrub::Scrubbed;

/// A topic about to be written.
#[derive(Clone, Debug)]
pub struct TopicSpec {
    pub head: TopicHead,
    pub sequence: SequenceId,
    pub schema: SchemaRef,
}

/// What is on disk once a put has ended.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PutReceipt {
    pub rows: u64,
    pub chunks: u64,
}

/// A topic about to be read.
#[derive(Clone, Debug)]
pub struct ReadRequest {
    pub topic: TopicId,
    pub session: SessionId,
    pub name: TopicName,
    /// Segments that overlap the range.
    pub segments: Vec<SegmentView>,
    pub range: TimeRange,
    /// Bytes of a batch to aim at. A larger row is a batch of its own.
    pub batch_bytes: usize,
    /// Rows of a batch, at most.
    pub batch_rows: usize,
    /// Which rows and columns; `None`: all.
    pub filter: Option<Arc<Filter>>,
}

/// What lies inside a time range, exactly.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Window {
    /// First and last timestamp inside; `None` when no row is.
    pub bounds: Option<TimeBounds>,
    pub rows: u64,
}

/// To one topic's writer.
pub(super) enum WriterCommand {
    /// * `paid`: for what no received message pays for; kept until its rows are written.
    /// * `waiting`: counts it in the shard's backlog until it is taken.
    Batch {
        batch: RecordBatch,
        bytes: usize,
        paid: Option<Permit>,
        waiting: Counted,
    },
    Close {
        reply: oneshot::Sender<Result<PutReceipt, PutError>>,
    },
    Interrupt {
        why: String,
        reply: oneshot::Sender<Result<PutReceipt, PutError>>,
    },
    Discard {
        reply: oneshot::Sender<()>,
    },
}

/// A batch on its way to a reader's client, and the memory it is in.
pub(super) struct Delivery {
    pub batch: RecordBatch,
    pub loan: Loan,
}

pub(super) type Served = Result<Delivery, ReadError>;

/// To a shard.
pub(super) enum ShardRequest {
    OpenWriter {
        spec: Box<TopicSpec>,
        inbox: Receiver<WriterCommand>,
        signals: PutSignals,
    },
    OpenReader {
        request: Box<ReadRequest>,
        account: ReadAccount,
        outbox: Sender<Served>,
    },
    Window {
        request: Box<ReadRequest>,
        reply: oneshot::Sender<Result<Window, ReadError>>,
    },
    Recover {
        reply: oneshot::Sender<Result<RecoveryReport, ShardError>>,
    },
    Settle {
        session: SessionId,
        reply: oneshot::Sender<Result<(), ShardError>>,
    },
    Audit {
        session: SessionId,
        reply: oneshot::Sender<Result<RecoveryReport, ShardError>>,
    },
    Stored {
        reply: oneshot::Sender<Result<Stored, ShardError>>,
    },
    Purge {
        tombstone: Box<Tombstone>,
        reply: oneshot::Sender<Result<(), ShardError>>,
    },
    WriteManifest {
        session: SessionId,
        bytes: Vec<u8>,
        reply: oneshot::Sender<Result<(), ShardError>>,
    },
    ReadManifest {
        session: SessionId,
        reply: oneshot::Sender<Result<Vec<u8>, ShardError>>,
    },
    RemoveManifests {
        sessions: Vec<SessionId>,
        reply: oneshot::Sender<Result<(), ShardError>>,
    },
    Bury {
        session: SessionId,
        topic: Option<TopicId>,
        reply: oneshot::Sender<Result<(), ShardError>>,
    },
    Measure {
        reply: oneshot::Sender<Vec<Room>>,
    },
    Scrub {
        request: Box<ScrubRequest>,
        reply: oneshot::Sender<Result<Scrubbed, ShardError>>,
    },
    /// Memory is short: whoever holds rows that wait for company lets them go.
    Relieve,
}
