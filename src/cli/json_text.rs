//! JSON from others on a terminal: real characters where they can be shown, escapes where they would do something.

use super::output::is_hostile;

/// Characters of one document that are shown; what follows is only counted.
const SHOWN_MAX: usize = 240;

/// The text of a JSON document for one line of a terminal. Numbers stay as they were written.
///
/// * `raw`: JSON that was parsed before; anything else comes out harmless too.
/// * returns: escapes like `\u00e9` as the characters they mean; those a terminal would act on, in either form, as escapes.
pub fn json_text(raw: &str) -> String {
    let mut text = String::with_capacity(raw.len());
    let (mut rest, mut quoted, mut shown) = (raw, false, 0);
    while let Some(first) = rest.chars().next() {
        if shown == SHOWN_MAX {
            return format!("{text} … ({} bytes; `| cat` shows all)", raw.len());
        }
        shown += 1;
        let (character, written) = escaped(rest).unwrap_or((first, first.len_utf8()));
        let is_escape = first == '\\';
        rest = rest.get(written..).unwrap_or_default();
        match character {
            // An escape other than `\u`: it stays with what it escapes, or a quote in a text would end it.
            '\\' if is_escape && written == 1 => {
                let next = rest.chars().next().filter(|next| next.is_ascii_graphic());
                text.push('\\');
                text.extend(next);
                rest = rest.get(next.map_or(0, char::len_utf8)..).unwrap_or_default();
            }
            // Between values.
            '\n' | '\r' | '\t' if !quoted && !is_escape => text.push(' '),
            '"' | '\\' if is_escape => text.extend(['\\', character]),
            _ if is_hostile(character) => {
                for unit in character.encode_utf16(&mut [0; 2]) {
                    text += &format!("\\u{unit:04x}");
                }
            }
            _ => {
                quoted ^= character == '"';
                text.push(character);
            }
        }
    }
    text
}

/// The character that an escape at the start of `text` means, and its length in bytes; `None` for no `\u` escape and for half
/// a pair of them, which means none.
fn escaped(text: &str) -> Option<(char, usize)> {
    let unit = |text: &str| {
        let digits =
            text.strip_prefix("\\u")?.get(..4).filter(|digits| digits.bytes().all(|d| d.is_ascii_hexdigit()))?;
        u16::from_str_radix(digits, 16).ok()
    };
    let first = unit(text)?;
    if let Some(character) = char::from_u32(first.into()) {
        return Some((character, 6));
    }
    let pair = [first, unit(text.get(6..)?)?];
    let character = char::decode_utf16(pair).next()?.ok()?;
    Some((character, 12))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn letters_of_all_languages_are_shown() {
        assert_eq!(
            json_text(r#"{"driver": "J\u00fcrgen \ud83d\ude97", "n": 1.10}"#),
            r#"{"driver": "Jürgen 🚗", "n": 1.10}"#
        );
        assert_eq!(json_text("{\n  \"a\": 1\n}"), r#"{   "a": 1 }"#);
    }

    #[test]
    fn what_a_terminal_would_do_stays_an_escape() {
        let hostile =
            [r"\u001b[2J", r"\u009b2J", r"\u202eevil", r"\u2066", r"\u200b", r"\ufeff", r"\u0007", r"\u007f", r"\r\n"];
        for text in hostile {
            let text = format!(r#"{{"a":"{text}"}}"#);
            assert_eq!(json_text(&text), text);
        }
        assert_eq!(json_text("\"\u{202e}\u{9b}\u{7f}\u{e0041}\""), r#""\u202e\u009b\u007f\udb40\udc41""#);
        // Half a pair, and a backslash that was itself escaped.
        assert_eq!(json_text(r#"["\ud83d", "\\u0041", "\u0022", "\u005c"]"#), r#"["\ud83d", "\\u0041", "\"", "\\"]"#);
    }

    #[test]
    fn a_long_document_is_cut_and_says_so() {
        let text = json_text(&format!(r#"{{"a": "{}"}}"#, "x".repeat(5000)));
        assert!(text.len() < 300 && text.contains("5009 bytes"), "{text}");
    }

    proptest! {
        /// Goal: nothing that is printed can move a terminal, and what is short still means the same.
        #[test]
        fn every_text_is_harmless_and_means_the_same(content in ".{0,30}") {
            let raw = serde_json::to_string(&content).unwrap();
            let text = json_text(&raw);
            prop_assert!(!text.chars().any(is_hostile), "{text:?}");
            prop_assert_eq!(serde_json::from_str::<String>(&text).unwrap(), content);
        }

        #[test]
        fn what_is_no_json_is_harmless_too(raw in any::<String>()) {
            prop_assert!(!json_text(&raw).chars().any(is_hostile));
        }
    }
}
