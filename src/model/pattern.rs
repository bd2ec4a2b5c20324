//! Patterns of `$match`: globs over a whole text, and the search of older clients anywhere in it. Both take time linear in
//! the text for one pattern, up to the length of the pattern.

use regex::Regex;
use regex::RegexBuilder;

mod classes;

use classes::Classes;

/// A checked pattern.
#[derive(Clone, Debug)]
pub enum Pattern {
    Glob(Glob),
    /// A regular expression that has to be found somewhere in the text.
    Search(Regex),
    /// A text that has to be found somewhere in the text: what is no regular expression is looked for as it stands.
    Contains(String),
}

/// Memory of one regular expression, and as much again while it is matched.
const SEARCH_BYTES_MAX: usize = 256 << 10;

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PatternError {
    #[error("the pattern is empty")]
    Empty,
    #[error("a pattern of {len} characters: at most {max}")]
    Length { len: usize, max: usize },
    #[error("the set that begins at character {at} {why}")]
    Set { at: usize, why: &'static str },
    #[error("the pattern takes too much memory")]
    Size,
}

impl Pattern {
    pub const LEN_MAX: usize = 256; // characters

    /// `*` any run, `?` one character, `#` one digit, `[a-z_]` one of a set, `[!a-z]` or `[^a-z]` none of it; everything else,
    /// the backslash too, is itself.
    ///
    /// # Errors
    /// [`PatternError`] for an empty or long pattern and for a malformed set.
    pub fn glob(text: &str) -> Result<Self, PatternError> {
        check_len(text)?;
        Glob::parse(text).map(Self::Glob)
    }

    /// What clients before globs mean: a regular expression or a part of the text.
    ///
    /// # Errors
    /// As [`Self::glob`], without sets.
    pub fn search(text: &str) -> Result<Self, PatternError> {
        check_len(text)?;
        let regex = RegexBuilder::new(text)
            .size_limit(SEARCH_BYTES_MAX)
            .dfa_size_limit(SEARCH_BYTES_MAX)
            .nest_limit(32)
            .build();
        match regex {
            Ok(regex) => Ok(Self::Search(regex)),
            Err(regex::Error::CompiledTooBig(_)) => Err(PatternError::Size),
            Err(_) => Ok(Self::Contains(text.to_owned())),
        }
    }

    pub fn matches(&self, text: &str) -> bool {
        match self {
            Self::Glob(glob) => glob.matches(text),
            Self::Search(regex) => regex.is_match(text),
            Self::Contains(part) => text.contains(part.as_str()),
        }
    }

    /// What every match begins with; empty when that is not known.
    pub fn prefix(&self) -> String {
        match self {
            Self::Glob(glob) => glob.prefix(),
            Self::Search(_) | Self::Contains(_) => String::new(),
        }
    }

    /// The same with this character in front, where it begins with another one.
    pub fn beginning_with(self, first: char) -> Self {
        let Self::Glob(Glob(mut parts)) = self else { return self };
        match parts.first_mut() {
            Some(Part::Literal(text)) if text.chars().next().is_some_and(|own| own != first) => text.insert(0, first),
            Some(part @ Part::Pieces(..)) => {
                if let Part::Pieces(pieces, _) = part
                    && pieces.first().and_then(Piece::letter).is_some_and(|own| own != first)
                {
                    pieces.insert(0, Piece::One(first));
                    *part = Part::of(pieces);
                }
            }
            _ => {}
        }
        Self::Glob(Glob(parts))
    }

    /// What every match has in it somewhere, as far as that is known.
    pub fn parts(&self) -> Vec<String> {
        match self {
            Self::Glob(glob) => glob.0.iter().flat_map(Part::literals).collect(),
            Self::Search(regex) if regex::escape(regex.as_str()) == regex.as_str() => vec![regex.to_string()],
            Self::Search(_) => Vec::new(),
            Self::Contains(part) => vec![part.clone()],
        }
    }
}

/// The same text gives the same pattern.
impl PartialEq for Pattern {
    fn eq(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Glob(a), Self::Glob(b)) => a == b,
            (Self::Search(a), Self::Search(b)) => a.as_str() == b.as_str(),
            (Self::Contains(a), Self::Contains(b)) => a == b,
            _ => false,
        }
    }
}

