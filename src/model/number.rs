//! Numbers as a question has them, and ranges of them that mean the same for every type of column.
//!
//! Integers and floats compare by value, exactly: an integer of 64 bits never goes through a float that cannot hold it.
//! A range becomes closed ranges of the type that is asked, once; values are then compared with two numbers of their own type.

use std::cmp::Ordering;
use std::ops::Bound;

/// A finite number.
#[derive(Clone, Copy, Debug)]
pub enum Number {
    Integer(i128),
    Float(f64),
}

/// Numbers between two bounds.
pub type NumberRange = (Bound<Number>, Bound<Number>);

impl Number {
    pub fn total_cmp(self, other: Self) -> Ordering {
        match (self, other) {
            (Self::Integer(a), Self::Integer(b)) => a.cmp(&b),
            (Self::Float(a), Self::Float(b)) => a.partial_cmp(&b).unwrap_or(Ordering::Equal),
            (Self::Integer(a), Self::Float(b)) => compare(a, b),
            (Self::Float(a), Self::Integer(b)) => compare(b, a).reverse(),
        }
    }

    fn floor(self) -> i128 {
        match self {
            Self::Integer(n) => n,
            // The cast saturates, far outside of every integer column.
            Self::Float(x) => x.floor() as i128,
        }
    }

    fn ceil(self) -> i128 {
        match self {
            Self::Integer(n) => n,
            Self::Float(x) => x.ceil() as i128,
        }
    }

    /// The largest float that is not above.
    fn float_below(self) -> f64 {
        match self {
            Self::Float(x) => x,
            Self::Integer(n) => match n as f64 {
                near if compare(n, near) == Ordering::Less => near.next_down(),
                near => near,
            },
        }
    }

    /// The smallest float that is not below.
    fn float_above(self) -> f64 {
        match self {
            Self::Float(x) => x,
            Self::Integer(n) => match n as f64 {
                near if compare(n, near) == Ordering::Greater => near.next_up(),
                near => near,
            },
        }
    }
}

impl PartialEq for Number {
    fn eq(&self, other: &Self) -> bool {
        self.total_cmp(*other) == Ordering::Equal
    }
}

/// An integer with a float, by value.
fn compare(integer: i128, float: f64) -> Ordering {
    let near = integer as f64;
    match near.partial_cmp(&float).unwrap_or(Ordering::Equal) {
        // The nearest float may be the same for several integers; a float as large as that is an integer.
        Ordering::Equal => integer.cmp(&(float as i128)),
        other => other,
    }
}

/// The integers of a range, both bounds included; `None` when there are none.
pub fn integers(range: &NumberRange) -> Option<(i128, i128)> {
    let first = match range.0 {
        Bound::Unbounded => i128::MIN,
        Bound::Included(low) => low.ceil(),
        Bound::Excluded(low) => low.floor().saturating_add(1),
    };
    let last = match range.1 {
        Bound::Unbounded => i128::MAX,
        Bound::Included(high) => high.floor(),
        Bound::Excluded(high) => high.ceil().saturating_sub(1),
    };
    (first <= last).then_some((first, last))
}

/// The floats of a range, both bounds included, infinities too; `None` when there are none. NaN is in no range.
pub fn floats(range: &NumberRange) -> Option<(f64, f64)> {
    let first = match range.0 {
        Bound::Unbounded => f64::NEG_INFINITY,
        Bound::Included(low) => low.float_above(),
        Bound::Excluded(low) => low.float_below().next_up(),
    };
    let last = match range.1 {
        Bound::Unbounded => f64::INFINITY,
        Bound::Included(high) => high.float_below(),
        Bound::Excluded(high) => high.float_above().next_down(),
    };
    (first <= last).then_some((first, last))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn number() -> impl Strategy<Value = Number> {
        prop_oneof![
            any::<i64>().prop_map(|n| Number::Integer(n.into())),
            any::<u64>().prop_map(|n| Number::Integer(n.into())),
            (-3i128..4).prop_map(Number::Integer),
            any::<f64>().prop_filter("finite", |x| x.is_finite()).prop_map(Number::Float),
            (-6i32..7).prop_map(|n| Number::Float(f64::from(n) / 2.0)),
            Just(Number::Float((1u64 << 53) as f64)),
            Just(Number::Integer((1 << 53) + 1)),
            Just(Number::Float(i64::MAX as f64)),
        ]
    }

    fn bound() -> impl Strategy<Value = Bound<Number>> {
        prop_oneof![Just(Bound::Unbounded), number().prop_map(Bound::Included), number().prop_map(Bound::Excluded)]
    }

    /// The slow way: by comparing.
    fn contains(range: &NumberRange, value: Number) -> bool {
        let low = match range.0 {
            Bound::Unbounded => true,
            Bound::Included(low) => low.total_cmp(value).is_le(),
            Bound::Excluded(low) => low.total_cmp(value).is_lt(),
        };
        let high = match range.1 {
            Bound::Unbounded => true,
            Bound::Included(high) => value.total_cmp(high).is_le(),
            Bound::Excluded(high) => value.total_cmp(high).is_lt(),
        };
        low && high
    }

    proptest! {
        #[test]
        fn closed_ranges_hold_the_same_numbers(low in bound(), high in bound(), n in number(), x in number()) {
            let range = (low, high);
            if let Number::Integer(n) = n {
                let inside = integers(&range).is_some_and(|(first, last)| (first..=last).contains(&n));
                prop_assert_eq!(inside, contains(&range, Number::Integer(n)));
            }
            if let Number::Float(x) = x {
                let inside = floats(&range).is_some_and(|(first, last)| (first..=last).contains(&x));
                prop_assert_eq!(inside, contains(&range, Number::Float(x)));
            }
        }
    }

    #[test]
    fn large_integers_never_go_through_a_float() {
        let max = Number::Integer(i128::from(i64::MAX));
        assert_eq!(integers(&(Bound::Excluded(max), Bound::Unbounded)).unwrap().0, 1 << 63);
        assert_eq!(floats(&(Bound::Included(max), Bound::Included(max))), None);
        assert_eq!(floats(&(Bound::Excluded(Number::Integer(0)), Bound::Unbounded)).unwrap().0, f64::from_bits(1));
        assert_eq!(Number::Float(-0.0), Number::Integer(0));
    }
}
