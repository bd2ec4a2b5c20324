use super::*;

#[test]
fn a_small_table_becomes_arrow_fields() {
    let models =
        parse("# comment\n\nNone =\nA = a: int32!, b: utf8\nB = s: @A!, l: list<@A>, f: list<list<float64>; 3>!\n")
            .unwrap();
    assert_eq!(models["None"], Fields::empty());
    let a = Fields::from(vec![Field::new("a", DataType::Int32, false), Field::new("b", DataType::Utf8, true)]);
    assert_eq!(models["A"], a);
    let inner = DataType::List(Arc::new(Field::new("item", DataType::Float64, true)));
    let expected = Fields::from(vec![
        Field::new("s", DataType::Struct(a.clone()), false),
        Field::new("l", DataType::List(Arc::new(Field::new("item", DataType::Struct(a), true))), true),
        Field::new("f", DataType::FixedSizeList(Arc::new(Field::new("item", inner, true)), 3), false),
    ]);
    assert_eq!(models["B"], expected);
}

#[test]
fn a_slip_in_the_table_is_found_with_its_line() {
    let refuse = |text: &str| parse(text).unwrap_err().to_string();
    assert_eq!(refuse("A = a: int33"), r#"model table, line 1: expected a known type before this at """#);
    assert_eq!(refuse("\nA = a: @B"), r#"model table, line 2: expected a model that is defined above at """#);
    assert_eq!(
        refuse("A = a: int8 b: int8"),
        r#"model table, line 1: expected ',' or the end of the line at "b: int8""#
    );
    for bad in [
        "A",
        "= a: int8",
        "A = a",
        "A = a: list<int8",
        "A = a: list<int8; x>",
        "A = a: int8, a: int8",
        "A = a: int8,",
        "A =\nA =",
    ] {
        assert!(parse(bad).is_err(), "{bad}");
    }
}

/// The type as pyarrow writes it, which is what the SDK tells models apart by.
fn pyarrow(data_type: &DataType) -> String {
    match data_type {
        DataType::Boolean => "bool".to_owned(),
        DataType::Float16 => "halffloat".to_owned(),
        DataType::Float32 => "float".to_owned(),
        DataType::Float64 => "double".to_owned(),
        DataType::Utf8 => "string".to_owned(),
        DataType::List(item) => format!("list<{}>", pyarrow_field(item)),
        DataType::FixedSizeList(item, size) => format!("fixed_size_list<{}>[{size}]", pyarrow_field(item)),
        DataType::Struct(fields) => {
            format!("struct<{}>", fields.iter().map(|field| pyarrow_field(field)).collect::<Vec<_>>().join(", "))
        }
        other => other.to_string().to_lowercase(),
    }
}

fn pyarrow_field(field: &Field) -> String {
    let not_null = if field.is_nullable() { "" } else { " not null" };
    format!("{}: {}{not_null}", field.name(), pyarrow(field.data_type()))
}

fn fnv(text: &str) -> u64 {
    text.bytes().fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x100_0000_01b3))
}

/// Goal: the table is the SDK's, name by name, type by type, null by null.
/// Method: FNV-1a of pyarrow's text of each model, computed from the SDK's own schemas (whose SHA-1 was that text's).
#[test]
fn every_model_is_the_sdks() {
    let models = parse(MODELS_0_7_0).unwrap();
    assert_eq!(models.len(), TEXT_HASHES.len());
    for (name, hash) in TEXT_HASHES {
        let text = pyarrow(&DataType::Struct(models[*name].clone()));
        assert_eq!(fnv(&text), *hash, "{name}: {text}");
    }
}

#[test]
fn spot_checks() {
    let models = parse(MODELS_0_7_0).unwrap();
    let field = |model: &str, name: &str| models[model].find(name).unwrap().1.clone();
    assert_eq!(field("Image", "data").data_type(), &DataType::Binary);
    assert!(!field("Image", "data").is_nullable());
    assert!(field("Image", "is_bigendian").is_nullable());
    assert_eq!(pyarrow(field("Inertia", "inertia").data_type()), "fixed_size_list<item: double>[6]");
    assert_eq!(pyarrow(field("MultiEchoLaserScan", "ranges").data_type()), "list<item: list<item: float>>");
    assert_eq!(field("Floating16", "data").data_type(), &DataType::Float16);
    let header = "struct<timestamp: struct<seconds: int32 not null, nanoseconds: uint32 not null>, frame_id: string, sample_counter: uint64>";
    assert_eq!(pyarrow(field("IMU", "header").data_type()), header);
    let names: Vec<_> = models["IMU"].iter().map(|field| field.name().as_str()).collect();
    assert_eq!(names, ["header", "acceleration", "angular_velocity", "orientation"]);
}

