//! Goal: whatever a client's dictionaries do, rows have the values they named, and few bytes cannot ask for much.
//! Method: streams of arrow's own encoder, with deltas and replacements, decoded here; then framed for a reader, and read by
//! arrow's own decoder.

use arrow::array::DictionaryArray;
use arrow::array::FixedSizeListArray;
use arrow::array::Int64Array;
use arrow::array::ListArray;
use arrow::array::PrimitiveBuilder;
use arrow::array::StringArray;
use arrow::array::make_array;
use arrow::buffer::Buffer;
use arrow::buffer::OffsetBuffer;
use arrow::compute::cast;
use arrow::compute::concat_batches;
use arrow::datatypes::ArrowDictionaryKeyType;
use arrow::datatypes::Field;
use arrow::datatypes::Schema;
use arrow::datatypes::SchemaRef;
use arrow::ipc::writer::DictionaryHandling;
use arrow::ipc::writer::IpcWriteOptions;
use arrow::ipc::writer::StreamEncoder;
use arrow_flight::decode::FlightRecordBatchStream;
use arrow_flight::error::FlightError;
use bytes::Bytes;
use futures::TryStreamExt;
use futures::executor::block_on;
use proptest::prelude::*;

use super::super::Coded;
use super::super::Framer;
use super::super::StreamDecoder;
use super::super::framer::split;
use super::super::samples;
use super::*;

const LIMITS: DecodeLimits = DecodeLimits { message_bytes_max: 4 << 20 };

fn coded<K: ArrowDictionaryKeyType>(keys: Vec<Option<K::Native>>, values: &[Option<&str>]) -> ArrayRef {
    let mut built = PrimitiveBuilder::<K>::new();
    keys.into_iter().for_each(|key| built.append_option(key));
    Arc::new(DictionaryArray::<K>::new(built.finish(), Arc::new(StringArray::from(values.to_vec()))))
}

fn batch(column: ArrayRef) -> RecordBatch {
    let times: ArrayRef = Arc::new(Int64Array::from_iter_values(0..column.len() as i64));
    RecordBatch::try_from_iter([("timestamp_ns", times), ("kind", column)]).unwrap()
}

/// The header of the schema, and the messages behind it.
fn messages(batches: &[RecordBatch], handling: DictionaryHandling) -> (Bytes, Vec<(Bytes, Bytes)>) {
    let options = IpcWriteOptions::default().with_dictionary_handling(handling);
    let mut encoder = StreamEncoder::try_new_with_options(&batches[0].schema(), options).unwrap();
    let stream = batches.iter().flat_map(|batch| encoder.encode(batch).unwrap()).collect();
    let bytes = |pieces: Vec<Buffer>| Bytes::from(pieces.iter().map(|p| p.to_vec()).collect::<Vec<_>>().concat());
    let mut parts = split(stream).unwrap().into_iter().map(|(header, body)| (Bytes::from(header), bytes(body)));
    (parts.next().unwrap().0, parts.collect())
}

fn received(decoder: &mut StreamDecoder, messages: &[(Bytes, Bytes)]) -> Result<Vec<RecordBatch>, DecodeError> {
    let mut batches = Vec::new();
    for (header, body) in messages {
        batches.extend(decoder.receive(header, body.clone())?.map(|received| received.batch));
    }
    Ok(batches)
}

/// Framed for a reader and read by arrow.
fn read_back(schema: &SchemaRef, batches: &[RecordBatch]) -> Vec<RecordBatch> {
    let (mut framer, first) = Framer::begin(schema).unwrap();
    let mut ropes = vec![first];
    batches.iter().for_each(|batch| ropes.extend(framer.batch(batch).unwrap()));
    let data = |rope: &Vec<Bytes>| {
        let message = <arrow_flight::FlightData as prost::Message>::decode(Bytes::from(rope.concat()));
        message.map_err(|error| FlightError::DecodeError(error.to_string()))
    };
    let data: Vec<_> = ropes.iter().map(data).collect();
    let stream = FlightRecordBatchStream::new_from_flight_data(futures::stream::iter(data));
    block_on(stream.try_collect()).unwrap()
}

