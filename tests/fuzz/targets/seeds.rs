//! Valid inputs of every target, made by the code that writes them: mutation starts near what is accepted.

use std::sync::Arc;

use arrow::array::ArrayRef;
use arrow::array::BinaryArray;
use arrow::array::BinaryViewArray;
use arrow::array::BooleanArray;
use arrow::array::Date64Array;
use arrow::array::Decimal128Array;
use arrow::array::Decimal256Array;
use arrow::array::DictionaryArray;
use arrow::array::DurationSecondArray;
use arrow::array::FixedSizeBinaryArray;
use arrow::array::FixedSizeListArray;
use arrow::array::Float32Array;
use arrow::array::Float64Array;
use arrow::array::Int64Array;
use arrow::array::LargeStringArray;
use arrow::array::ListArray;
use arrow::array::MapBuilder;
use arrow::array::MapFieldNames;
use arrow::array::NullArray;
use arrow::array::RecordBatch;
use arrow::array::StringArray;
use arrow::array::StringBuilder;
use arrow::array::StringViewArray;
use arrow::array::StructArray;
use arrow::array::Time32MillisecondArray;
use arrow::array::TimestampMicrosecondArray;
use arrow::array::UInt16Array;
use arrow::array::UInt64Array;
use arrow::datatypes::Float32Type;
use arrow::datatypes::Int16Type;
use arrow::datatypes::i256;
use arrow::ipc::writer::StreamWriter;
use arrow_flight::FlightData;
use arrow_flight::FlightDescriptor;
use bytes::BufMut;
use prost::Message;
use tessera::auth::Ticket;
use tessera::auth::TicketSealer;
use tessera::catalog::ZoneMap;
use tessera::catalog::encode_directory;
use tessera::catalog::encode_record;
use tessera::chunk::ChunkEncoder;
use tessera::chunk::ChunkIdentity;
use tessera::chunk::Effort;
use tessera::io::BlockHasher;
use tessera::model::ChunkId;
use tessera::model::ChunkRecord;
use tessera::model::DeviceNumber;
use tessera::model::OntologyTag;
use tessera::model::SequenceId;
use tessera::model::SerializationFormat;
use tessera::model::SessionId;
use tessera::model::ShardIndex;
use tessera::model::TimeRange;
use tessera::model::TopicId;
use tessera::model::TopicName;
use uuid::Uuid;

use super::records::KEY;

pub fn identity() -> ChunkIdentity {
    let id = Uuid::from_u128;
    ChunkIdentity {
        chunk: ChunkId(id(1)),
        device: DeviceNumber(2),
        shard: ShardIndex(1),
        number: 7,
        incarnation: 4,
        sequence: SequenceId(id(2)),
        session: SessionId(id(3)),
        topic: TopicId(id(4)),
        name: TopicName::parse("a/b").unwrap(),
        tag: OntologyTag::parse("IMU").unwrap(),
        format: SerializationFormat::Default,
    }
}

/// Of a chunk's pages.
pub fn checksums(pages: &[u8]) -> Vec<u64> {
    let mut hasher = BlockHasher::new(identity().chunk);
    hasher.update(pages);
    hasher.finish()
}

