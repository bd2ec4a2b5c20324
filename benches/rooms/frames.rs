//! What a DoPut's bytes go through before they are batches, and a DoGet's batches before they are bytes.

use arrow::array::RecordBatch;
use bytes::BufMut;
use bytes::Bytes;
use bytes::BytesMut;

use tessera::flight::ipc::DecodeLimits;
use tessera::flight::ipc::Framer;
use tessera::flight::ipc::StreamDecoder;
use tessera::flight::transport::Deframer;
use tessera::flight::transport::Encoding;
use tessera::flight::transport::Pool;
use tessera::flight::transport::PutMessage;
use tessera::flight::transport::Step;

use crate::case::Amount;
use crate::case::Case;
use crate::case::Ready;
use crate::case::Scale;
use crate::case::fold;
use crate::rows;
use crate::rows::Make;

const MESSAGE_BYTES_MAX: usize = 64 << 20;
/// HTTP/2 frames as our own client sends them, and as others do.
const FRAME_BYTES_LARGE: usize = 1 << 20;
const FRAME_BYTES_SMALL: usize = 16 << 10;

pub fn cases(scale: Scale) -> Vec<Case> {
    let blobs = move || rows::blobs(scale.pick(4, 64));
    let sweeps = move || rows::sweeps(scale.pick(2, 32));
    let readings = move || rows::readings(scale.pick(8, 128), 10_000);
    let small = move || rows::readings(scale.pick(400, 6400), 100);
    vec![
        deframe("deframe/blobs-1m-frames", 0x7f7e_be97_0ae1_c76a, blobs, FRAME_BYTES_LARGE),
        deframe("deframe/imu100-16k-frames", 0x4ba0_19b0_e26f_81c6, small, FRAME_BYTES_SMALL),
        decode("ipc/blobs", 0x4f97_e610_d245_0be9, blobs),
        decode("ipc/lidar", 0x11f6_5a56_dfb0_8109, sweeps),
        decode("ipc/imu10k", 0xfb01_dd77_98e7_a70f, readings),
        decode("ipc/imu100", 0xb626_81dd_2aef_8498, small),
        frame("frame/blobs", 0x1776_78fc_2691_8f49, blobs),
        frame("frame/lidar", 0x9327_8d5c_9213_e325, sweeps),
        frame("frame/imu10k", 0x87d8_d5b0_bd5b_5d79, readings),
        frame("frame/imu100", 0xc76b_0529_23b8_e447, small),
    ]
}

/// The bytes of a DoPut into messages: one copy, into recycled buffers.
fn deframe(name: &'static str, digest: u64, make: impl Make, frame_bytes: usize) -> Case {
    Case::new(name, digest, move || {
        let batches = make();
        let stream = stream(&batches);
        let frames: Vec<Bytes> = stream.chunks(frame_bytes).map(|frame| stream.slice_ref(frame)).collect();
        let pool = Pool::new(16 << 20);
        Ready::new(Amount::Bytes(stream.len() as u64), move |watch| {
            let frames = frames.clone();
            watch.time(|| {
                let mut digest = 0;
                take(frames, &pool, |message| {
                    let tail = message.body.last().copied().unwrap_or_default();
                    digest = fold(digest, message.body.len() as u64 * 256 + u64::from(tail));
                });
                digest
            })
        })
    })
}

/// Messages into validated batches, which share their memory.
fn decode(name: &'static str, digest: u64, make: impl Make) -> Case {
    Case::new(name, digest, move || {
        let batches = make();
        let mut messages = Vec::new();
        let stream = stream(&batches);
        take([stream], &Pool::new(0), |message| messages.push(message));
        let schema = messages.remove(0);
        let limits = DecodeLimits { message_bytes_max: MESSAGE_BYTES_MAX };
        Ready::new(Amount::Rows(rows::count(&batches)), move |watch| {
            let received = watch.time(|| {
                let mut decoder = StreamDecoder::begin(schema.header.clone(), limits).expect("a schema");
                let batches = messages.iter().map(|message| {
                    let received = decoder.receive(&message.header, message.body.clone()).expect("a batch");
                    received.expect("no dictionary").batch
                });
                batches.collect::<Vec<_>>()
            });
            rows::digest(&received)
        })
    })
}

/// Batches into the pieces of messages, most of them the batches' memory.
fn frame(name: &'static str, digest: u64, make: impl Make) -> Case {
    Case::new(name, digest, move || {
        let batches = make();
        Ready::new(Amount::Rows(rows::count(&batches)), move |watch| {
            let pieces = watch.time(|| {
                let (mut framer, schema) = Framer::begin(&batches[0].schema()).expect("a schema");
                let messages = batches.iter().flat_map(|batch| framer.batch(batch).expect("a batch"));
                schema.into_iter().chain(messages.flatten()).collect::<Vec<Bytes>>()
            });
            pieces.iter().fold(0, |digest, piece| fold(digest, piece.len() as u64))
        })
    })
}

/// What a client sends: each message behind gRPC's flag and length, the schema first.
fn stream(batches: &[RecordBatch]) -> Bytes {
    let (mut framer, schema) = Framer::begin(&batches[0].schema()).expect("a schema");
    let messages = batches.iter().flat_map(|batch| framer.batch(batch).expect("a batch"));
    let mut out = BytesMut::new();
    for message in [schema].into_iter().chain(messages) {
        out.put_u8(0);
        out.put_u32(message.iter().map(Bytes::len).sum::<usize>() as u32);
        message.into_iter().for_each(|piece| out.put(piece));
    }
    out.freeze()
}

fn take(frames: impl IntoIterator<Item = Bytes>, pool: &Pool, mut done: impl FnMut(PutMessage)) {
    let mut deframer = Deframer::new(Encoding::Identity, MESSAGE_BYTES_MAX);
    for mut frame in frames {
        loop {
            match deframer.step(&mut frame).expect("what the framer made") {
                Step::Dry => break,
                Step::Again => {}
                Step::BodyWanted(len) => deframer.body(pool.take(len, None)),
                Step::Message(message) => done(message),
            }
        }
    }
    assert!(!deframer.inside(), "the stream ends inside a message");
}
