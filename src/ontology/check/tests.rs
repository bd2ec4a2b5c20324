use std::collections::HashMap;

use super::*;
use DataType::*;

fn tag(text: &str) -> OntologyTag {
    OntologyTag::parse(text).unwrap()
}

/// The model's own schema, without the named fields and with the given ones put in place or behind.
fn variant(model: &str, without: &[&str], with: &[(&str, DataType)]) -> Schema {
    let schema = Ontology::builtin().schema(model).unwrap();
    let mut fields: Vec<Field> = schema.fields().iter().map(|field| field.as_ref().clone()).collect();
    fields.retain(|field| !without.contains(&field.name().as_str()));
    for (name, data_type) in with {
        match fields.iter_mut().find(|field| field.name() == name) {
            Some(field) => *field = field.clone().with_data_type(data_type.clone()),
            None => fields.push(Field::new(*name, data_type.clone(), true)),
        }
    }
    Schema::new(fields)
}

fn check(text: &str, schema: &Schema, strictness: Strictness) -> Result<(), String> {
    Ontology::builtin().check(&tag(text), schema, strictness).map_err(|error| error.to_string())
}

fn known(text: &str, schema: &Schema) -> Result<(), String> {
    check(text, schema, Strictness::Known)
}

fn vector(members: &[(&str, DataType)]) -> DataType {
    Struct(members.iter().map(|(name, data_type)| Field::new(*name, data_type.clone(), true)).collect())
}

#[test]
fn every_model_takes_its_own_schema() {
    let ontology = Ontology::builtin();
    assert_eq!(ontology.tags().count(), 60);
    for name in ontology.tags() {
        let schema = ontology.schema(name).unwrap();
        for strictness in [Strictness::Strict, Strictness::Known, Strictness::Open] {
            assert_eq!(ontology.check(&tag(name), &schema, strictness), Ok(()), "{name}");
        }
    }
}

/// Goal: no model takes the stream of another, unless the two look alike.
#[test]
fn every_pair_of_different_models_is_refused() {
    let ontology = Ontology::builtin();
    let (mut refused, mut alike) = (0, Vec::new());
    for own in ontology.tags() {
        for other in ontology.tags().filter(|other| *other != own) {
            let stream = ontology.schema(other).unwrap();
            let answer = ontology.check(&tag(own), &stream, Strictness::Known);
            if ontology.schema(own) == Some(stream) {
                assert_eq!(answer, Ok(()), "{own} and {other}");
                alike.push((own, other));
            } else {
                let error = answer.expect_err(&format!("{own} took {other}")).to_string();
                assert!(error.contains("expected") && error.contains("found"), "{error}");
                refused += 1;
            }
        }
    }
    let expected = [
        ("Acceleration", "Velocity"),
        ("Duration", "Time"),
        ("Point2d", "Vector2d"),
        ("Point3d", "Vector3d"),
        ("Pressure", "Temperature"),
        ("Quaternion", "Vector4d"),
    ];
    let mut expected: Vec<_> = expected.iter().flat_map(|&(a, b)| [(a, b), (b, a)]).collect();
    expected.sort_unstable();
    assert_eq!(alike, expected);
    assert_eq!(refused, 60 * 59 - expected.len());
}

#[test]
fn an_image_does_not_go_into_an_imu() {
    let image = variant("Image", &[], &[]);
    let message = "the stream has the schema of Image, the topic is declared as IMU: field acceleration: expected \
                   struct<header, covariance, covariance_type, x, y, z>, found no such field";
    assert_eq!(known("IMU", &image), Err(message.to_owned()));
    // Neither when a writer declares everything nullable, nor in another order, nor with the columns of older SDKs.
    let nullable = image.fields().iter().rev().map(|field| field.as_ref().clone().with_nullable(true));
    assert!(known("IMU", &Schema::new(nullable.collect::<Fields>())).is_err());
    let envelope = [("recording_timestamp_ns", Int64), ("frame_id", Utf8), ("sequence_id", UInt32)];
    assert!(known("IMU", &variant("Image", &[], &envelope)).is_err());
    assert_eq!(check("IMU", &image, Strictness::Open), Ok(()));
    assert_eq!(known("imu", &image), Ok(()));
}