/// Small batches, one per family of types.
fn batches() -> Vec<RecordBatch> {
    let time = || Arc::new(Int64Array::from(vec![1, 2, 7])) as ArrayRef;
    let texts = vec![Some("a"), None, Some("a longer text than twelve bytes")];
    let points = ListArray::from_iter_primitive::<Float32Type, _, _>([Some(vec![Some(1.0), None]), None, Some(vec![])]);
    let pairs = vec![Some(vec![Some(1), Some(2)]), None, Some(vec![None, Some(4)])];
    let pairs = FixedSizeListArray::from_iter_primitive::<Int16Type, _, _>(pairs, 2);
    let names = MapFieldNames { entry: "entries".into(), key: "key".into(), value: "value".into() };
    let mut map = MapBuilder::new(Some(names), StringBuilder::new(), StringBuilder::new());
    for row in 0..3 {
        map.keys().append_value("k");
        map.values().append_option((row != 1).then_some("v"));
        map.append(true).unwrap();
    }
    let inner = StructArray::from(vec![
        (
            Arc::new(arrow::datatypes::Field::new("x", arrow::datatypes::DataType::Float64, true)),
            Arc::new(Float64Array::from(vec![Some(1.5), None, Some(f64::NAN)])) as ArrayRef,
        ),
        (
            Arc::new(arrow::datatypes::Field::new("n", arrow::datatypes::DataType::UInt16, false)),
            Arc::new(UInt16Array::from(vec![1, 2, 3])) as ArrayRef,
        ),
    ]);
    let columns: Vec<Vec<ArrayRef>> = vec![
        vec![
            Arc::new(Float32Array::from(vec![1.0, 2.0, 3.0])),
            Arc::new(BooleanArray::from(vec![Some(true), None, Some(false)])),
        ],
        vec![
            Arc::new(BinaryArray::from(vec![b"ab".as_slice(), b"", b"c"])),
            Arc::new(StringArray::from(texts.clone())),
        ],
        vec![Arc::new(points), Arc::new(pairs)],
        vec![Arc::new(inner), Arc::new(LargeStringArray::from(texts.clone()))],
        vec![
            Arc::new(StringViewArray::from(texts)),
            Arc::new(BinaryViewArray::from(vec![b"xy".as_slice(), &[7; 40], b""])),
        ],
        vec![
            Arc::new(Decimal128Array::from(vec![1, -2, 3]).with_precision_and_scale(9, 2).unwrap()),
            Arc::new(FixedSizeBinaryArray::try_from_iter([[1, 2], [3, 4], [5, 6]].iter()).unwrap()),
        ],
        vec![Arc::new(map.finish()), Arc::new(NullArray::new(3))],
        vec![
            Arc::new(Date64Array::from(vec![0, 86_400_000, -1])),
            Arc::new(Time32MillisecondArray::from(vec![0, 1, 86_399_999])),
        ],
        vec![
            Arc::new(TimestampMicrosecondArray::from(vec![Some(1), None, Some(-1)]).with_timezone("UTC")),
            Arc::new(DurationSecondArray::from(vec![1, 2, 3])),
        ],
        vec![
            Arc::new(Decimal256Array::from_iter_values([1, -2, 3].map(i256::from_i128))),
            Arc::new(UInt64Array::from(vec![0, 1, u64::MAX])),
        ],
    ];
    let batch = |columns: Vec<ArrayRef>| {
        let named = columns.into_iter().zip(["a", "b"]).map(|(column, name)| (name, column));
        RecordBatch::try_from_iter_with_nullable(
            std::iter::once(("timestamp_ns", time(), false)).chain(named.map(|(name, column)| (name, column, true))),
        )
    };
    columns.into_iter().map(|columns| batch(columns).unwrap()).collect()
}

/// Header and body of every message of an IPC stream of two batches.
fn messages(batch: &RecordBatch) -> Vec<(Vec<u8>, Vec<u8>)> {
    let mut writer = StreamWriter::try_new(Vec::new(), &batch.schema()).unwrap();
    writer.write(batch).unwrap();
    writer.write(&batch.slice(1, 2)).unwrap();
    let stream = writer.into_inner().unwrap();
    let (mut rest, mut found) = (stream.as_slice(), Vec::new());
    while let Some((prefix, after)) = rest.split_first_chunk::<8>() {
        let len = u32::from_le_bytes([prefix[4], prefix[5], prefix[6], prefix[7]]) as usize;
        if len == 0 {
            break;
        }
        let (header, after) = after.split_at(len);
        let body = arrow::ipc::root_as_message(header).unwrap().bodyLength() as usize;
        let (body, after) = after.split_at(body);
        found.push((header.to_vec(), body.to_vec()));
        rest = after;
    }
    found
}

pub fn ipc() -> Vec<Vec<u8>> {
    let stream = |batch: &RecordBatch| {
        let message = |(header, body): (Vec<u8>, Vec<u8>)| {
            let lengths = [header.len(), body.len()].map(|len| u16::try_from(len).unwrap().to_le_bytes());
            [lengths.as_flattened(), &header, &body].concat()
        };
        messages(batch).into_iter().flat_map(message).collect()
    };
    batches().iter().chain([&coded()]).map(stream).collect()
}

/// A batch whose texts travel as a dictionary.
fn coded() -> RecordBatch {
    let texts: DictionaryArray<Int16Type> = [Some("left"), None, Some("right")].into_iter().collect();
    let time = Arc::new(Int64Array::from(vec![1, 2, 7])) as ArrayRef;
    RecordBatch::try_from_iter_with_nullable([("timestamp_ns", time, false), ("a", Arc::new(texts), true)]).unwrap()
}

