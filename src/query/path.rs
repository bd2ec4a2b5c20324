//! Paths of keys: `IMU.acceleration.covariance[2]` into rows, `vehicle.*.name` into metadata.

use super::ast::MetadataStep;
use super::error::Problem;
use crate::model::Item;
use crate::model::Step;

/// Fields of one path.
const STEPS_MAX: usize = 64;

/// The tag, and the way to a column.
pub(super) fn column(text: &str) -> Result<(String, Vec<Step>), Problem> {
    let wrong = |why| Problem::Path { why };
    let (tag, path) = text.split_once('.').ok_or(wrong("there is no '.'"))?;
    if tag.is_empty() {
        return Err(wrong("the tag is empty"));
    }
    let steps: Vec<Step> = path.split('.').map(step).collect::<Result<_, _>>()?;
    if steps.len() > STEPS_MAX {
        return Err(wrong("it has more than 64 fields"));
    }
    Ok((tag.to_owned(), steps))
}

fn step(text: &str) -> Result<Step, Problem> {
    let wrong = |why| Problem::Path { why };
    let (name, item) = match text.split_once('[') {
        None if text.contains(']') => return Err(wrong("a ']' without its '['")),
        None => (text, None),
        Some((name, rest)) => {
            let inside = rest.strip_suffix(']').ok_or(wrong("a list specifier ends with ']'"))?;
            if inside.contains(['[', ']']) {
                return Err(wrong("a field has one list specifier: lists of lists are not supported"));
            }
            let item = match inside {
                "?" => Item::Any,
                "!" => Item::All,
                digits if !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_digit()) => {
                    Item::Index(digits.parse().map_err(|_| wrong("the index is too large"))?)
                }
                _ => return Err(wrong("a list specifier is [0], [1] …, [?] for any element or [!] for all")),
            };
            (name, Some(item))
        }
    };
    if name.is_empty() {
        return Err(wrong("a field is empty"));
    }
    Ok(Step { name: name.to_owned(), item })
}

/// The way to a value of user metadata.
pub(super) fn metadata(text: &str) -> Result<Vec<MetadataStep>, Problem> {
    let wrong = |why| Problem::MetadataPath { why };
    let mut steps = Vec::new();
    for part in text.split('.') {
        let (mut name, mut lists) = (part, 0);
        while let Some(rest) = name.strip_suffix("[*]") {
            (name, lists) = (rest, lists + 1);
        }
        match name {
            "" if lists == 0 => return Err(wrong("a key is empty")),
            // A list right behind a dot belongs to what is before it.
            "" if steps.is_empty() => return Err(wrong("it begins with a list")),
            "" => {}
            "*" => steps.push(MetadataStep::AnyKey),
            // Two in a row mean one.
            "**" if steps.last() == Some(&MetadataStep::AnyDepth) => {}
            "**" => steps.push(MetadataStep::AnyDepth),
            name if name.contains('*') => return Err(wrong("'*' stands alone, at most twice")),
            name if name.contains("--") => return Err(wrong("a key has '--'")),
            name if name.chars().any(|c| !(c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | ' '))) => {
                return Err(wrong("a key has another character"));
            }
            name => steps.push(MetadataStep::Key(name.to_owned())),
        }
        steps.extend(std::iter::repeat_n(MetadataStep::Items, lists));
        if steps.len() > STEPS_MAX {
            return Err(wrong("it has more than 64 keys"));
        }
    }
    // Each walks all of the metadata.
    if steps.iter().filter(|step| **step == MetadataStep::AnyDepth).count() > 3 {
        return Err(wrong("'**' stands in it more than three times"));
    }
    Ok(steps)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_taken_apart() {
        let (tag, steps) = column("RobotPath.poses[!].position.z").unwrap();
        let names: Vec<_> = steps.iter().map(|step| (step.name.as_str(), step.item)).collect();
        assert_eq!(
            (tag.as_str(), names),
            ("RobotPath", vec![("poses", Some(Item::All)), ("position", None), ("z", None)])
        );
        assert_eq!(column("A.b[12]").unwrap().1[0].item, Some(Item::Index(12)));
        for bad in [
            "A",
            ".b",
            "A.",
            "A.b..c",
            "A.b[",
            "A.b[]",
            "A.b[1][2]",
            "A.b[-1]",
            "A.b[1]c",
            "A.b]",
            "A.[1]",
            "A.b[99999999999999999999]",
        ] {
            assert!(matches!(column(bad), Err(Problem::Path { .. })), "{bad}");
        }
    }

    #[test]
    fn metadata_paths_are_taken_apart() {
        use MetadataStep::*;
        let key = |name: &str| Key(name.to_owned());
        assert_eq!(metadata("a.*.b c.**").unwrap(), [key("a"), AnyKey, key("b c"), AnyDepth]);
        assert_eq!(metadata("a[*].b").unwrap(), [key("a"), Items, key("b")]);
        assert_eq!(metadata("a.[*].b").unwrap(), [key("a"), Items, key("b")]);
        for bad in ["", "a..b", "***", "a.b*", "a--b", "a/b", "[*]", "a[0]", "a."] {
            assert!(matches!(metadata(bad), Err(Problem::MetadataPath { .. })), "{bad}");
        }
    }
}
