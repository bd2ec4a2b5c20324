use proptest::prelude::*;
use serde_json::Value as Any;
use serde_json::json;

use super::super::Head;
use super::super::Metadata;
use super::super::RawHead;
use super::super::holds;
use super::super::may_be_sequence;
use super::super::may_be_topic;
use super::super::parse;
use super::*;

/// A sequence with its topics, as the catalog would tell of them.
#[derive(Clone, Debug)]
struct Own {
    name: String,
    created: i64,
    metadata: Any,
    topics: Vec<(String, String, i64, Any)>,
}

fn text(json: &Any) -> UserMetadata {
    UserMetadata::parse(&json.to_string()).unwrap()
}

fn index(all: &[Own]) -> HeadIndex {
    let mut index = HeadIndex::default();
    for (number, own) in (10..).zip(all) {
        assert!(index.add_sequence(number, &own.name, own.created, &text(&own.metadata)));
        for (path, tag, created_at_ns, metadata) in &own.topics {
            let metadata = &text(metadata);
            let sequence = number;
            assert!(index.add_topic(&TopicEntry {
                id: TopicId(uuid::Uuid::from_u128(number as u128)),
                sequence,
                path,
                tag,
                format: "default",
                created_at_ns: *created_at_ns,
                metadata
            }));
        }
    }
    index
}

/// Whether a sequence could be an answer to conditions on heads, the slow way.
fn is_asked_for(root: &Block, own: &Own) -> bool {
    let metadata = &Metadata::new(text(&own.metadata));
    let name = own.name.as_str();
    let head = Head { name, locator: name, created_at_ns: own.created, tag: "", format: "", metadata };
    holds(&root.sequence, &head)
        && own.topics.iter().any(|(path, tag, created, metadata)| {
            let (path, locator) = (&format!("/{path}"), &format!("{name}/{path}"));
            let metadata = &Metadata::new(text(metadata));
            let head = Head { name: path, locator, created_at_ns: *created, tag, format: "default", metadata };
            holds(&root.topic, &head)
        })
}

/// Whether a walk through sequences as they are stored lets it through.
fn passes_sieve(root: &Block, own: &Own) -> bool {
    let metadata = &own.metadata.to_string();
    let head = RawHead { name: &own.name, tag: "", format: "", created_at_ns: own.created, metadata };
    may_be_sequence(root, &head)
        && own.topics.iter().any(|(path, tag, created_at_ns, metadata)| {
            let (created_at_ns, metadata) = (*created_at_ns, &metadata.to_string());
            may_be_topic(root, &RawHead { name: path, tag, format: "default", created_at_ns, metadata })
        })
}

fn value() -> impl Strategy<Value = Any> {
    let leaf = prop_oneof![
        Just(Any::Null),
        any::<bool>().prop_map(Any::from),
        (-3i64..4).prop_map(Any::from),
        prop_oneof![Just(0.5), Just(-1.0), Just(1e300)].prop_map(Any::from),
        Just(json!(u64::MAX)),
        "[ab]{0,2}".prop_map(Any::from),
    ];
    leaf.prop_recursive(3, 12, 3, |inner| {
        prop_oneof![
            proptest::collection::vec(inner.clone(), 0..3).prop_map(Any::from),
            proptest::collection::hash_map("[abc]", inner, 0..3).prop_map(|own| json!(own)),
        ]
    })
}

fn metadata() -> impl Strategy<Value = Any> {
    proptest::collection::hash_map("[abc]", value(), 0..3).prop_map(|own| json!(own))
}

fn own() -> impl Strategy<Value = Own> {
    let topic = ("[ab]{1,2}", prop_oneof![Just("IMU"), Just("GPS")], 0i64..9, metadata());
    let topics = proptest::collection::vec(topic.prop_map(|(a, b, c, d)| (a, b.to_owned(), c, d)), 0..3);
    ("[ab]{1,3}", 0i64..9, metadata(), topics).prop_map(|(name, created, metadata, topics)| Own {
        name,
        created,
        metadata,
        topics,
    })
}

