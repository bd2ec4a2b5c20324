//! The layout of a batch: every length its header declares, checked against the schema and the body before one byte of
//! the body is interpreted.
//!
//! What this promises to the decoder behind it: as many nodes, buffers and view counts as the schema calls for; every
//! buffer inside the body and long enough for its rows; and, over the whole batch, at most the allowed rows and logical
//! bytes. Values (offsets, UTF-8, nulls where none may be) are the decoder's to check.

use arrow::datatypes::DataType;
use arrow::datatypes::Field;
use arrow::datatypes::Schema;
use arrow::ipc;

use super::DecodeError;
use super::DecodeLimits;

/// Walks the fields of a schema over the nodes and buffers of one batch.
pub(super) struct Layout<'a> {
    body: &'a [u8],
    nodes: Vec<&'a ipc::FieldNode>,
    buffers: Vec<&'a ipc::Buffer>,
    views: Vec<i64>,
    next_node: usize,
    next_buffer: usize,
    next_view: usize,
    logical_bytes: u64,
    logical_bytes_max: u64,
}

impl<'a> Layout<'a> {
    /// Checks one batch. Returns its logical bytes: what its values take once written out.
    ///
    /// Cost: one step per field, plus one per value of a view column (16 bytes of body each).
    ///
    /// # Errors
    /// [`DecodeError`] naming the column and the number that is wrong.
    pub fn check(
        schema: &Schema,
        batch: &ipc::RecordBatch<'a>,
        body: &'a [u8],
        limits: &DecodeLimits,
    ) -> Result<u64, DecodeError> {
        let rows = batch.length();
        let rows_max = limits.rows_max();
        let within = u64::try_from(rows).is_ok_and(|rows| rows <= rows_max);
        if !within {
            return Err(DecodeError::TooManyRows { rows, max: rows_max });
        }
        let mut layout = Self {
            body,
            nodes: batch.nodes().iter().flatten().collect(),
            buffers: batch.buffers().iter().flatten().collect(),
            views: batch.variadicBufferCounts().iter().flatten().collect(),
            next_node: 0,
            next_buffer: 0,
            next_view: 0,
            logical_bytes: 0,
            logical_bytes_max: limits.logical_bytes_max(),
        };
        for field in schema.fields() {
            layout.field(field, Some(rows))?;
        }
        layout.surplus("field nodes", layout.nodes.len(), layout.next_node)?;
        layout.surplus("buffers", layout.buffers.len(), layout.next_buffer)?;
        layout.surplus("view buffer counts", layout.views.len(), layout.next_view)?;
        Ok(layout.logical_bytes)
    }

    fn surplus(&self, what: &'static str, found: usize, expected: usize) -> Result<(), DecodeError> {
        if found == expected { Ok(()) } else { Err(DecodeError::Surplus { what, found, expected }) }
    }

    /// * `expected`: the length its parent calls for; `None` under a list, whose offsets decide.
    fn field(&mut self, field: &Field, expected: Option<i64>) -> Result<(), DecodeError> {
        let (len, nulls) = self.node(field, expected)?;
        if *field.data_type() == DataType::Null {
            return self.zero_width(len);
        }
        self.validity(field, len, nulls)?;
        match field.data_type() {
            DataType::Boolean => self.buffer(field, len.div_ceil(8)).map(drop),
            DataType::FixedSizeBinary(0) => self.buffer(field, 0).and_then(|_| self.zero_width(len)),
            DataType::FixedSizeBinary(width) => self.buffer(field, times(len, width.unsigned_abs().into())).map(drop),
            DataType::Utf8 | DataType::Binary => self.offsets_then_bytes(field, len, 4),
            DataType::LargeUtf8 | DataType::LargeBinary => self.offsets_then_bytes(field, len, 8),
            DataType::Utf8View | DataType::BinaryView => self.views(field, len),
            DataType::List(item) | DataType::Map(item, _) => {
                self.offsets(field, len, 4).and_then(|()| self.field(item, None))
            }
            DataType::LargeList(item) => self.offsets(field, len, 8).and_then(|()| self.field(item, None)),
            DataType::FixedSizeList(item, size) => {
                self.zero_width(len)?;
                let values = i64::try_from(times(len, size.unsigned_abs().into())).unwrap_or(i64::MAX);
                self.field(item, Some(values))
            }
            DataType::Struct(fields) => {
                self.zero_width(len)?;
                let rows = i64::try_from(len).unwrap_or(i64::MAX);
                fields.iter().try_for_each(|child| self.field(child, Some(rows)))
            }
            fixed => match fixed.primitive_width() {
                Some(width) => self.buffer(field, times(len, width as u64)).map(drop),
                // The schema refused every other type already.
                None => Err(wrong(field, format!("type {fixed} cannot be recorded"))),
            },
        }
    }

