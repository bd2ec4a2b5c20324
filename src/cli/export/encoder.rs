//! Rows of one topic as messages: of ROS 2 where the model has one there, JSON where it has not.

use std::collections::BTreeMap;
use std::rc::Rc;
use std::sync::Arc;

use arrow::array::Array;
use arrow::array::ArrayRef;
use arrow::array::AsArray;
use arrow::array::RecordBatch;
use arrow::array::StructArray;
use arrow::compute::cast;
use arrow::datatypes::DataType;
use arrow::datatypes::Schema;
use arrow::error::ArrowError;

use super::super::json_rows::Nulls;
use super::super::json_rows::write_rows;
use super::bind::bind;
use super::bind::bind_all;
use super::cdr::Cdr;
use super::cloud;
use super::cloud::Cloud;
use super::json_schema::json_schema;
use super::message::Mapping;
use super::message::Message;
use super::message::Messages;
use super::node::Node;

/// Rows that are JSON at once.
const JSON_ROWS: usize = 64;

/// How messages of a channel are made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Format {
    /// `cdr`, `json`.
    pub encoding: &'static str,
    pub schema_name: String,
    /// `ros2msg`, `jsonschema`.
    pub schema_encoding: &'static str,
    pub schema: String,
    /// Behind the topic's name: what is compressed has a channel of its own, named as ROS does.
    pub suffix: &'static str,
}

impl Format {
    fn ros(message: &Message, suffix: &'static str) -> Self {
        let (schema_name, schema) = (message.schema_name(), message.schema());
        Self { encoding: "cdr", schema_name, schema_encoding: "ros2msg", schema, suffix }
    }
}

/// What messages a topic's rows become.
enum Target {
    Ros(Mapping),
    Cloud(Rc<Message>),
    /// Raw rows, and the others.
    Image {
        raw: Mapping,
        compressed: Mapping,
    },
    Json {
        tag: String,
    },
}

/// Makes messages out of the rows of one topic.
pub struct Encoder {
    target: Target,
    /// All that a row can become.
    formats: Vec<Format>,
}

impl Encoder {
    pub fn new(messages: &Messages, tag: &str, schema: &Schema) -> Self {
        let target = Self::target(messages, tag, schema);
        let formats = match &target {
            Target::Ros(mapping) => vec![Format::ros(&mapping.message, "")],
            Target::Cloud(message) => vec![Format::ros(message, "")],
            Target::Image { raw, compressed } => {
                vec![Format::ros(&raw.message, ""), Format::ros(&compressed.message, "/compressed")]
            }
            Target::Json { tag } => vec![Format {
                encoding: "json",
                schema_name: tag.clone(),
                schema_encoding: "jsonschema",
                schema: json_schema(tag, schema.fields()).to_string(),
                suffix: "",
            }],
        };
        Self { target, formats }
    }

    /// The message of the tag, when this schema has what it tells: users have models of their own under any tag.
    fn target(messages: &Messages, tag: &str, schema: &Schema) -> Target {
        let json = || Target::Json { tag: tag.to_owned() };
        let batch = columns(&RecordBatch::new_empty(Arc::new(schema.clone())));
        let cloud = messages.message("sensor_msgs/PointCloud2").filter(|_| cloud::TAGS.contains(&tag));
        if let Some(message) = cloud {
            return match Cloud::bind(header(&message, &batch), &batch) {
                Some(_) => Target::Cloud(message),
                None => json(),
            };
        }
        let mapping = messages.mapping(tag).filter(|own| bind(&own.message, &own.sources, &batch).is_some());
        match (tag, mapping, messages.mapping("CompressedImage")) {
            (_, None, _) => json(),
            ("Image", Some(raw), Some(compressed)) => {
                Target::Image { raw: raw.clone(), compressed: compressed.clone() }
            }
            (_, Some(mapping), _) => Target::Ros(mapping.clone()),
        }
    }

