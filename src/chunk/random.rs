//! Random schemas and rows for tests: every type we store, nulls at every level, garbage under nulls, empty lists, slices.

use std::collections::HashMap;
use std::sync::Arc;

use arrow::array::*;
use arrow::buffer::Buffer;
use arrow::buffer::NullBuffer;
use arrow::buffer::OffsetBuffer;
use arrow::buffer::ScalarBuffer;
use arrow::datatypes::*;
use rand_chacha::ChaCha20Rng;
use rand_chacha::rand_core::RngCore;
use rand_chacha::rand_core::SeedableRng;

pub(super) struct Random(ChaCha20Rng);

/// Which types may occur.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Types {
    /// Those of direct pages.
    Direct,
    /// Also those that only the Arrow writer knows.
    Any,
}

impl Random {
    pub(super) fn new(seed: u64) -> Self {
        Self(ChaCha20Rng::seed_from_u64(seed))
    }

    pub(super) fn below(&mut self, end: usize) -> usize {
        (self.0.next_u64() % end as u64) as usize
    }

    fn chance(&mut self, of: usize) -> bool {
        self.below(of) == 0
    }

    pub(super) fn schema(&mut self, types: Types) -> SchemaRef {
        let mut fields = vec![Field::new("timestamp_ns", DataType::Int64, self.chance(4))];
        // The deepest model of the protocol, a path of poses, has six levels.
        let depth = 1 + self.below(6);
        fields.extend((0..self.below(4)).map(|number| self.field(format!("c{number}"), types, depth)));
        let at = self.below(fields.len());
        fields.swap(0, at);
        let metadata = if self.chance(2) { HashMap::from([("k".to_owned(), "v".to_owned())]) } else { HashMap::new() };
        Arc::new(Schema::new_with_metadata(fields, metadata))
    }

    fn field(&mut self, name: String, types: Types, depth: usize) -> Field {
        let data_type = self.data_type(types, depth);
        let nullable = self.chance(2) || data_type == DataType::Null;
        let field = Field::new(name, data_type, nullable);
        match self.below(3) {
            0 => field.with_metadata(HashMap::from([("description".to_owned(), "what it is".to_owned())])),
            _ => field,
        }
    }

    fn data_type(&mut self, types: Types, depth: usize) -> DataType {
        if depth > 0 && self.chance(2) {
            let name = if self.chance(2) { "item" } else { "element" }.to_owned();
            return match self.below(if types == Types::Any { 7 } else { 4 }) {
                0 => DataType::List(Arc::new(self.field(name, types, depth - 1))),
                1 => DataType::LargeList(Arc::new(self.field(name, types, depth - 1))),
                2 => DataType::FixedSizeList(Arc::new(self.field(name, types, depth - 1)), 1 + self.below(4) as i32),
                5 => DataType::ListView(Arc::new(self.field(name, types, depth - 1))),
                4 => {
                    let value = self.field("value".to_owned(), types, depth - 1);
                    let entries = Fields::from(vec![Field::new("key", DataType::Utf8, false), value]);
                    DataType::Map(Arc::new(Field::new("entries", DataType::Struct(entries), false)), false)
                }
                _ => {
                    let count = 1 + self.below(3);
                    DataType::Struct((0..count).map(|n| self.field(format!("f{n}"), types, depth - 1)).collect())
                }
            };
        }
        let mut leaves = vec![
            DataType::Boolean,
            DataType::Int8,
            DataType::Int16,
            DataType::Int32,
            DataType::Int64,
            DataType::UInt8,
            DataType::UInt16,
            DataType::UInt32,
            DataType::UInt64,
            DataType::Float16,
            DataType::Float32,
            DataType::Float64,
            DataType::Utf8,
            DataType::LargeUtf8,
            DataType::Binary,
            DataType::LargeBinary,
            DataType::FixedSizeBinary(5),
            DataType::Date32,
            DataType::Date64,
            DataType::Time32(TimeUnit::Second),
            DataType::Time32(TimeUnit::Millisecond),
            DataType::Time64(TimeUnit::Nanosecond),
            DataType::Duration(TimeUnit::Microsecond),
            DataType::Timestamp(TimeUnit::Second, None),
            DataType::Timestamp(TimeUnit::Nanosecond, Some("+02:00".into())),
        ];
        if types == Types::Any {
            leaves.extend([
                DataType::Utf8View,
                DataType::BinaryView,
                DataType::Interval(IntervalUnit::YearMonth),
                DataType::Interval(IntervalUnit::DayTime),
                DataType::Decimal32(5, 1),
                DataType::Decimal64(15, 1),
                DataType::Decimal128(7, 2),
                DataType::Decimal128(30, 4),
                DataType::Decimal256(50, 3),
                DataType::Null,
            ]);
        }
        leaves.swap_remove(self.below(leaves.len()))
    }

