//! What the texts of a column are: each of them while they are few, then the trigrams of all.

use arrow::array::Array;
use arrow::array::GenericStringArray;
use arrow::array::OffsetSizeTrait;

use super::profile::Effort;
use crate::model::CATEGORIES_MAX;
use crate::model::CATEGORY_LEN_MAX;
use crate::model::Trigrams;
use crate::model::Values;

/// Bytes whose trigrams are looked at where there is no time for it, per chunk.
const DIRECT_BYTES_MAX: usize = 256 << 10;

/// Bytes between two looks at whether trigrams still say something.
const BYTES_BETWEEN: usize = 64 << 10;

pub(super) enum Texts {
    Few(Vec<String>),
    /// * `looked`: bytes that went into them.
    Many {
        trigrams: Trigrams,
        looked: usize,
    },
    Any,
}

impl Texts {
    pub(super) fn add(&mut self, text: &str, effort: Effort) {
        match self {
            Self::Few(known) if known.iter().any(|known| known == text) => {}
            Self::Few(known) if known.len() < CATEGORIES_MAX && text.len() <= CATEGORY_LEN_MAX => {
                known.push(text.to_owned());
            }
            Self::Few(known) => {
                let mut trigrams = Trigrams::default();
                known.iter().for_each(|known| trigrams.add(known));
                trigrams.add(text);
                *self = Self::Many { trigrams, looked: 0 };
            }
            Self::Many { trigrams, looked } => {
                let before = *looked;
                *looked += text.len();
                trigrams.add(text);
                let dear = *looked > DIRECT_BYTES_MAX && effort == Effort::Direct;
                let due = before / BYTES_BETWEEN != *looked / BYTES_BETWEEN;
                if dear || (due && trigrams.is_full()) {
                    *self = Self::Any;
                }
            }
            Self::Any => {}
        }
    }

    /// What a record says of them.
    ///
    /// * `range`: all that is known but for them.
    pub(super) fn finish(self, range: Values) -> Values {
        match (self, range) {
            (Self::Few(known), Values::Prefixes(..)) => Values::Categories(known),
            (Self::Many { trigrams, .. }, Values::Prefixes(least, most, _)) => {
                Values::Prefixes(least, most, Some(trigrams).filter(|trigrams| !trigrams.is_full()))
            }
            (_, range) => range,
        }
    }
}

/// Whether every row has the same text, by one comparison of the bytes with themselves.
pub(super) fn is_constant<O: OffsetSizeTrait>(array: &GenericStringArray<O>) -> bool {
    let offsets = array.value_offsets();
    let (Some(first), Some(second), Some(last)) = (offsets.first(), offsets.get(1), offsets.last()) else {
        return true;
    };
    let len = *second - *first;
    let even = offsets.iter().zip(offsets.iter().skip(1)).all(|(a, b)| *b - *a == len);
    let bytes = array.value_data().get(first.as_usize()..last.as_usize()).unwrap_or_default();
    let (from, to) = (bytes.get(len.as_usize()..), bytes.get(..bytes.len().saturating_sub(len.as_usize())));
    even && array.null_count() == 0 && from == to
}
