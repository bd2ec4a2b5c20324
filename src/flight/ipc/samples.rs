//! Arrow data for tests: any type, sliced and with nulls at every level.

use std::sync::Arc;

use arrow::array::Array;
use arrow::array::ArrayRef;
use arrow::array::BinaryArray;
use arrow::array::BinaryViewArray;
use arrow::array::BooleanArray;
use arrow::array::Decimal128Array;
use arrow::array::FixedSizeBinaryArray;
use arrow::array::FixedSizeListArray;
use arrow::array::Float64Array;
use arrow::array::Int64Array;
use arrow::array::LargeBinaryArray;
use arrow::array::LargeListArray;
use arrow::array::LargeStringArray;
use arrow::array::ListArray;
use arrow::array::MapArray;
use arrow::array::NullArray;
use arrow::array::RecordBatch;
use arrow::array::RecordBatchOptions;
use arrow::array::StringArray;
use arrow::array::StringViewArray;
use arrow::array::StructArray;
use arrow::array::UInt8Array;
use arrow::buffer::NullBuffer;
use arrow::buffer::OffsetBuffer;
use arrow::datatypes::DataType;
use arrow::datatypes::Field;
use arrow::datatypes::Fields;
use arrow::datatypes::Schema;
use arrow::ipc;
use bytes::Bytes;
use flatbuffers::FlatBufferBuilder;
use flatbuffers::WIPOffset;
use proptest::prelude::*;
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::RngCore;
use rand_chacha::rand_core::SeedableRng;

use super::DecodeError;
use super::StreamDecoder;

/// The schema as a Flight client sends it: the bare flatbuffer.
pub fn schema_header(schema: &Schema) -> Bytes {
    let mut tracker = ipc::writer::DictionaryTracker::new(true);
    let message = ipc::writer::IpcDataGenerator::default().schema_to_bytes_with_dictionary_tracker(
        schema,
        &mut tracker,
        &ipc::writer::IpcWriteOptions::default(),
    );
    Bytes::from(message.ipc_message)
}

/// A record batch header that claims whatever it is told to.
pub struct Claim {
    pub rows: i64,
    pub nodes: Vec<(i64, i64)>,
    pub buffers: Vec<(i64, i64)>,
    pub views: Vec<i64>,
    pub body: i64,
    pub compressed: bool,
}

impl Claim {
    pub fn header(&self) -> Bytes {
        let mut out = FlatBufferBuilder::new();
        let nodes: Vec<_> = self.nodes.iter().map(|(len, nulls)| ipc::FieldNode::new(*len, *nulls)).collect();
        let buffers: Vec<_> = self.buffers.iter().map(|(at, len)| ipc::Buffer::new(*at, *len)).collect();
        let (nodes, buffers) = (out.create_vector(&nodes), out.create_vector(&buffers));
        let views = out.create_vector(&self.views);
        let compression = self.compressed.then(|| ipc::BodyCompressionBuilder::new(&mut out).finish());
        let mut batch = ipc::RecordBatchBuilder::new(&mut out);
        batch.add_length(self.rows);
        batch.add_nodes(nodes);
        batch.add_buffers(buffers);
        if !self.views.is_empty() {
            batch.add_variadicBufferCounts(views);
        }
        if let Some(compression) = compression {
            batch.add_compression(compression);
        }
        let batch = batch.finish().as_union_value();
        let mut message = ipc::MessageBuilder::new(&mut out);
        message.add_version(ipc::MetadataVersion::V5);
        message.add_header_type(ipc::MessageHeader::RecordBatch);
        message.add_bodyLength(self.body);
        message.add_header(batch);
        let root = message.finish();
        out.finish(root, None);
        Bytes::copy_from_slice(out.finished_data())
    }
}

/// Splits a framed message (or an encoder's FlightData) into header and body, as the transport does.
pub fn header_and_body(rope: &[Bytes]) -> (Bytes, Bytes) {
    let data = <arrow_flight::FlightData as prost::Message>::decode(Bytes::from(rope.concat())).unwrap();
    (data.data_header, data.data_body)
}

/// The message of a batch that needs just one.
pub fn one(mut messages: Vec<Vec<Bytes>>) -> Vec<Bytes> {
    assert_eq!(messages.len(), 1);
    messages.remove(0)
}