    /// What its rows become; a row says which by its index.
    pub fn formats(&self) -> &[Format] {
        &self.formats
    }

    /// # Errors
    /// Rows that JSON cannot tell.
    pub fn open(&self, batch: RecordBatch) -> Result<Rows, ArrowError> {
        let own = columns(&batch);
        let unbound = || ArrowError::SchemaError("a batch has other columns than its topic".to_owned());
        let bound = |mapping: &Mapping| bind(&mapping.message, &mapping.sources, &own).ok_or_else(unbound);
        let form = match &self.target {
            Target::Ros(mapping) => Form::Ros(bound(mapping)?),
            Target::Cloud(message) => Form::Cloud(Cloud::bind(header(message, &own), &own).ok_or_else(unbound)?),
            Target::Image { raw, compressed } => {
                let formats = match batch.column_by_name("format") {
                    Some(formats) => cast(formats, &DataType::Utf8)?,
                    None => return Err(unbound()),
                };
                Form::Image { raw: bound(raw)?, compressed: bound(compressed)?, formats }
            }
            Target::Json { .. } => Form::Json { batch, lines: Vec::new(), first: 0, ends: Vec::new() },
        };
        Ok(Rows { form, cdr: Cdr::default() })
    }
}

/// The header that a message begins with.
fn header(message: &Rc<Message>, columns: &ArrayRef) -> Node {
    let only = Message {
        name: message.name.clone(),
        fields: message.fields.iter().filter(|(name, _)| name == "header").cloned().collect(),
    };
    bind_all(&Rc::new(only), &BTreeMap::new(), columns)
}

/// A batch as one struct.
fn columns(batch: &RecordBatch) -> ArrayRef {
    Arc::new(StructArray::from(batch.clone()))
}

/// The rows of one batch.
pub struct Rows {
    form: Form,
    cdr: Cdr,
}

enum Form {
    Ros(Node),
    Cloud(Cloud),
    Image {
        raw: Node,
        compressed: Node,
        formats: ArrayRef,
    },
    /// Some rows from `first` on as JSON, each with where it ends.
    Json {
        batch: RecordBatch,
        lines: Vec<u8>,
        first: usize,
        ends: Vec<usize>,
    },
}

impl Rows {
    /// The message of a row, and which of the formats it has. Rows are asked for one after the other.
    ///
    /// # Errors
    /// As [`Encoder::open`].
    pub fn message(&mut self, row: usize, time: i64) -> Result<(usize, &[u8]), ArrowError> {
        self.cdr.begin();
        let format = match &mut self.form {
            Form::Ros(node) => {
                node.write(row, time, &mut self.cdr);
                0
            }
            Form::Cloud(cloud) => {
                cloud.write(row, time, &mut self.cdr);
                0
            }
            Form::Image { raw, compressed, formats } => {
                let format = formats.as_string_opt::<i32>().filter(|own| own.is_valid(row)).map(|own| own.value(row));
                let is_raw = format.is_none_or(|format| format.eq_ignore_ascii_case("raw"));
                let node = if is_raw { raw } else { compressed };
                node.write(row, time, &mut self.cdr);
                usize::from(!is_raw)
            }
            Form::Json { batch, lines, first, ends } => {
                if !(*first..*first + ends.len()).contains(&row) {
                    let part = batch.slice(row, JSON_ROWS.min(batch.num_rows() - row));
                    lines.clear();
                    write_rows(&part, Nulls::LeftOut, lines)?;
                    // Line feeds in texts are escaped.
                    *ends = lines.iter().enumerate().filter(|(_, byte)| **byte == b'\n').map(|(at, _)| at).collect();
                    *first = row;
                }
                let own = row - *first;
                let start = own.checked_sub(1).and_then(|before| ends.get(before)).map_or(0, |end| end + 1);
                let end = ends.get(own).copied().unwrap_or(lines.len());
                return Ok((0, lines.get(start..end).unwrap_or_default()));
            }
        };
        Ok((format, self.cdr.bytes()))
    }
}