    /// The length and null count of the next node.
    fn node(&mut self, field: &Field, expected: Option<i64>) -> Result<(u64, u64), DecodeError> {
        let node = self.nodes.get(self.next_node).ok_or_else(|| wrong(field, "its field node is missing"))?;
        self.next_node += 1;
        let (len, nulls) = (node.length(), node.null_count());
        let (Ok(rows), Ok(null_count)) = (u64::try_from(len), u64::try_from(nulls)) else {
            return Err(wrong(field, format!("a node of {len} values, {nulls} of them null")));
        };
        if null_count > rows {
            return Err(wrong(field, format!("a node of {len} values, {nulls} of them null")));
        }
        match expected {
            Some(expected) if expected != len => {
                Err(wrong(field, format!("{len} values where {expected} are called for")))
            }
            _ => Ok((rows, null_count)),
        }
    }

    /// A validity bitmap may be missing when nothing is null.
    fn validity(&mut self, field: &Field, len: u64, nulls: u64) -> Result<(), DecodeError> {
        self.buffer(field, if nulls == 0 { 0 } else { len.div_ceil(8) }).map(drop)
    }

    /// Offsets may be missing altogether when there are no values.
    fn offsets(&mut self, field: &Field, len: u64, width: u64) -> Result<(), DecodeError> {
        let offsets = self.buffer(field, if len == 0 { 0 } else { times(len.saturating_add(1), width) })?;
        whole(field, offsets, width)
    }

    fn offsets_then_bytes(&mut self, field: &Field, len: u64, width: u64) -> Result<(), DecodeError> {
        self.offsets(field, len, width)?;
        self.buffer(field, 0).map(drop)
    }

    /// A view is 16 bytes and names up to 4 GiB of a shared buffer: the lengths count, not the buffer.
    fn views(&mut self, field: &Field, len: u64) -> Result<(), DecodeError> {
        let views = self.buffer(field, times(len, 16))?;
        whole(field, views, 16)?;
        let named = views.chunks_exact(16).filter_map(|view| view.first_chunk::<4>());
        let bytes = named.map(|len| u64::from(u32::from_le_bytes(*len))).fold(0, u64::saturating_add);
        self.count(bytes)?;
        let found = self.views.get(self.next_view).copied();
        self.next_view += 1;
        let buffers = found.and_then(|n| usize::try_from(n).ok()).filter(|n| *n <= self.buffers.len());
        let Some(buffers) = buffers else {
            return Err(wrong(field, format!("a view buffer count of {found:?}")));
        };
        (0..buffers).try_for_each(|_| self.buffer(field, 0).map(drop))
    }

    /// The next buffer, which must lie in the body and have at least `bytes_min` bytes.
    fn buffer(&mut self, field: &Field, bytes_min: u64) -> Result<&'a [u8], DecodeError> {
        let buffer = self.buffers.get(self.next_buffer).ok_or_else(|| wrong(field, "a buffer is missing"))?;
        self.next_buffer += 1;
        let (offset, len, body) = (buffer.offset(), buffer.length(), self.body);
        let range = usize::try_from(offset).ok().zip(usize::try_from(len).ok());
        let bytes = range.and_then(|(at, len)| body.get(at..at.checked_add(len)?));
        let Some(bytes) = bytes else {
            return Err(wrong(field, format!("a buffer of {len} bytes at {offset}, in a body of {}", body.len())));
        };
        if (bytes.len() as u64) < bytes_min {
            return Err(wrong(field, format!("a buffer of {len} bytes where at least {bytes_min} are called for")));
        }
        self.count(bytes.len() as u64)?;
        Ok(bytes)
    }

    /// Values without bytes of their own count one byte each, so that their number is limited too.
    fn zero_width(&mut self, len: u64) -> Result<(), DecodeError> {
        self.count(len)
    }

    fn count(&mut self, bytes: u64) -> Result<(), DecodeError> {
        self.logical_bytes = self.logical_bytes.saturating_add(bytes);
        if self.logical_bytes > self.logical_bytes_max {
            return Err(DecodeError::TooManyLogicalBytes { bytes: self.logical_bytes, max: self.logical_bytes_max });
        }
        Ok(())
    }
}

/// Arrow panics on a buffer that ends inside a value.
fn whole(field: &Field, bytes: &[u8], width: u64) -> Result<(), DecodeError> {
    if (bytes.len() as u64).is_multiple_of(width) {
        return Ok(());
    }
    Err(wrong(field, format!("a buffer of {} bytes for values of {width}", bytes.len())))
}

fn times(count: u64, width: u64) -> u64 {
    count.saturating_mul(width)
}

fn wrong(field: &Field, what: impl Into<String>) -> DecodeError {
    DecodeError::Layout { column: field.name().chars().take(80).collect(), what: what.into() }
}