fn texts(batches: &[RecordBatch]) -> Vec<Option<String>> {
    let text = |batch: &RecordBatch| {
        let column = cast(batch.column(1), &DataType::Utf8).unwrap();
        column.as_string::<i32>().iter().map(|text| text.map(str::to_owned)).collect::<Vec<_>>()
    };
    batches.iter().flat_map(text).collect()
}

#[test]
fn dictionaries_grow_and_are_replaced() {
    let sent = [
        batch(coded::<Int8Type>(vec![Some(1), None, Some(0)], &[Some("a"), Some("b")])),
        batch(coded::<Int8Type>(vec![Some(2), Some(0)], &[Some("a"), Some("b"), Some("c")])),
        batch(coded::<Int8Type>(vec![Some(0), Some(1)], &[Some("x"), None])),
    ];
    for handling in [DictionaryHandling::Delta, DictionaryHandling::Resend] {
        let (schema, messages) = messages(&sent, handling);
        assert_eq!(messages.len(), 6);
        let mut decoder = StreamDecoder::begin(schema, LIMITS).unwrap();
        assert_eq!(decoder.schema(), &sent[0].schema());
        let plain = received(&mut decoder, &messages).unwrap();
        assert_eq!(plain[0].column(1).data_type(), &DataType::Utf8);
        let expected: Vec<_> = ["b", "", "a", "c", "a", "x", ""].map(|t| (!t.is_empty()).then(|| t.to_owned())).into();
        assert_eq!(texts(&plain), expected);
        let one = concat_batches(&plain[0].schema(), &plain).unwrap();
        let back = read_back(&sent[0].schema(), &[plain[0].clone(), one]);
        assert_eq!(back[0].schema(), sent[0].schema());
        assert_eq!(texts(&back[1..]), expected);
    }
}

#[test]
fn keys_and_messages_that_name_nothing_are_refused() {
    let good = batch(coded::<Int8Type>(vec![Some(1), None], &[Some("a"), Some("b")]));
    let (schema, parts) = messages(std::slice::from_ref(&good), DictionaryHandling::Resend);
    let decoder = || StreamDecoder::begin(schema.clone(), LIMITS).unwrap();
    let refusal = |parts: &[(Bytes, Bytes)]| received(&mut decoder(), parts).unwrap_err().to_string();
    // Rows before their dictionary.
    assert!(refusal(&parts[1..]).contains("has not come"));
    // Keys behind the end and before the beginning, of a dictionary as long as the keys can name too.
    let long: Vec<String> = (0..128).map(|n| n.to_string()).collect();
    let long: Vec<Option<&str>> = long.iter().map(|text| Some(text.as_str())).collect();
    let (_, full) = messages(&[batch(coded::<Int8Type>(vec![Some(1), None], &long))], DictionaryHandling::Resend);
    for dictionary in [&parts[0], &full[0]] {
        for key in [-1i8, -128, 2, 127] {
            let mut body = parts[1].1.to_vec();
            let at = body.len() - 64..body.len();
            let place = at.clone().find(|at| body[*at] == 1).unwrap();
            body[place] = key as u8;
            let ended = received(&mut decoder(), &[dictionary.clone(), (parts[1].0.clone(), body.into())]);
            let inside =
                usize::try_from(key).is_ok_and(|key| key < if std::ptr::eq(dictionary, &full[0]) { 128 } else { 2 });
            assert_eq!(ended.is_ok(), inside, "{key}: {ended:?}");
        }
    }
    // A delta of nothing.
    let grown = batch(coded::<Int8Type>(vec![Some(2)], &[Some("a"), Some("b"), Some("c")]));
    let (_, deltas) = messages(&[good.clone(), grown], DictionaryHandling::Delta);
    assert!(refusal(&deltas[2..3]).contains("delta"), "{}", refusal(&deltas[2..3]));
    // A dictionary that no field has.
    let plain = batch(Arc::new(StringArray::from(vec!["a"])));
    let (schema, _) = messages(&[plain], DictionaryHandling::Resend);
    let error = received(&mut StreamDecoder::begin(schema, LIMITS).unwrap(), &parts[..1]).unwrap_err();
    assert!(error.to_string().contains("no field"), "{error}");
}

