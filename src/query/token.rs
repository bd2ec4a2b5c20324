//! The words of a typed query.

use serde_json::Value;
use serde_json::json;

use super::expression::ExpressionError;

#[derive(Clone, Debug, PartialEq)]
pub(super) enum Token {
    /// A field or a word.
    Name(String),
    Literal(Value),
    Sign(&'static str),
}

pub(super) fn tokens(text: &str) -> Result<Vec<(usize, Token)>, ExpressionError> {
    const SIGNS: [&str; 12] = ["==", "!=", "<>", "<=", ">=", "=", "<", ">", "~", "(", ")", ","];
    let chars: Vec<char> = text.chars().collect();
    let (mut out, mut at) = (Vec::new(), 0);
    // No sign is longer, and looking further at each would take the square of the length.
    let next_two = |from: usize| chars.get(from..).unwrap_or_default().iter().take(2).collect::<String>();
    while let Some(c) = chars.get(at).copied() {
        let begin = at;
        if c.is_whitespace() {
            at += 1;
            continue;
        }
        let token = if matches!(c, '"' | '\'') {
            let (mut inside, mut closed) = (String::new(), false);
            at += 1;
            while let Some(own) = chars.get(at) {
                at += 1;
                if *own == c {
                    // Written twice it is a part of the text.
                    if chars.get(at) != Some(&c) {
                        closed = true;
                        break;
                    }
                    at += 1;
                }
                inside.push(*own);
            }
            if !closed {
                return Err(ExpressionError::Unclosed { at: begin, quote: c });
            }
            Token::Literal(inside.into())
        } else if let Some(sign) = SIGNS.iter().find(|sign| next_two(at).starts_with(**sign)) {
            at += sign.len();
            Token::Sign(sign)
        } else {
            // A list specifier may have signs in it.
            let mut inside = false;
            let word: String = chars
                .get(at..)
                .unwrap_or_default()
                .iter()
                .take_while(|c| {
                    inside = (inside || **c == '[') && **c != ']';
                    inside || !(c.is_whitespace() || "=!<>~(),\"'".contains(**c))
                })
                .collect();
            at += word.chars().count().max(1);
            match (word.as_str(), word.parse::<f64>()) {
                ("", _) => {
                    let found = format!("{c:?}");
                    return Err(ExpressionError::Expected { at: begin, expected: "a field or a value", found });
                }
                ("true", _) => Token::Literal(true.into()),
                ("false", _) => Token::Literal(false.into()),
                (digits, Ok(near)) if digits.ends_with(|c: char| c.is_ascii_digit() || c == '.') => {
                    let wrong = || ExpressionError::Number { at: begin, digits: digits.chars().take(80).collect() };
                    Token::Literal(number(digits, near).ok_or_else(wrong)?)
                }
                _ => Token::Name(word),
            }
        };
        out.push((begin, token));
    }
    Ok(out)
}

/// A number as JSON; `None` for one that would become another: an integer whose digits would not all be kept, and what is beyond
/// all floating-point numbers.
fn number(digits: &str, near: f64) -> Option<Value> {
    if let Ok(signed) = digits.parse::<i64>() {
        return Some(signed.into());
    }
    if let Ok(unsigned) = digits.parse::<u64>() {
        return Some(unsigned.into());
    }
    let is_integer = digits.trim_start_matches(['+', '-']).bytes().all(|digit| digit.is_ascii_digit());
    (near.is_finite() && !is_integer).then(|| json!(near))
}