fn condition() -> impl Strategy<Value = Any> + Clone {
    let literal = || prop_oneof![(-3i64..4).prop_map(Any::from), Just(json!(0.5)), "[ab]{0,2}".prop_map(Any::from)];
    prop_oneof![
        (prop_oneof![Just("$eq"), Just("$neq"), Just("$lt"), Just("$leq"), Just("$gt"), Just("$geq")], literal())
            .prop_map(|(op, value)| json!({op: value})),
        Just(json!({"$eq": true})),
        Just(json!({"$neq": false})),
        Just(json!({"$eq": [1, "a"]})),
        Just(json!({"$neq": [1]})),
        Just(json!({"$between": [-1, 2]})),
        Just(json!({"$outside": ["a", "b"]})),
        Just(json!({"$in": [1, 2, 0.5]})),
        Just(json!({"$in": ["a", "ab"]})),
        "[ab*?]{1,3}".prop_map(|glob| json!({"$match": glob})),
        Just(json!({"$ex": null})),
        Just(json!({"$nex": null})),
        Just(json!({"$not": {"$eq": 1}})),
        Just(json!({"$or": [{"$eq": "a"}, {"$gt": 1}]})),
    ]
}

fn path() -> impl Strategy<Value = String> + Clone {
    let step = prop_oneof![Just("a"), Just("b"), Just("a[*]"), Just("*"), Just("**"), Just("b[*]")];
    proptest::collection::vec(step, 1..4).prop_map(|steps| steps.join("."))
}

fn scope() -> impl Strategy<Value = Any> {
    let field = (prop_oneof![Just("name"), Just("created_at_ns"), Just("locator")], condition());
    let metadata = (path(), condition());
    prop_oneof![
        field.clone().prop_map(|(key, condition)| json!({key: condition})),
        metadata.clone().prop_map(|(key, condition)| json!({"user_metadata": {key: condition}})),
        (field.clone(), metadata.clone()).prop_map(|((a, b), (c, d))| json!({a: b, "user_metadata": {c: d}})),
        (field, metadata.clone()).prop_map(|((a, b), (c, d))| json!({"$or": [{a: b}, {"user_metadata": {c: d}}]})),
        metadata.prop_map(|(key, condition)| json!({"user_metadata": {"$not": {key: condition}}})),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1500))]

    /// Goal: nothing that is asked for is ever left out, whatever the operator.
    #[test]
    fn nothing_that_is_asked_for_is_left_out(
        all in proptest::collection::vec(own(), 0..6),
        sequence in proptest::option::of(scope()),
        topic in proptest::option::of(scope()),
    ) {
        let body = json!({"sequence": sequence.unwrap_or(json!({})), "topic": topic.unwrap_or(json!({}))}).to_string();
        let Ok(query) = parse(body.as_bytes()) else { return Ok(()) };
        let told = index(&all).candidates(&query.root, &|_, _| true, &|| false);
        for (number, own) in (10..).zip(&all) {
            if is_asked_for(&query.root, own) {
                prop_assert!(told.contains(&number), "{} {:?}", body, own);
                prop_assert!(passes_sieve(&query.root, own), "{} {:?}", body, own);
            }
        }
    }
}

fn drives() -> Vec<Own> {
    let own = |n: i64| Own {
        name: format!("drive-{n}"),
        created: n,
        metadata: json!({"run": n, "vehicle": format!("v{}", n % 3), "weather": {"rain": n % 2 == 0}, "tags": ["a", format!("t{n}")]}),
        topics: vec![(
            "imu".to_owned(),
            if n < 5 { "IMU" } else { "Raw" }.to_owned(),
            100 + n,
            json!({"mount": format!("m{}", n % 4)}),
        )],
    };
    (0..10).map(own).collect()
}

fn told(index: &HeadIndex, query: Any) -> Vec<i64> {
    index.candidates(&parse(query.to_string().as_bytes()).unwrap().root, &|_, _| true, &|| false)
}

