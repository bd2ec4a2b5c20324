//! Goal: any cut of the same bytes gives the same messages; nothing a client sends panics or allocates beyond its limits.
//! Method: messages are encoded by prost, cut at random, and compared; the boundaries are tried one by one.

use std::io::Write;

use arrow_flight::FlightData;
use arrow_flight::FlightDescriptor;
use bytes::BufMut;
use flate2::Compression;
use flate2::write::GzEncoder;
use proptest::prelude::*;
use prost::Message;

use super::*;
use crate::flight::transport::pool::Pool;

const MAX: usize = 4 << 20;

fn framed(flag: u8, payload: &[u8]) -> Vec<u8> {
    let mut out = vec![flag];
    out.put_u32(payload.len() as u32);
    out.extend(payload);
    out
}

fn gzip(payload: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(payload).unwrap();
    encoder.finish().unwrap()
}

/// Drives the deframer over the pieces; the body lengths it asked buffers for come too.
fn run(encoding: Encoding, pieces: &[&[u8]]) -> Result<(Vec<PutMessage>, Vec<usize>, bool), ReceiveError> {
    let pool = Pool::new(1 << 20);
    let mut deframer = Deframer::new(encoding, MAX);
    let (mut messages, mut asked) = (Vec::new(), Vec::new());
    for piece in pieces {
        let mut frame = Bytes::copy_from_slice(piece);
        loop {
            match deframer.step(&mut frame)? {
                Step::Dry => break,
                Step::Again => {}
                Step::BodyWanted(len) => {
                    asked.push(len);
                    deframer.body(pool.take(len, None));
                }
                Step::Message(message) => messages.push(message),
            }
        }
        assert!(frame.is_empty(), "a dry deframer left {} bytes", frame.len());
    }
    Ok((messages, asked, deframer.inside()))
}

fn field(number: u32, payload: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    prost::encoding::bytes::encode(number, &payload.to_vec(), &mut out);
    out
}

fn flight_data() -> impl Strategy<Value = FlightData> {
    let descriptor =
        proptest::option::of(prop::collection::vec(any::<u8>(), 0..50).prop_map(FlightDescriptor::new_cmd));
    let bytes = |max| prop::collection::vec(any::<u8>(), 0..max).prop_map(Bytes::from);
    (descriptor, bytes(300), bytes(20), bytes(9000)).prop_map(
        |(flight_descriptor, data_header, app_metadata, data_body)| FlightData {
            flight_descriptor,
            data_header,
            app_metadata,
            data_body,
        },
    )
}

fn expected(data: &FlightData) -> PutMessage {
    PutMessage {
        descriptor: data.flight_descriptor.as_ref().map(|descriptor| descriptor.encode_to_vec().into()),
        header: data.data_header.clone(),
        app_metadata: data.app_metadata.clone(),
        body: data.data_body.clone(),
    }
}

proptest! {
    #[test]
    fn any_cut_gives_the_same_messages(
        sent in prop::collection::vec((flight_data(), any::<bool>()), 0..5),
        cuts in prop::collection::vec(any::<prop::sample::Index>(), 0..12),
    ) {
        let mut stream = Vec::new();
        for (data, compressed) in &sent {
            let payload = data.encode_to_vec();
            stream.extend(if *compressed { framed(1, &gzip(&payload)) } else { framed(0, &payload) });
        }
        let mut at: Vec<usize> = cuts.iter().map(|cut| cut.index(stream.len() + 1)).collect();
        at.extend([0, stream.len()]);
        at.sort_unstable();
        let pieces: Vec<&[u8]> = at.windows(2).map(|pair| &stream[pair[0]..pair[1]]).collect();
        let (messages, _, inside) = run(Encoding::Gzip, &pieces).unwrap();
        prop_assert_eq!(messages, sent.iter().map(|(data, _)| expected(data)).collect::<Vec<_>>());
        prop_assert!(!inside);
    }

    #[test]
    fn garbage_never_panics(bytes in prop::collection::vec(any::<u8>(), 0..200), flag in 0u8..2) {
        let _ = run(Encoding::Gzip, &[&bytes]);
        let _ = run(Encoding::Gzip, &[&framed(flag, &bytes)]);
        let _ = run(Encoding::Gzip, &[&framed(1, &gzip(&bytes))]);
    }

    #[test]
    fn a_truncated_message_is_never_delivered(data in flight_data(), cut in any::<prop::sample::Index>()) {
        let stream = framed(0, &data.encode_to_vec());
        let (messages, _, inside) = run(Encoding::Identity, &[&stream[..cut.index(stream.len())]]).unwrap();
        prop_assert!(messages.is_empty());
        prop_assert_eq!(inside, cut.index(stream.len()) > 0);
    }
}