fn check_len(text: &str) -> Result<(), PatternError> {
    match text.chars().count() {
        0 => Err(PatternError::Empty),
        len if len > Pattern::LEN_MAX => Err(PatternError::Length { len, max: Pattern::LEN_MAX }),
        _ => Ok(()),
    }
}

/// The parts between runs: the first one begins the text, the last one ends it, those in between follow in order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Glob(Vec<Part>);

/// Pieces in a row, none of them a run.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Part {
    Literal(String),
    Pieces(Vec<Piece>, Classes),
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Piece {
    One(char),
    Any,
    Digit,
    Run,
    Set { negated: bool, ranges: Vec<(char, char)> },
}

impl Piece {
    /// The one character that it takes.
    fn letter(&self) -> Option<char> {
        if let Self::One(c) = self { Some(*c) } else { None }
    }

    fn takes(&self, c: char) -> bool {
        match self {
            Self::One(own) => *own == c,
            Self::Any => true,
            Self::Digit => c.is_ascii_digit(),
            Self::Run => false,
            Self::Set { negated, ranges } => *negated != ranges.iter().any(|(low, high)| (*low..=*high).contains(&c)),
        }
    }
}

impl Part {
    fn of(pieces: &[Piece]) -> Self {
        match pieces.iter().map(Piece::letter).collect() {
            Some(text) => Self::Literal(text),
            None => Self::Pieces(pieces.to_vec(), Classes::of(pieces)),
        }
    }

    fn literals(&self) -> Vec<String> {
        match self {
            Self::Literal(text) => vec![text.clone()],
            Self::Pieces(pieces, _) => {
                let runs = pieces.split(|piece| piece.letter().is_none());
                runs.map(|run| run.iter().filter_map(Piece::letter).collect()).collect()
            }
        }
    }

    /// What is left of the text behind it, when it begins the text.
    fn strip<'a>(&self, text: &'a str) -> Option<&'a str> {
        match self {
            Self::Literal(own) => text.strip_prefix(own.as_str()),
            Self::Pieces(pieces, _) => {
                let mut chars = text.chars();
                pieces.iter().all(|piece| chars.next().is_some_and(|c| piece.takes(c))).then_some(chars.as_str())
            }
        }
    }

    /// What is left of the text behind its first place. In time linear in the text, however much it repeats itself.
    fn find<'a>(&self, text: &'a str) -> Option<&'a str> {
        match self {
            Self::Literal(own) => text.split_once(own.as_str()).map(|(_, rest)| rest),
            Self::Pieces(_, classes) => classes.find(text),
        }
    }

    fn ends(&self, text: &str) -> bool {
        match self {
            Self::Literal(own) => text.ends_with(own.as_str()),
            Self::Pieces(pieces, _) => {
                let mut chars = text.chars().rev();
                pieces.iter().rev().all(|piece| chars.next().is_some_and(|c| piece.takes(c)))
            }
        }
    }
}

impl Glob {
    fn parse(text: &str) -> Result<Self, PatternError> {
        let mut pieces = Vec::new();
        let mut rest = text.chars().enumerate().peekable();
        while let Some((at, c)) = rest.next() {
            pieces.push(match c {
                // Two runs are as good as one.
                '*' if pieces.last() == Some(&Piece::Run) => continue,
                '*' => Piece::Run,
                '?' => Piece::Any,
                '#' => Piece::Digit,
                '[' => set(at, &mut rest)?,
                c => Piece::One(c),
            });
        }
        Ok(Self(pieces.split(|piece| *piece == Piece::Run).map(Part::of).collect()))
    }