    /// Rows ascending in time, a slice of a longer batch.
    pub(super) fn batch(&mut self, schema: &SchemaRef, rows: usize, first: i64) -> RecordBatch {
        let (before, behind) = (self.below(3), self.below(3));
        let all = before + rows + behind;
        let mut time = first;
        let columns = schema.fields().iter().map(|field| match field.name().as_str() {
            "timestamp_ns" => {
                let times: Vec<i64> = (0..all).map(|_| (time, time += self.below(3) as i64).0).collect();
                Arc::new(Int64Array::from(times)) as ArrayRef
            }
            _ => self.array(field, all),
        });
        let batch = RecordBatch::try_new(schema.clone(), columns.collect()).unwrap();
        batch.slice(before, rows)
    }

    fn nulls(&mut self, field: &Field, len: usize) -> Option<NullBuffer> {
        if !field.is_nullable() || self.chance(4) {
            return None;
        }
        // From nearly all null over mixed to none, in stretches.
        let of = 1 + self.below(6);
        let mut valid = self.chance(2);
        Some((0..len).map(|_| (valid, valid ^= self.chance(of)).0).collect())
    }

    fn array(&mut self, field: &Field, len: usize) -> ArrayRef {
        let nulls = self.nulls(field, len);
        match field.data_type() {
            DataType::Null => Arc::new(NullArray::new(len)),
            DataType::Struct(fields) => {
                let children = fields.iter().map(|child| self.array(child, len)).collect();
                Arc::new(StructArray::try_new(fields.clone(), children, nulls).unwrap())
            }
            DataType::List(child) => {
                let offsets = self.offsets(len);
                let values = self.array(child, *offsets.last().unwrap() as usize);
                let offsets = OffsetBuffer::new(ScalarBuffer::from(offsets));
                Arc::new(ListArray::try_new(child.clone(), offsets, values, nulls).unwrap())
            }
            DataType::ListView(child) => {
                let offsets = self.offsets(len);
                let sizes: Vec<i32> = offsets.windows(2).map(|pair| pair[1] - pair[0]).collect();
                let values = self.array(child, *offsets.last().unwrap() as usize);
                let offsets = ScalarBuffer::from(offsets[..len].to_vec());
                Arc::new(
                    ListViewArray::try_new(child.clone(), offsets, ScalarBuffer::from(sizes), values, nulls).unwrap(),
                )
            }
            DataType::LargeList(child) => {
                let offsets: Vec<i64> = self.offsets(len).into_iter().map(i64::from).collect();
                let values = self.array(child, *offsets.last().unwrap() as usize);
                let offsets = OffsetBuffer::new(ScalarBuffer::from(offsets));
                Arc::new(LargeListArray::try_new(child.clone(), offsets, values, nulls).unwrap())
            }
            DataType::FixedSizeList(child, size) => {
                let values = self.array(child, len * *size as usize);
                Arc::new(FixedSizeListArray::try_new(child.clone(), *size, values, nulls).unwrap())
            }
            DataType::Map(entries, _) => {
                let offsets = self.offsets(len);
                let count = *offsets.last().unwrap() as usize;
                let DataType::Struct(fields) = entries.data_type() else { unreachable!() };
                let children = fields.iter().map(|child| self.array(child, count)).collect();
                let values = StructArray::try_new(fields.clone(), children, None).unwrap();
                let offsets = OffsetBuffer::new(ScalarBuffer::from(offsets));
                Arc::new(MapArray::try_new(entries.clone(), offsets, values, nulls, false).unwrap())
            }
            DataType::Boolean => {
                let values = (0..len).map(|_| self.chance(2)).collect();
                Arc::new(BooleanArray::new(values, nulls))
            }
            DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View => {
                let mut texts = Vec::new();
                for row in 0..len {
                    let text = self.text();
                    texts.push(nulls.as_ref().is_none_or(|nulls| nulls.is_valid(row)).then_some(text));
                }
                match field.data_type() {
                    DataType::Utf8 => Arc::new(texts.into_iter().collect::<StringArray>()),
                    DataType::LargeUtf8 => Arc::new(texts.into_iter().collect::<LargeStringArray>()),
                    _ => Arc::new(texts.into_iter().collect::<StringViewArray>()),
                }
            }
            DataType::Binary | DataType::LargeBinary | DataType::BinaryView => {
                // Values lie under nulls too: only levels may decide what is stored.
                let values: Vec<Vec<u8>> = (0..len).map(|_| self.text().into_bytes()).collect();
                match field.data_type() {
                    DataType::Binary => {
                        let (offsets, values, _) = BinaryArray::from_iter_values(values).into_parts();
                        Arc::new(BinaryArray::new(offsets, values, nulls))
                    }
                    DataType::LargeBinary => {
                        let (offsets, values, _) = LargeBinaryArray::from_iter_values(values).into_parts();
                        Arc::new(LargeBinaryArray::new(offsets, values, nulls))
                    }
                    _ => Arc::new(
                        BinaryViewArray::from_iter_values(values)
                            .into_data()
                            .into_builder()
                            .nulls(nulls)
                            .build()
                            .map(BinaryViewArray::from)
                            .unwrap(),
                    ),
                }
            }
            DataType::FixedSizeBinary(width) => {
                let bytes: Vec<u8> = (0..len * *width as usize).map(|_| self.0.next_u32() as u8).collect();
                Arc::new(FixedSizeBinaryArray::new(*width, Buffer::from_vec(bytes), nulls))
            }
            other => {
                let width = other.primitive_width().unwrap();
                let mut bytes: Vec<u8> = Vec::new();
                for _ in 0..len {
                    bytes.extend_from_slice(&self.number(other, width));
                }
                let buffer = Buffer::from_slice_ref(&bytes);
                let data = ArrayData::builder(other.clone()).len(len).add_buffer(buffer).nulls(nulls);
                make_array(data.align_buffers(true).build().unwrap())
            }
        }
    }

