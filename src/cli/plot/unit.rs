//! The unit of a field, out of what its schema says about it.

use arrow::datatypes::Field;

/// What descriptions call units, and how they are written. What contains another stands in front of it.
const WORDS: &[(&str, &str)] = &[
    ("m/s^2", "m/s²"),
    ("m/s²", "m/s²"),
    ("meters per second squared", "m/s²"),
    ("rad/s", "rad/s"),
    ("radians per second", "rad/s"),
    ("m/s", "m/s"),
    ("meters per second", "m/s"),
    ("microtesla", "µT"),
    ("µt", "µT"),
    ("tesla", "T"),
    ("celsius", "°C"),
    ("°c", "°C"),
    ("kelvin", "K"),
    ("pascal", "Pa"),
    ("newton-met", "N·m"),
    ("newton", "N"),
    ("ampere-hour", "Ah"),
    ("ampere", "A"),
    ("volt", "V"),
    ("kilogram", "kg"),
    ("decibel", "dB"),
    ("radian", "rad"),
    ("degree", "°"),
    ("nanoseconds", "ns"),
    ("seconds", "s"),
    ("meter", "m"),
    ("metre", "m"),
    ("pixel", "px"),
];

/// Keys of a field's metadata that hold a unit as it is.
const KEYS: [&str; 2] = ["unit", "units"];

/// * `path`: the fields from the top to the one that is drawn; the nearest that tells a unit decides.
/// * returns: `None` where nobody tells one.
pub fn unit(path: &[&Field]) -> Option<String> {
    path.iter().rev().find_map(|field| {
        let said = KEYS.iter().find_map(|key| field.metadata().get(key)).filter(|unit| !unit.is_empty());
        said.cloned().or_else(|| {
            let text = field.metadata().get("description")?.to_lowercase();
            let word = |word: &str| text.match_indices(word).any(|(at, _)| stands_alone(&text, at));
            WORDS.iter().find(|(said, _)| word(said)).map(|(_, unit)| (*unit).to_owned())
        })
    })
}

/// Whether what is found there begins a word: no "meter" in "parameter".
fn stands_alone(text: &str, at: usize) -> bool {
    let before = text.get(..at).and_then(|before| before.chars().next_back());
    before.is_none_or(|c| !c.is_alphanumeric())
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use arrow::datatypes::DataType;

    use super::*;

    fn field(key: &str, text: &str) -> Field {
        Field::new("x", DataType::Float64, true).with_metadata(HashMap::from([(key.to_owned(), text.to_owned())]))
    }

    #[test]
    fn units_are_taken_from_what_fields_say() {
        let of = |text: &str| unit(&[&field("description", text)]);
        assert_eq!(of("Linear acceleration vector in m/s^2.").as_deref(), Some("m/s²"));
        assert_eq!(of("Doppler velocity in m/s.").as_deref(), Some("m/s"));
        assert_eq!(of("x coordinates in meters.").as_deref(), Some("m"));
        assert_eq!(of("Temperature in degrees Celsius").as_deref(), Some("°C"));
        assert_eq!(of("The distortion parameters"), None);
        assert_eq!(of("The second element"), None);
        assert_eq!(unit(&[&field("unit", "mph")]).as_deref(), Some("mph"));
    }

    #[test]
    fn the_nearest_field_decides() {
        let (outer, inner) = (field("description", "in rad/s"), field("description", "The x component"));
        assert_eq!(unit(&[&outer, &inner]).as_deref(), Some("rad/s"));
        assert_eq!(unit(&[&outer, &field("units", "deg/s")]).as_deref(), Some("deg/s"));
        assert_eq!(unit(&[]), None);
    }
}