#[test]
fn a_required_field_keeps_its_type() {
    let message = "the stream does not fit IMU: required field acceleration: expected \
                   struct<header, covariance, covariance_type, x, y, z>, found list<float64>";
    let list = List(Arc::new(Field::new("item", Float64, true)));
    assert_eq!(known("IMU", &variant("IMU", &[], &[("acceleration", list)])), Err(message.to_owned()));
    let single = vector(&[("x", Float32), ("y", Float32), ("z", Float32)]);
    let message = "the stream does not fit IMU: required field acceleration.x: expected float64, found float32";
    assert_eq!(known("IMU", &variant("IMU", &[], &[("acceleration", single)])), Err(message.to_owned()));
    // One that may be null may also be of another version of the model.
    let optional = variant("IMU", &[], &[("orientation", Utf8)]);
    assert_eq!(known("IMU", &optional), Ok(()));
    assert!(check("IMU", &optional, Strictness::Strict).unwrap_err().contains("field orientation: expected struct"));
}

#[test]
fn a_stream_shares_at_least_one_field_with_its_model() {
    let foreign = Schema::new(vec![Field::new(TIMESTAMP, Int64, false), Field::new("wheel_speed", Float64, true)]);
    let message = "the stream has no field of IMU: field header: expected struct<timestamp, frame_id, sample_counter>, \
                   found no such field";
    assert_eq!(known("IMU", &foreign), Err(message.to_owned()));
    let bare = Schema::new(vec![Field::new(TIMESTAMP, Int64, false)]);
    assert!(known("IMU", &bare).is_err());
    // A field of the same name and another type is not shared.
    assert!(
        known("IMU", &Schema::new(vec![Field::new(TIMESTAMP, Int64, false), Field::new("header", Int8, true)]))
            .is_err()
    );
    // The empty model has nothing to share.
    assert_eq!(known("Unmodeled", &foreign), Ok(()));
    assert_eq!(known("Unmodeled", &bare), Ok(()));
}

#[test]
fn variants_of_a_model_are_accepted_and_strict_names_what_they_lack() {
    let short = vector(&[("x", Float64), ("y", Float64), ("z", Float64)]);
    let variants = [
        (variant("IMU", &["orientation"], &[]), "field orientation"),
        (variant("IMU", &[], &[("acceleration", short)]), "field acceleration.header"),
        (variant("IMU", &["header"], &[("temperature", Float64)]), "field header"),
    ];
    for (schema, missing) in variants {
        assert_eq!(known("IMU", &schema), Ok(()));
        assert!(check("IMU", &schema, Strictness::Strict).unwrap_err().contains(missing));
    }
    let more = variant("IMU", &[], &[("temperature", Float64), ("frame_id", Utf8), ("sequence_id", UInt32)]);
    assert_eq!(check("IMU", &more, Strictness::Strict), Ok(()));
}

#[test]
fn metadata_and_large_layouts_do_not_matter() {
    let described = |field: &Arc<Field>| {
        field.as_ref().clone().with_metadata(HashMap::from([("description".to_owned(), "x".to_owned())]))
    };
    let schema = variant("Image", &[], &[("data", LargeBinary), ("format", Utf8View)]);
    let schema = Schema::new(schema.fields().iter().map(described).collect::<Fields>());
    assert_eq!(
        check("Image", &schema.with_metadata(HashMap::from([("a".to_owned(), "b".to_owned())])), Strictness::Strict),
        Ok(())
    );
}

#[test]
fn every_stream_needs_one_int64_timestamp() {
    let schema = |types: &[DataType]| {
        let fields = types.iter().map(|data_type| Field::new(TIMESTAMP, data_type.clone(), true));
        Schema::new(fields.chain([Field::new("x", Int8, true)]).collect::<Vec<_>>())
    };
    for strictness in [Strictness::Strict, Strictness::Known, Strictness::Open] {
        let check = |types: &[DataType]| Ontology::builtin().check(&tag("mine"), &schema(types), strictness);
        assert_eq!(check(&[Int64]), Ok(()));
        assert_eq!(check(&[]), Err(SchemaError::TimestampMissing));
        assert_eq!(check(&[UInt64]), Err(SchemaError::TimestampType { found: "uint64".into() }));
        assert_eq!(check(&[Int64, Int64]), Err(SchemaError::TimestampRepeated { count: 2 }));
    }
    let nested = Schema::new(vec![Field::new("s", vector(&[(TIMESTAMP, Int64)]), false)]);
    assert_eq!(Ontology::builtin().check(&tag("mine"), &nested, Strictness::Open), Err(SchemaError::TimestampMissing));
}