#[test]
fn fields_come_in_any_order_among_unknown_ones() {
    let mut payload = field(1000, b"body");
    payload.extend([(7 << 3), 0x96, 0x01]); // varint
    payload.extend([(8 << 3) | 1, 1, 2, 3, 4, 5, 6, 7, 8]);
    payload.extend([(9 << 3) | 5, 1, 2, 3, 4]);
    payload.extend(field(77, &[0xff; 300]));
    payload.extend(field(3, b"app"));
    payload.extend(field(2, b"header"));
    payload.extend(field(1, b""));
    let stream = framed(0, &payload);
    let single: Vec<&[u8]> = stream.chunks(1).collect();
    for pieces in [vec![stream.as_slice()], single] {
        let (messages, ..) = run(Encoding::Identity, &pieces).unwrap();
        let [message] = messages.as_slice() else { panic!("{messages:?}") };
        assert_eq!((&message.body[..], &message.header[..]), (&b"body"[..], &b"header"[..]));
        assert_eq!((&message.app_metadata[..], message.descriptor.as_deref()), (&b"app"[..], Some(&b""[..])));
        assert_eq!(message.body.as_ptr().align_offset(64), 0);
    }
}

#[test]
fn limits_hold_before_anything_is_allocated() {
    let refused = |bytes: &[u8]| run(Encoding::Gzip, &[bytes]).err();
    let mut prefix = vec![0];
    prefix.put_u32(MAX as u32 + 1);
    assert_eq!(refused(&prefix), Some(ReceiveError::MessageTooLarge { bytes: MAX + 1, max: MAX }));
    for (number, max) in [(1u32, 64 << 10), (2, 1 << 20), (3, 4 << 10)] {
        let allowed = framed(0, &field(number, &vec![1; max]));
        assert_eq!(run(Encoding::Identity, &[&allowed]).unwrap().0.len(), 1);
        let head = framed(0, &field(number, &vec![1; max + 1]))[..12].to_vec(); // the declaration alone is refused
        let Some(ReceiveError::FieldTooLarge { bytes, max: named, .. }) = refused(&head) else {
            panic!("field {number}")
        };
        assert_eq!((bytes, named), (max as u64 + 1, max));
    }
    let past_end = [0, 0, 0, 0, 4, 0xc2, 0x3e, 200, 1];
    assert!(matches!(refused(&past_end), Some(ReceiveError::Malformed { .. })));
    let twice = framed(0, &[field(1000, b"a"), field(1000, b"b")].concat());
    assert!(matches!(refused(&twice), Some(ReceiveError::Malformed { .. })));
}

#[test]
fn a_gzip_bomb_is_refused_at_the_message_limit() {
    let bomb = framed(1, &gzip(&field(99, &vec![0; 64 << 20])));
    assert!(bomb.len() < MAX / 4, "the compressed form must pass the first limit: {}", bomb.len());
    let error = run(Encoding::Gzip, &[&bomb]).err();
    assert_eq!(error, Some(ReceiveError::InflatedTooLarge { max: MAX }), "refused at its declared length");
    let many = framed(1, &gzip(&field(99, &vec![0; 1 << 20]).repeat(8)));
    assert_eq!(run(Encoding::Gzip, &[&many]).err(), Some(ReceiveError::InflatedTooLarge { max: MAX }));
}

#[test]
fn damaged_gzip_and_unannounced_compression_are_refused() {
    let good = gzip(&field(1000, &[5; 3000]));
    for at in [0, good.len() / 2, good.len() - 1] {
        let mut bad = good.clone();
        bad[at] ^= 0x55;
        assert!(run(Encoding::Gzip, &[&framed(1, &bad)]).is_err(), "byte {at}");
    }
    assert!(run(Encoding::Gzip, &[&framed(1, &good[..good.len() - 3])]).is_err());
    assert!(run(Encoding::Identity, &[&framed(1, &good)]).is_err());
    assert!(run(Encoding::Gzip, &[&framed(2, &good)]).is_err());
}