impl StreamDecoder {
    /// A batch of a stream that is left as it was.
    pub fn one(&self, header: &Bytes, body: Bytes) -> Result<RecordBatch, DecodeError> {
        self.clone().receive(header, body).map(|received| received.unwrap().batch)
    }
}

pub fn data_type() -> impl Strategy<Value = DataType> {
    let leaf = prop::sample::select(vec![
        DataType::Int64,
        DataType::UInt8,
        DataType::Float64,
        DataType::Boolean,
        DataType::Decimal128(20, 3),
        DataType::FixedSizeBinary(3),
        DataType::Utf8,
        DataType::LargeUtf8,
        DataType::Binary,
        DataType::LargeBinary,
        DataType::Utf8View,
        DataType::BinaryView,
        DataType::Null,
    ]);
    leaf.prop_recursive(4, 24, 4, |inner| {
        let field = |name: &'static str| {
            (inner.clone(), any::<bool>()).prop_map(move |(data_type, nullable)| {
                Arc::new(Field::new(name, data_type.clone(), nullable || data_type == DataType::Null))
            })
        };
        let fields = prop::collection::vec(field("x"), 0..4).prop_map(|fields| {
            let named = |(at, field): (usize, Arc<Field>)| field.as_ref().clone().with_name(format!("f{at}"));
            fields.into_iter().enumerate().map(named).collect::<Fields>()
        });
        prop_oneof![
            field("item").prop_map(DataType::List),
            field("item").prop_map(DataType::LargeList),
            (field("item"), 0..4).prop_map(|(item, size)| DataType::FixedSizeList(item, size)),
            fields.prop_map(DataType::Struct),
            field("value").prop_map(|value| {
                let key = Field::new("key", DataType::Utf8, false);
                let entries = DataType::Struct(vec![Arc::new(key), value].into());
                DataType::Map(Arc::new(Field::new("entries", entries, false)), false)
            }),
        ]
    })
}

pub fn batch(types: Vec<(DataType, bool)>, rows: usize, seed: u64) -> RecordBatch {
    let mut maker = Maker(ChaCha8Rng::seed_from_u64(seed));
    let field = |(at, (data_type, nullable)): (usize, &(DataType, bool))| {
        Field::new(format!("c{at}"), data_type.clone(), *nullable || *data_type == DataType::Null)
    };
    let schema = Schema::new(types.iter().enumerate().map(field).collect::<Vec<_>>());
    let columns = schema.fields().iter().map(|field| maker.array(field, rows)).collect();
    let options = RecordBatchOptions::new().with_row_count(Some(rows));
    RecordBatch::try_new_with_options(Arc::new(schema), columns, &options).unwrap()
}

struct Maker(ChaCha8Rng);

impl Maker {
    fn below(&mut self, bound: usize) -> usize {
        self.0.next_u32() as usize % bound
    }

    fn bytes(&mut self) -> Vec<u8> {
        let len = self.below(20);
        (0..len).map(|_| b'a' + self.below(26) as u8).collect()
    }

    fn text(&mut self) -> String {
        String::from_utf8(self.bytes()).unwrap()
    }

    fn nulls(&mut self, field: &Field, len: usize) -> Option<NullBuffer> {
        let wanted = field.is_nullable() && self.below(3) > 0;
        wanted.then(|| (0..len).map(|_| self.below(3) > 0).collect::<Vec<_>>().into())
    }

    fn offsets(&mut self, len: usize) -> (Vec<usize>, usize) {
        let lens: Vec<_> = (0..len).map(|_| self.below(4)).collect();
        let sum = lens.iter().sum();
        (lens, sum)
    }

    /// An array of `len` values that is a slice of a longer one.
    fn array(&mut self, field: &Field, len: usize) -> ArrayRef {
        let before = self.below(11);
        let whole = len + before + self.below(3);
        self.whole(field, whole).slice(before, len)
    }