const TEXT_HASHES: &[(&str, u64)] = &[
    ("Unmodeled", 0xb5c8b2325e3aacde),
    ("Integer8", 0x9cf4d3953d3df5f1),
    ("Integer16", 0x8af486dc7a1088b4),
    ("Integer32", 0x6312bce1e653421a),
    ("Integer64", 0xd96d7a6b41677ff9),
    ("Unsigned8", 0xb25e51c275db9ce6),
    ("Unsigned16", 0xf95d4854c7b82349),
    ("Unsigned32", 0x2f58d25868eac4a7),
    ("Unsigned64", 0xd232cd7ce351c638),
    ("Floating16", 0x8dd439c26d592913),
    ("Floating32", 0x84e8b497f92f3ec4),
    ("Floating64", 0x09488a50f6fe1517),
    ("Boolean", 0x3a1af80280d79ada),
    ("String", 0x61c3cf2272a0f393),
    ("Time", 0x04424daced436693),
    ("Duration", 0x04424daced436693),
    ("Header", 0x747e88b047d892a7),
    ("Vector2d", 0x60020e7acc696f9b),
    ("Vector3d", 0x28351b27b5f9a26e),
    ("Vector4d", 0x66a144ba1f844334),
    ("Point2d", 0x60020e7acc696f9b),
    ("Point3d", 0x28351b27b5f9a26e),
    ("Quaternion", 0x66a144ba1f844334),
    ("Transform", 0x601c707694a464a3),
    ("Pose", 0xd486c805eadfd27b),
    ("RobotPath", 0x15b12fcbad74ad50),
    ("Polygon", 0xf12eb5cc22f9541c),
    ("ForceTorque", 0xfdb6887bd96c4da7),
    ("Inertia", 0xd4492cc06ba5d8aa),
    ("Velocity", 0x99163f3ce19bd923),
    ("Acceleration", 0x99163f3ce19bd923),
    ("MotionState", 0x5b25a5a7fe203c70),
    ("ROI", 0x6f89eedd7e536106),
    ("RGBDCamera", 0x7e41ded7b4d5ee5f),
    ("ToFCamera", 0xb0be9d17ac7554a6),
    ("StereoCamera", 0x46ac9af07a6ee58f),
    ("GridCells", 0xccf638c9eac4b2a9),
    ("MapMetadata", 0xc4b4c4e66a51b3ca),
    ("OccupancyGrid", 0x37d48514e4746adc),
    ("LaserScan", 0x21a60b0cd31ed443),
    ("MultiEchoLaserScan", 0x20c297e242ddf209),
    ("Lidar", 0xa0f2688908e885ce),
    ("Radar", 0x65bbc70b673e1ec9),
    ("CameraInfo", 0xcf6c6b9fd3c06e7f),
    ("GPSStatus", 0xe83b4250bb4d8580),
    ("GPS", 0x91f548dae2692fb6),
    ("NMEASentence", 0x0a0a2d09272e7dbf),
    ("Image", 0x2be774c73f4429e2),
    ("CompressedImage", 0x6b3b98943a57260c),
    ("IMU", 0x6d09278fbd1941f4),
    ("Joy", 0x6f30c393b524debd),
    ("Magnetometer", 0x40c7fdc15000d357),
    ("Pressure", 0xc1aa6fa02fe62f35),
    ("Range", 0xcdc2a1974034d36c),
    ("RobotJoint", 0xcd641e2b0e638ac7),
    ("Temperature", 0xc1aa6fa02fe62f35),
    ("BatteryState", 0xf568e1bd234e38f7),
    ("FrameTransform", 0xf2138fc1741c226a),
    ("PointField", 0x2ac6704171dd53fb),
    ("PointCloud2", 0x64620064fee6b111),
];