#[test]
fn what_few_bytes_stand_for_is_limited() {
    let long = "x".repeat(1 << 20);
    let rows = batch(coded::<Int32Type>(vec![Some(0); 17], &[Some(&long)]));
    let (schema, messages) = messages(&[rows], DictionaryHandling::Resend);
    let mut decoder = StreamDecoder::begin(schema.clone(), LIMITS).unwrap();
    let error = received(&mut decoder, &messages).unwrap_err();
    assert!(matches!(error, DecodeError::TooManyLogicalBytes { .. }), "{error}");
    // A dictionary that grows without end.
    let (dictionaries, id) = (&mut Dictionaries::default(), 7);
    let values: ArrayRef = Arc::new(StringArray::from(vec![long.as_str(); 8]));
    let ended = (0..9).find_map(|nth| keep(dictionaries, id, &values, 0, nth > 0).err());
    assert!(matches!(ended, Some(DecodeError::DictionariesTooLarge { .. })), "{ended:?}");
    // Replaced ones do not add up, others do.
    for id in [7, 7, 7, 8] {
        keep(dictionaries, id, &values, 20 << 20, false).unwrap();
    }
    assert!(keep(dictionaries, 9, &values, 40 << 20, false).is_err());
}

fn keep(
    dictionaries: &mut Dictionaries,
    id: i64,
    values: &ArrayRef,
    bytes: usize,
    is_delta: bool,
) -> Result<(), DecodeError> {
    let paid = dictionaries.admit(id, bytes, is_delta)?;
    dictionaries.insert(id, Arc::clone(values), paid, is_delta)
}

#[test]
fn the_dictionaries_of_all_streams_share_a_budget() {
    let long = "x".repeat(1 << 20);
    let rows = batch(coded::<Int32Type>(vec![Some(0)], &[Some(&long)]));
    let (schema, messages) = messages(&[rows], DictionaryHandling::Resend);
    let budget = Budget::new(5 << 19);
    let stream = || StreamDecoder::begin(schema.clone(), LIMITS).unwrap().within(budget.clone());
    let (mut first, mut second, mut third) = (stream(), stream(), stream());
    // Sent again it replaces itself.
    for _ in 0..3 {
        received(&mut first, &messages).unwrap();
    }
    received(&mut second, &messages).unwrap();
    let held = budget.in_use();
    assert!((2 << 20..=5 << 19).contains(&held), "{held} bytes of two dictionaries");
    let error = received(&mut third, &messages).unwrap_err();
    assert!(matches!(error, DecodeError::DictionaryMemory { .. }), "{error}");
    assert!(error.to_string().contains("memory.dictionary_bytes"), "{error}");
    drop(first);
    received(&mut third, &messages).unwrap();
    drop((second, third));
    assert_eq!(budget.in_use(), 0);
}

#[test]
fn what_a_batch_stands_for_is_written_out_in_parts() {
    let words: Vec<String> = ["a", "b", "c"].iter().map(|letter| letter.repeat(1000)).collect();
    let words: Vec<Option<&str>> = words.iter().map(|word| Some(word.as_str())).collect();
    let keys: Vec<Option<i32>> = (0..50).map(|n| (n % 7 != 0).then_some(n % 3)).collect();
    let flat = coded::<Int32Type>(keys, &words);
    let lists = ListArray::new(
        Arc::new(Field::new("x", flat.data_type().clone(), true)),
        OffsetBuffer::from_lengths((0..10).map(|n| n + usize::from(n < 5))),
        Arc::clone(&flat),
        None,
    );
    for rows in [batch(flat), batch(Arc::new(lists))] {
        let (schema, messages) = messages(std::slice::from_ref(&rows), DictionaryHandling::Resend);
        let mut decoder = StreamDecoder::begin(schema, LIMITS).unwrap();
        let mut coded = messages.iter().filter_map(|(header, body)| decoder.decode(header, body.clone()).unwrap());
        let coded = coded.next().unwrap();
        assert!(coded.written_out_bytes() > 40_000, "{} bytes", coded.written_out_bytes());
        let whole = decoder.write_out(coded.clone()).unwrap();
        let parts = decoder.parts(coded, 9000).unwrap();
        assert!(parts.len() > 4, "{} parts", parts.len());
        let small = |part: &Coded| part.written_out_bytes() <= 9000 || part.keys().num_rows() == 1;
        assert!(parts.iter().all(small), "{parts:?}");
        let parts: Vec<_> = parts.into_iter().map(|part| decoder.write_out(part).unwrap().batch).collect();
        assert_eq!(concat_batches(&whole.batch.schema(), &parts).unwrap(), whole.batch);
    }
}

