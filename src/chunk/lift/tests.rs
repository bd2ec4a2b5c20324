//! Goal: what is written directly is lifted, all of it, and comes back exactly.

use arrow::datatypes::DataType;
use proptest::prelude::*;

use super::super::Columns;
use super::super::Effort;
use super::super::random::Random;
use super::super::random::Types;
use super::super::tests::encode;
use super::super::tests::layout;
use super::super::tests::read;
use crate::io::Recycler;
use crate::model::TimeRange;

/// Whether a list of fixed size lies in another, with no list of other kinds between them.
fn is_left_alone(data_type: &DataType, inside: bool) -> bool {
    match data_type {
        DataType::FixedSizeList(child, _) => inside || is_left_alone(child.data_type(), true),
        DataType::List(child) | DataType::LargeList(child) => is_left_alone(child.data_type(), false),
        DataType::Struct(children) => children.iter().any(|child| is_left_alone(child.data_type(), inside)),
        _ => false,
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn direct_pages_of_every_kind_are_lifted(seed in any::<u64>()) {
        let mut random = Random::new(seed);
        let schema = random.schema(Types::Direct);
        let rows = 1 + random.below(60);
        let batch = random.batch(&schema, rows, 0);
        let (file, record) = encode(&schema, std::slice::from_ref(&vec![batch.clone()]), Effort::Direct);
        let layout = layout(&file, &record);
        let selection = layout.select(0, 0..rows as u64, &TimeRange::ALL, Columns::All).unwrap();
        let bytes = read(&file, &layout, &selection);
        for (field, column) in schema.fields().iter().zip(batch.columns()) {
            let lifted = layout.lifted(&selection, field, &bytes, &Recycler::new(0));
            match lifted {
                Some(lifted) => {
                    prop_assert_eq!(lifted.data_type(), field.data_type());
                    prop_assert_eq!(&lifted, column, "{}", field);
                }
                None => prop_assert!(is_left_alone(field.data_type(), false), "{}", field),
            }
        }
    }
}