fn command() -> FlightDescriptor {
    let token = Uuid::from_u128(5);
    FlightDescriptor::new_cmd(format!(r#"{{"resource_locator":"a/b","topic_uuid":"{token}"}}"#))
}

pub fn deframer() -> Vec<Vec<u8>> {
    let batch = &batches()[0];
    let mut frames = Vec::new();
    for (number, (header, body)) in messages(batch).into_iter().enumerate() {
        let flight_descriptor = (number == 0).then(command);
        let message = FlightData {
            flight_descriptor,
            data_header: header.into(),
            data_body: body.into(),
            app_metadata: vec![1, 2].into(),
        };
        let message = message.encode_to_vec();
        frames.push(0);
        frames.put_u32(u32::try_from(message.len()).unwrap());
        frames.extend(message);
    }
    // A stored (not deflated) gzip of nothing but a header field, marked compressed.
    let gzip = [0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 3, 0x12, 0xe2, 0x02, 0x00];
    let zipped = [[1, 0, 0, 0, gzip.len() as u8].as_slice(), &gzip].concat();
    vec![
        [[0, 1].as_slice(), &frames].concat(),
        [[0, 255].as_slice(), &frames].concat(),
        [[1, 3].as_slice(), &zipped].concat(),
    ]
}

pub fn action() -> Vec<Vec<u8>> {
    let uuid = Uuid::from_u128(5);
    let bodies = [
        ("info", "{}".to_owned()),
        (
            "sequence_create",
            r#"{"locator":"drive","user_metadata":{"a":[1,2.5e3,null,true,"\u00e9"],"b":{"c":{}}}}"#.to_owned(),
        ),
        ("sequence_create", r#"{"name":"drive","user_metadata":null}"#.to_owned()),
        ("session_create", r#"{"locator":"drive"}"#.to_owned()),
        ("session_finalize", format!(r#"{{"session_uuid":"{uuid}"}}"#)),
        ("session_delete", format!(r#"{{"locator":"drive:{}"}}"#, uuid.simple())),
        (
            "topic_create",
            format!(
                r#"{{"session_uuid":"{uuid}","locator":"drive/a/b","serialization_format":"default","ontology_tag":"IMU","user_metadata":{{}}}}"#
            ),
        ),
        (
            "topic_create",
            format!(
                r#"{{"sequence_key":"{uuid}","name":"drive/a","serialization_format":"ragged","ontology_tag":"x"}}"#
            ),
        ),
        (
            "topic_notification_create",
            r#"{"locator":"drive/a","notification_type":"error","message":"no \ud83d\ude00"}"#.to_owned(),
        ),
        ("sequence_notify_create", r#"{"name":"drive","notify_type":"error","msg":"x"}"#.to_owned()),
        ("topic_notification_list", r#"{"locator":"/drive/a/"}"#.to_owned()),
        ("sequence_abort", format!(r#"{{"name":"drive","key":"{uuid}"}}"#)),
    ];
    bodies.into_iter().map(|(kind, body)| format!("{kind}\n{body}").into_bytes()).collect()
}

pub fn descriptor() -> Vec<Vec<u8>> {
    let range = r#"{"resource_locator":"a/b","timestamp_ns_start":-5,"timestamp_ns_end":9223372036854775807}"#;
    let old = format!(r#"{{"topic":{{"name":"a/b","key":"{}"}}}}"#, Uuid::from_u128(5));
    let commands = [range, &old].map(|text| FlightDescriptor::new_cmd(text.to_owned()));
    let path = FlightDescriptor::new_path(vec!["a/b".to_owned()]);
    commands.into_iter().chain([path, command()]).map(|descriptor| descriptor.encode_to_vec()).collect()
}

pub fn locator() -> Vec<Vec<u8>> {
    let texts =
        ["a", "/a/", "a/b/c", "a:00000000000040008000000000000000", "a/../b", "a//b", "%2e%2e/x", "a\\b", "é", "a/b\0"];
    texts.iter().map(|text| text.as_bytes().to_vec()).collect()
}

pub fn ticket() -> Vec<Vec<u8>> {
    let seal = |range| TicketSealer::new([7; 32]).seal(&Ticket { topic: KEY.topic, range });
    vec![seal(TimeRange::ALL), seal(TimeRange::new(Some(3), Some(9)).unwrap()), b"a/b".to_vec(), vec![1; 66]]
}

fn encoded(batch: &RecordBatch, effort: Effort) -> (Vec<u8>, ChunkRecord) {
    let mut encoder = ChunkEncoder::new(identity(), &batch.schema()).unwrap();
    let mut file = Vec::new();
    for part in [batch.clone(), batch.slice(0, 2)] {
        encoder.row_group(&[part], effort).unwrap().iter().for_each(|piece| file.extend_from_slice(piece));
    }
    encoder.last().iter().for_each(|piece| file.extend_from_slice(piece));
    let (tail, record) = encoder.finish(&checksums(&file)).unwrap();
    file.extend_from_slice(&tail);
    (file, record)
}

pub fn chunk() -> Vec<Vec<u8>> {
    let mut seeds = Vec::new();
    for batch in batches() {
        for effort in [Effort::Direct, Effort::Compact] {
            let (file, record) = encoded(&batch, effort);
            let record = encode_record(&record).unwrap();
            seeds.push([u16::try_from(record.len()).unwrap().to_le_bytes().as_slice(), &record, &file].concat());
        }
    }
    seeds
}

fn records() -> Vec<ChunkRecord> {
    batches().iter().map(|batch| encoded(batch, Effort::Direct).1).collect()
}

pub fn record() -> Vec<Vec<u8>> {
    records().iter().map(|record| encode_record(record).unwrap()).collect()
}

pub fn segment() -> Vec<Vec<u8>> {
    let records = records();
    let with = |which: u8, bytes: Vec<u8>| [vec![which], bytes].concat();
    vec![
        with(0, encode_directory(KEY, &records).unwrap()),
        with(0, encode_directory(KEY, &records[..1]).unwrap()),
        with(1, ZoneMap::of(&records).unwrap().encode()),
    ]
}