/// Goal: a batch that was put together of many has more values than its keys can name, and is sent in parts.
#[test]
fn more_values_than_keys_are_sent_in_several_batches() {
    let values: Vec<String> = (0..1000).map(|n| format!("value {}", n / 2)).collect();
    let plain = batch(Arc::new(StringArray::from(values.clone())));
    let kind = DataType::Dictionary(Box::new(DataType::Int8), Box::new(DataType::Utf8));
    let schema = Arc::new(Schema::new(vec![plain.schema().field(0).clone(), Field::new("kind", kind, false)]));
    let plain = RecordBatch::try_new(
        Arc::new(Schema::new(vec![plain.schema().field(0).clone(), Field::new("kind", DataType::Utf8, false)])),
        plain.columns().to_vec(),
    );
    let back = read_back(&schema, &[plain.unwrap()]);
    assert!(back.len() >= 4 && back.iter().all(|batch| batch.schema() == schema), "{} batches", back.len());
    assert_eq!(texts(&back), values.into_iter().map(Some).collect::<Vec<_>>());
}

/// Goal: in an ordered dictionary a value keeps its place before and behind the others.
#[test]
fn ranks_come_back() {
    let levels = [Some("low"), Some("middle"), Some("high")];
    let column = coded::<UInt8Type>(vec![Some(2), Some(0), None, Some(2)], &levels);
    let sent = batch(column);
    let field = Field::new("kind", sent.column(1).data_type().clone(), true).with_dict_is_ordered(true);
    let schema = Arc::new(Schema::new(vec![sent.schema().field(0).clone(), field]));
    let sent = RecordBatch::try_new(schema, sent.columns().to_vec()).unwrap();
    let (header, messages) = messages(std::slice::from_ref(&sent), DictionaryHandling::Resend);
    let mut decoder = StreamDecoder::begin(header, LIMITS).unwrap();
    let plain = received(&mut decoder, &messages).unwrap();
    let back = read_back(&sent.schema(), &plain);
    assert_eq!(back[0].schema(), sent.schema());
    assert_eq!(back[0].schema().field(1).dict_is_ordered(), Some(true));
    assert_eq!(texts(&back), texts(&[sent]));
    let dictionary = back[0].column(1).as_dictionary::<UInt8Type>().values();
    assert_eq!(dictionary.as_string::<i32>().iter().collect::<Vec<_>>(), [Some("low"), Some("high")]);
}

/// The array as it is, in lists, in lists of a fixed size, in a struct, and in lists of structs.
fn nestings(inner: &ArrayRef) -> Vec<ArrayRef> {
    let field = |data_type: &DataType| Arc::new(Field::new("x", data_type.clone(), true));
    let lists = |values: &ArrayRef| -> ArrayRef {
        let offsets = OffsetBuffer::from_lengths([2, 0, 1, 1]);
        Arc::new(ListArray::new(field(values.data_type()), offsets, Arc::clone(values), None))
    };
    let fixed = FixedSizeListArray::new(field(inner.data_type()), 2, Arc::clone(inner), None);
    let structs = StructArray::new(vec![field(inner.data_type())].into(), vec![Arc::clone(inner)], None);
    let structs: ArrayRef = Arc::new(structs);
    vec![Arc::clone(inner), lists(inner), Arc::new(fixed), lists(&structs), structs]
}