/// Goal: it is worth its memory. What a single column decides is told exactly.
#[test]
fn all_else_is_left_out() {
    let index = index(&drives());
    let cases = [
        (json!({"sequence": {"user_metadata": {"run": {"$eq": 7}}}}), vec![17]),
        (json!({"sequence": {"user_metadata": {"run": {"$geq": 8}}}}), vec![18, 19]),
        (json!({"sequence": {"user_metadata": {"*": {"$match": "v2"}}}}), vec![12, 15, 18]),
        (json!({"sequence": {"user_metadata": {"**.rain": {"$eq": true}, "vehicle": {"$eq": "v0"}}}}), vec![10, 16]),
        (json!({"sequence": {"user_metadata": {"tags[*]": {"$eq": "t4"}}}}), vec![14]),
        (json!({"sequence": {"user_metadata": {"none": {"$ex": null}}}}), vec![]),
        (json!({"sequence": {"created_at_ns": {"$between": [2, 3]}}}), vec![12, 13]),
        (json!({"sequence": {"name": {"$match": "*-[12]"}}}), vec![11, 12]),
        (json!({"topic": {"created_at_ns": {"$lt": 101}}}), vec![10]),
        (json!({"topic": {"name": {"$eq": "/gps"}}}), vec![]),
        (json!({"topic": {"ontology_tag": {"$eq": "Raw"}, "user_metadata": {"mount": {"$eq": "m1"}}}}), vec![15, 19]),
        (json!({"ontology": {"IMU.x": {"$eq": 1}}, "sequence": {"user_metadata": {"run": {"$gt": 3}}}}), vec![14]),
        (
            json!({"$or": [{"sequence": {"created_at_ns": {"$eq": 1}}}, {"topic": {"created_at_ns": {"$eq": 109}}}]}),
            vec![11, 19],
        ),
    ];
    for (query, numbers) in cases {
        assert_eq!(told(&index, query.clone()), numbers, "{query}");
    }
    let unknown = json!({"sequence": {"user_metadata": {"run": {"$nex": null}}}});
    assert_eq!(told(&index, unknown).len(), 10);
}

/// Goal: what is known of a topic's rows leaves its sequence out, and is asked only where it can.
#[test]
fn topics_without_a_row_leave_their_sequence_out() {
    let index = index(&drives());
    let body = json!({"sequence": {"created_at_ns": {"$lt": 4}}, "ontology": {"IMU.x": {"$eq": 1}}}).to_string();
    let asked = std::cell::RefCell::new(Vec::new());
    let numbers = index.candidates(
        &parse(body.as_bytes()).unwrap().root,
        &|own, topic| {
            assert_eq!(own.tag, "IMU");
            asked.borrow_mut().push(topic.0.as_u128());
            topic.0.as_u128() == 12
        },
        &|| false,
    );
    assert_eq!((numbers, asked.into_inner()), (vec![12], vec![10, 11, 12, 13]));
}

/// Goal: a number that the catalog gives again finds what has it now, by its name.
#[test]
fn what_comes_in_the_place_of_another_is_found() {
    let mut index = index(&drives());
    assert!(index.add_sequence(19, "a-drive", 50, &text(&json!({"run": 90}))));
    assert_eq!(told(&index, json!({"sequence": {"user_metadata": {"run": {"$geq": 8}}}})), [19, 18]);
    assert_eq!(told(&index, json!({"sequence": {"name": {"$eq": "drive-9"}}})), Vec::<i64>::new());
    assert_eq!(told(&index, json!({"sequence": {"created_at_ns": {"$eq": 50}}})), [19]);
}

/// Goal: texts of any length are found, and cost a pattern no more than short ones.
#[test]
fn long_texts_may_be_any() {
    let mut all = drives();
    all[3].metadata = json!({"run": "x".repeat(5000)});
    let index = index(&all);
    for condition in [json!({"$match": "*xy"}), json!({"$lt": "a"}), json!({"$ex": null})] {
        assert!(told(&index, json!({"sequence": {"user_metadata": {"run": condition}}})).contains(&13));
    }
    assert!(!told(&index, json!({"sequence": {"user_metadata": {"run": {"$gt": 0}}}})).contains(&13));
}

/// Goal: a question that nobody waits for ends.
#[test]
fn a_stopped_question_asks_no_more() {
    let index = index(&drives());
    let body = json!({"ontology": {"IMU.x": {"$eq": 1}}}).to_string();
    let asked = std::cell::Cell::new(0);
    let may = |_: &TagPredicate, _| {
        asked.set(asked.get() + 1);
        true
    };
    index.candidates(&parse(body.as_bytes()).unwrap().root, &may, &|| true);
    assert_eq!(asked.get(), 0);
}

/// Goal: the memory of an index is known as it grows, and keys without end end it.
#[test]
fn keys_without_end_are_refused() {
    let mut index = HeadIndex::default();
    let before = index.bytes();
    let mut number = 0;
    while index.add_sequence(number, "s", 0, &text(&json!({format!("key{number}"): "x".repeat(100)}))) {
        number += 1;
        assert!(number < 100_000);
    }
    assert!(index.bytes() - before > 100 * number as usize);
}
