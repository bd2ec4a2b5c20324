//! Messages of ROS 2, and which of them our models become: the table `ros2.txt`, which says how it is read.

use std::collections::BTreeMap;
use std::rc::Rc;

const TABLE: &str = include_str!("ros2.txt");

/// What stands between the definitions of a schema.
const RULE: &str = "================================================================================";

/// The type of a field.
#[derive(Clone, Debug, PartialEq)]
pub enum Kind {
    Bool,
    Int(u8),
    Unsigned(u8),
    Float(u8),
    Text,
    Message(Rc<Message>),
    /// However many.
    List(Box<Kind>),
    Array(usize, Box<Kind>),
}

#[derive(Debug, PartialEq)]
pub struct Message {
    /// `package/Name`.
    pub name: String,
    pub fields: Vec<(String, Kind)>,
}

impl Message {
    /// `package/msg/Name`, as schemas are called.
    pub fn schema_name(&self) -> String {
        self.name.replacen('/', "/msg/", 1)
    }

    /// The definition with those of all it contains.
    pub fn schema(&self) -> String {
        let (mut text, mut told) = (lines(self), vec![self.name.as_str()]);
        self.tell(&mut text, &mut told);
        text
    }

    fn tell<'a>(&'a self, text: &mut String, told: &mut Vec<&'a str>) {
        for (_, kind) in &self.fields {
            let Some(inner) = kind.message() else { continue };
            if !told.contains(&inner.name.as_str()) {
                told.push(&inner.name);
                *text += &format!("{RULE}\nMSG: {}\n{}", inner.name, lines(inner));
                inner.tell(text, told);
            }
        }
    }
}

fn lines(message: &Message) -> String {
    message.fields.iter().map(|(name, kind)| format!("{} {name}\n", kind.name())).collect()
}

impl Kind {
    fn message(&self) -> Option<&Message> {
        match self {
            Self::Message(message) => Some(message),
            Self::List(item) | Self::Array(_, item) => item.message(),
            _ => None,
        }
    }

    fn name(&self) -> String {
        match self {
            Self::Bool => "bool".to_owned(),
            Self::Int(bits) => format!("int{bits}"),
            Self::Unsigned(bits) => format!("uint{bits}"),
            Self::Float(bits) => format!("float{bits}"),
            Self::Text => "string".to_owned(),
            Self::Message(message) => message.name.clone(),
            Self::List(item) => format!("{}[]", item.name()),
            Self::Array(count, item) => format!("{}[{count}]", item.name()),
        }
    }
}

/// A model and the message it becomes.
#[derive(Clone, Debug)]
pub struct Mapping {
    pub message: Rc<Message>,
    /// By the path of a field of the message: the path it comes from, when its name does not say it.
    pub sources: BTreeMap<String, String>,
}

/// The mappings of all models, by their tags, and all messages.
pub struct Messages {
    mappings: BTreeMap<String, Mapping>,
    messages: BTreeMap<String, Rc<Message>>,
}

impl Messages {
    /// The table in the binary. Lines that cannot be read are left out; a test sees that there are none.
    pub fn known() -> Self {
        let mut own = Self { mappings: BTreeMap::new(), messages: BTreeMap::new() };
        for line in TABLE.lines() {
            own.take(line);
        }
        own
    }

    pub fn mapping(&self, tag: &str) -> Option<&Mapping> {
        self.mappings.get(tag)
    }

    pub fn message(&self, name: &str) -> Option<Rc<Message>> {
        self.messages.get(name).cloned()
    }

    /// `None` for lines that say nothing, and those that cannot be read.
    fn take(&mut self, line: &str) -> Option<()> {
        if line.starts_with('#') {
            return None;
        }
        if let Some((tag, rest)) = line.split_once(" > ") {
            let (name, rules) = rest.split_once(": ").unwrap_or((rest, ""));
            let rules = rules.split(", ").filter(|rule| !rule.is_empty());
            let sources = rules.map(|rule| rule.split_once(" = ").map(|(to, from)| (to.to_owned(), from.to_owned())));
            let mapping = Mapping { message: self.message(name)?, sources: sources.collect::<Option<_>>()? };
            self.mappings.insert(tag.to_owned(), mapping);
            return Some(());
        }
        let (name, fields) = line.split_once(" = ")?;
        let field =
            |text: &str| text.split_once(' ').and_then(|(kind, name)| Some((name.to_owned(), self.kind(kind)?)));
        let fields = fields.split(", ").map(field).collect::<Option<_>>()?;
        self.messages.insert(name.to_owned(), Rc::new(Message { name: name.to_owned(), fields }));
        Some(())
    }

    fn kind(&self, text: &str) -> Option<Kind> {
        if let Some((item, count)) = text.strip_suffix(']').and_then(|text| text.split_once('[')) {
            let item = Box::new(self.kind(item)?);
            return match count {
                "" => Some(Kind::List(item)),
                count => Some(Kind::Array(count.parse().ok()?, item)),
            };
        }
        let at = text.find(|c: char| c.is_ascii_digit()).unwrap_or(text.len());
        let (word, bits) = text.split_at(at);
        Some(match (word, bits) {
            ("bool", "") => Kind::Bool,
            ("string", "") => Kind::Text,
            ("int", bits) => Kind::Int(bits.parse().ok()?),
            ("uint", bits) => Kind::Unsigned(bits.parse().ok()?),
            ("float", bits) => Kind::Float(bits.parse().ok()?),
            _ => Kind::Message(self.message(text)?),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_line_of_the_table_is_read() {
        let mut own = Messages { mappings: BTreeMap::new(), messages: BTreeMap::new() };
        for line in TABLE.lines().filter(|line| !line.is_empty() && !line.starts_with('#')) {
            assert!(own.take(line).is_some(), "{line}");
        }
        assert!(own.mappings.len() > 40);
    }

    /// Every field that a rule is about is one of its message.
    #[test]
    fn rules_are_about_fields_that_are_there() {
        fn has(message: &Message, path: &[&str]) -> bool {
            let Some((first, rest)) = path.split_first() else { return true };
            let Some((_, kind)) = message.fields.iter().find(|(name, _)| name == first) else { return false };
            rest.is_empty() || kind.message().is_some_and(|inner| has(inner, rest))
        }
        for (tag, mapping) in Messages::known().mappings {
            for path in mapping.sources.keys() {
                assert!(has(&mapping.message, &path.split('.').collect::<Vec<_>>()), "{tag}: {path}");
            }
        }
    }

    #[test]
    fn a_schema_defines_all_it_contains_once() {
        let schema = Messages::known().message("sensor_msgs/Imu").unwrap();
        assert_eq!(schema.schema_name(), "sensor_msgs/msg/Imu");
        let text = schema.schema();
        assert!(
            text.starts_with("std_msgs/Header header\ngeometry_msgs/Quaternion orientation\nfloat64[9] orientation_c")
        );
        let defined: Vec<&str> = text.lines().filter_map(|line| line.strip_prefix("MSG: ")).collect();
        let expected =
            ["std_msgs/Header", "builtin_interfaces/Time", "geometry_msgs/Quaternion", "geometry_msgs/Vector3"];
        assert_eq!(defined, expected);
    }
}