    fn whole(&mut self, field: &Field, len: usize) -> ArrayRef {
        let nulls = self.nulls(field, len);
        let valid = |at: usize| nulls.as_ref().is_none_or(|nulls| nulls.is_valid(at));
        macro_rules! collect {
            ($array:ty, $value:expr) => {{
                #[allow(clippy::redundant_closure_call)]
                let values: Vec<_> = (0..len).map(|at| valid(at).then(|| $value(&mut *self))).collect();
                Arc::new(values.into_iter().collect::<$array>())
            }};
        }
        match field.data_type() {
            DataType::Int64 => collect!(Int64Array, |m: &mut Self| m.0.next_u64() as i64),
            DataType::UInt8 => collect!(UInt8Array, |m: &mut Self| m.0.next_u32() as u8),
            DataType::Float64 => collect!(Float64Array, |m: &mut Self| f64::from(m.0.next_u32())),
            DataType::Boolean => collect!(BooleanArray, |m: &mut Self| m.below(2) == 1),
            DataType::Decimal128(precision, scale) => {
                let values: Decimal128Array =
                    (0..len).map(|at| valid(at).then(|| i128::from(self.0.next_u32()))).collect();
                Arc::new(values.with_precision_and_scale(*precision, *scale).unwrap())
            }
            DataType::FixedSizeBinary(width) => {
                let values = (0..len).map(|at| valid(at).then(|| self.0.next_u32().to_le_bytes()[..3].to_vec()));
                Arc::new(FixedSizeBinaryArray::try_from_sparse_iter_with_size(values, *width).unwrap())
            }
            DataType::Utf8 => collect!(StringArray, Self::text),
            DataType::LargeUtf8 => collect!(LargeStringArray, Self::text),
            DataType::Utf8View => collect!(StringViewArray, Self::text),
            DataType::Binary => collect!(BinaryArray, Self::bytes),
            DataType::LargeBinary => collect!(LargeBinaryArray, Self::bytes),
            DataType::BinaryView => collect!(BinaryViewArray, Self::bytes),
            DataType::Null => Arc::new(NullArray::new(len)),
            DataType::List(item) => {
                let (lens, sum) = self.offsets(len);
                let values = self.array(item, sum);
                Arc::new(ListArray::new(item.clone(), OffsetBuffer::from_lengths(lens), values, nulls))
            }
            DataType::LargeList(item) => {
                let (lens, sum) = self.offsets(len);
                let values = self.array(item, sum);
                Arc::new(LargeListArray::new(item.clone(), OffsetBuffer::from_lengths(lens), values, nulls))
            }
            DataType::FixedSizeList(item, size) => {
                let values = self.array(item, len * *size as usize);
                Arc::new(FixedSizeListArray::try_new_with_length(item.clone(), *size, values, nulls, len).unwrap())
            }
            DataType::Struct(fields) => {
                let columns = fields.iter().map(|field| self.array(field, len)).collect();
                Arc::new(StructArray::try_new_with_length(fields.clone(), columns, nulls, len).unwrap())
            }
            DataType::Map(entries, ordered) => {
                let (lens, sum) = self.offsets(len);
                let values = self.array(entries, sum);
                let values = values.as_any().downcast_ref::<StructArray>().unwrap().clone();
                Arc::new(MapArray::new(entries.clone(), OffsetBuffer::from_lengths(lens), values, nulls, *ordered))
            }
            other => panic!("no sample of {other}"),
        }
    }
}

fn finish_schema<'a>(mut out: FlatBufferBuilder<'a>, field: WIPOffset<ipc::Field<'a>>) -> Bytes {
    let fields = out.create_vector(&[field]);
    let mut schema = ipc::SchemaBuilder::new(&mut out);
    schema.add_fields(fields);
    let schema = schema.finish().as_union_value();
    let mut message = ipc::MessageBuilder::new(&mut out);
    message.add_version(ipc::MetadataVersion::V5);
    message.add_header_type(ipc::MessageHeader::Schema);
    message.add_header(schema);
    let root = message.finish();
    out.finish(root, None);
    Bytes::copy_from_slice(out.finished_data())
}

/// A schema of structs, `levels` deep, in which every field names the one child `width` times.
pub fn shared_schema_header(levels: usize, width: usize) -> Bytes {
    let mut out = FlatBufferBuilder::new();
    let mut children = Vec::new();
    for _ in 0..levels {
        let names = out.create_vector(&children);
        let kind = ipc::Struct_Builder::new(&mut out).finish().as_union_value();
        let mut field = ipc::FieldBuilder::new(&mut out);
        field.add_type_type(ipc::Type::Struct_);
        field.add_type_(kind);
        field.add_children(names);
        children = vec![field.finish(); width];
    }
    let top = children[0];
    finish_schema(out, top)
}

pub fn deep_schema_header(levels: usize) -> Bytes {
    shared_schema_header(levels, 1)
}