    /// Little-endian bytes of a value: extremes, NaNs and small ones more often than chance.
    fn number(&mut self, data_type: &DataType, width: usize) -> Vec<u8> {
        if matches!(
            data_type,
            DataType::Decimal32(..) | DataType::Decimal64(..) | DataType::Decimal128(..) | DataType::Decimal256(..)
        ) {
            let mut bytes = vec![0; width];
            bytes[..2].copy_from_slice(&(self.below(9000) as u16).to_le_bytes());
            return bytes;
        }
        match self.below(4) {
            0 => vec![0xff; width],
            1 => {
                let mut least = vec![0; width];
                least[width - 1] = 0x80;
                least
            }
            2 => {
                let mut small = vec![0; width];
                small[0] = self.below(9) as u8;
                small
            }
            _ => (0..width).map(|_| self.0.next_u32() as u8).collect(),
        }
    }

    fn text(&mut self) -> String {
        let len = match self.below(8) {
            0 => 0,
            1 => self.below(300),
            _ => self.below(16),
        };
        (0..len).map(|_| char::from(b'a' + self.below(26) as u8)).collect()
    }

    fn offsets(&mut self, len: usize) -> Vec<i32> {
        let most = 1 + self.below(5);
        let mut offsets = vec![0];
        (0..len).for_each(|_| offsets.push(offsets.last().unwrap() + self.below(most + 1) as i32));
        offsets
    }
}