/// Goal: keys are not taken for the values they name where both are of one type, and no other dictionary is there to tell.
#[test]
fn keys_of_the_type_of_their_values_are_no_values() {
    use DataType::{Int8, Int16, Int32, Int64, UInt8, UInt16, UInt32, UInt64};
    for own in [Int8, Int16, Int32, Int64, UInt8, UInt16, UInt32, UInt64] {
        let numbers = |numbers: Vec<Option<i64>>| cast(&Int64Array::from(numbers), &own).unwrap();
        let keys = numbers(vec![Some(1), Some(0), None, Some(1)]).to_data();
        let kind = DataType::Dictionary(Box::new(own.clone()), Box::new(own.clone()));
        let values = numbers(vec![Some(11), Some(12)]).to_data();
        let keys = keys.into_builder().data_type(kind).add_child_data(values).build().unwrap();
        let (wire, plain) = (make_array(keys), numbers(vec![Some(12), Some(11), None, Some(12)]));
        for (wire, plain) in nestings(&wire).into_iter().zip(nestings(&plain)) {
            let one = |column: &ArrayRef| {
                let schema = Schema::new(vec![Field::new("c", column.data_type().clone(), true)]);
                RecordBatch::try_new(Arc::new(schema), vec![Arc::clone(column)]).unwrap()
            };
            let (header, messages) = messages(&[one(&wire)], DictionaryHandling::Resend);
            let mut decoder = StreamDecoder::begin(header, LIMITS).unwrap();
            assert_eq!(received(&mut decoder, &messages).unwrap(), [one(&plain)], "{}", wire.data_type());
            let back = read_back(decoder.schema(), &[one(&plain)]);
            assert_eq!(&cast(back[0].column(0), plain.data_type()).unwrap(), &plain, "{}", wire.data_type());
            let mut coded = messages.iter().filter_map(|(header, body)| decoder.decode(header, body.clone()).unwrap());
            let coded = coded.next().unwrap();
            assert!(coded.written_out_bytes() >= 4, "{}", wire.data_type());
        }
    }
}

proptest! {
    /// Goal: any type may be a dictionary's, at any depth, with any nulls.
    #[test]
    fn any_values_come_back(
        value in samples::data_type(), nullable: bool, rows in 1..30usize, seed: u64, nest in 0..3,
    ) {
        let time = Field::new("timestamp_ns", DataType::Int64, false);
        let stored = Schema::new(vec![time, Field::new("c", value.clone(), true)]);
        prop_assume!(crate::chunk::supports(&stored).is_ok());
        let plain = samples::batch(vec![(value.clone(), nullable)], rows, seed);
        let wire = DataType::Dictionary(Box::new(DataType::Int32), Box::new(value.clone()));
        let field = |data_type: &DataType| Arc::new(Field::new("x", data_type.clone(), true));
        let around = |data_type: &DataType| match nest {
            0 => data_type.clone(),
            1 => DataType::Struct(vec![field(data_type)].into()),
            _ => DataType::List(field(data_type)),
        };
        let column = Arc::clone(plain.column(0));
        let column: ArrayRef = match nest {
            0 => column,
            1 => Arc::new(StructArray::new(vec![field(&value)].into(), vec![column], None)),
            _ => Arc::new(ListArray::new(field(&value), OffsetBuffer::from_lengths(vec![1; rows]), column, None)),
        };
        let (plain_type, wire_type) = (around(&value), around(&wire));
        let one = |data_type| Arc::new(Schema::new(vec![Field::new("c", data_type, true)]));
        let plain = RecordBatch::try_new(one(plain_type), vec![column]).unwrap();
        let schema = one(wire_type);
        let (mut framer, first) = Framer::begin(&schema).unwrap();
        let mut decoder = StreamDecoder::begin(samples::header_and_body(&first).0, LIMITS).unwrap();
        prop_assert_eq!(decoder.plain(), &plain.schema());
        let mut back = Vec::new();
        for rope in framer.batch(&plain).unwrap() {
            let (header, body) = samples::header_and_body(&rope);
            back.extend(decoder.receive(&header, body).unwrap().map(|received| received.batch));
        }
        prop_assert_eq!(back, vec![plain]);
    }
}