    /// The earliest place for each part leaves most for the later ones.
    fn matches(&self, text: &str) -> bool {
        match self.0.as_slice() {
            [] => text.is_empty(),
            [only] => only.strip(text) == Some(""),
            [first, between @ .., last] => {
                let begun = first.strip(text);
                let rest = between.iter().try_fold(begun, |rest, part| Some(Some(part.find(rest?)?)));
                rest.flatten().is_some_and(|rest| last.ends(rest))
            }
        }
    }

    fn prefix(&self) -> String {
        match self.0.first() {
            Some(Part::Literal(text)) => text.clone(),
            Some(Part::Pieces(pieces, _)) => pieces.iter().map_while(Piece::letter).collect(),
            None => String::new(),
        }
    }
}

/// What follows `[`, up to its `]`. The first character after `[` or its `!` may be `]` itself.
fn set(at: usize, rest: &mut std::iter::Peekable<impl Iterator<Item = (usize, char)>>) -> Result<Piece, PatternError> {
    let wrong = |why| PatternError::Set { at, why };
    let unclosed = || wrong("has no end: write ']' behind it");
    let negated = rest.next_if(|(_, c)| matches!(c, '!' | '^')).is_some();
    let mut ranges = Vec::new();
    loop {
        let (_, low) = rest.next().ok_or_else(unclosed)?;
        if low == ']' {
            return match ranges.is_empty() {
                true => Err(wrong("is empty")),
                false => Ok(Piece::Set { negated, ranges }),
            };
        }
        if rest.next_if(|(_, c)| *c == '-').is_none() {
            ranges.push((low, low));
            continue;
        }
        match rest.peek().ok_or_else(unclosed)? {
            // A minus at the end is itself.
            (_, ']') => ranges.extend([(low, low), ('-', '-')]),
            (_, high) if *high < low => return Err(wrong("has a range that ends before it begins")),
            (_, high) => {
                ranges.push((low, *high));
                rest.next();
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn glob(pattern: &str, text: &str) -> bool {
        Pattern::glob(pattern).unwrap().matches(text)
    }

    #[test]
    fn globs_take_the_whole_text() {
        assert!(glob("*imu", "front_imu") && !glob("*imu", "imu_front") && glob("a*b*c", "aXbYbc") && !glob("a", "ab"));
        assert!(glob("?.2.0", "1.2.0") && !glob("?.2.0", "10.2.0") && glob("?", "é") && glob("a?b", "a\nb"));
        assert!(glob("run-#", "run-7") && !glob("run-#", "run-x") && !glob("run-#", "run-٣"));
        assert!(glob("[gs]*", "gyro") && !glob("[!gs]*", "gyro") && !glob("[^a-z]", "q") && glob("[a-z_-]", "-"));
        assert!(
            glob(r"a\*", r"a\bc") && glob("a.c", "a.c") && !glob("a.c", "abc") && glob("]", "]") && !glob("A", "a")
        );
        assert!(glob("*", "") && glob("**", "a/b") && !glob("?*", "") && glob("*a*", "bab"));
    }

    #[test]
    fn malformed_globs_say_where() {
        assert_eq!(Pattern::glob(""), Err(PatternError::Empty));
        assert_eq!(Pattern::glob(&"é".repeat(257)), Err(PatternError::Length { len: 257, max: 256 }));
        assert!(Pattern::glob(&"é".repeat(256)).is_ok());
        for (bad, place) in [("a[b", 1), ("[]", 0), ("ab[z-a]", 2), ("[!]", 0), ("[a-", 0)] {
            assert!(matches!(Pattern::glob(bad), Err(PatternError::Set { at, .. }) if at == place), "{bad}");
        }
    }

    #[test]
    fn older_patterns_are_found_anywhere() {
        let found = |pattern: &str, text: &str| Pattern::search(pattern).unwrap().matches(text);
        assert!(found("cam", "drive/camera") && found("^drive.*left$", "drive/left") && !found("^cam", "drive/camera"));
        assert!(found("a(b", "xa(by") && !found("a(b", "ab"), "what is no expression is a text");
        assert!(found("*", "a*b") && !found("*", "ab"));
        assert_eq!(Pattern::search(r"(\w{100}){100}"), Err(PatternError::Size));
    }

    #[test]
    fn a_beginning_is_put_in_front_of_letters_alone() {
        let matches = |pattern: &str, text: &str| Pattern::glob(pattern).unwrap().beginning_with('/').matches(text);
        assert!(matches("imu", "/imu") && matches("/imu", "/imu") && !matches("imu", "imu") && matches("im?", "/imu"));
        assert!(matches("*imu", "/imu") && matches("?imu", "/imu") && matches("[/]imu", "/imu") && matches("*", "x"));
    }

    #[test]
    fn parts_are_in_every_match() {
        let globbed = |pattern: &str| Pattern::glob(pattern).unwrap().parts().join("|");
        assert_eq!(globbed("*over*heat?ed [ab]x"), "|over|heat|ed |x");
        let searched = |pattern: &str| Pattern::search(pattern).unwrap().parts();
        assert_eq!(
            (searched("heat"), searched("a(b"), searched("he.t")),
            (vec!["heat".to_owned()], vec!["a(b".to_owned()], vec![])
        );
    }

    #[test]
    fn hostile_globs_end() {
        let pattern = Pattern::glob(&"*a".repeat(100)).unwrap();
        assert!(!pattern.matches(&format!("{}b", "a".repeat(20_000))));
        let pattern = Pattern::glob(&format!("*{}b*", "a".repeat(200))).unwrap();
        assert!(!pattern.matches(&"a".repeat(10_000_000)));
        for negated in ["[b-z]", "[!a]", "?b"] {
            let pattern = Pattern::glob(&format!("*{}{negated}*", "a".repeat(240))).unwrap();
            assert!(!pattern.matches(&"a".repeat(10_000_000)), "{negated}");
        }
    }

    proptest! {
        /// Goal: the greedy matcher agrees with the definition.
        #[test]
        fn globs_match_as_their_expression_does(pattern in "[ab*?#\\[\\]\\-^.]{1,8}", text in "[ab1.\\n]{0,8}") {
            let Ok(glob) = Pattern::glob(&pattern) else { return Ok(()) };
            let Pattern::Glob(Glob(parts)) = &glob else { unreachable!() };
            let pieces: Vec<Piece> = parts.iter().map(|part| match part {
                Part::Literal(text) => text.chars().map(Piece::One).collect(),
                Part::Pieces(pieces, _) => pieces.clone(),
            }).collect::<Vec<Vec<Piece>>>().join(&Piece::Run);
            let class = |negated: &bool, ranges: &[(char, char)]| {
                let inside: String = ranges.iter().map(|(a, b)| format!(r"\x{{{:x}}}-\x{{{:x}}}", *a as u32, *b as u32)).collect();
                format!("[{}{inside}]", if *negated { "^" } else { "" })
            };
            let expression: String = pieces.iter().map(|piece| match piece {
                Piece::One(c) => regex::escape(&c.to_string()),
                Piece::Any => ".".to_owned(),
                Piece::Digit => "[0-9]".to_owned(),
                Piece::Run => ".*".to_owned(),
                Piece::Set { negated, ranges } => class(negated, ranges),
            }).collect();
            let truth = Regex::new(&format!(r"(?s)\A(?:{expression})\z")).unwrap();
            prop_assert_eq!(glob.matches(&text), truth.is_match(&text), "{} on {:?}", pattern, text);
            prop_assert!(!glob.matches(&text) || glob.parts().iter().all(|part| text.contains(part.as_str())));
        }
    }
}
