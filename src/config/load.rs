//! Loads the configuration in layers: default, then file, then environment, then flags; the last one that says something
//! wins. Remembers for each key where its value came from.

use std::collections::BTreeMap;
use std::fmt;
use std::path::Path;
use std::path::PathBuf;

use toml::Table;
use toml::Value;

use super::check;
use super::check::CheckError;
use super::compose::Config;
use super::environment;
use crate::io::Host;

/// Bytes of a configuration file: more is no configuration.
const FILE_LEN_MAX: u64 = 1 << 20;

/// Where a value came from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Origin {
    Default,
    File(PathBuf),
    Environment(String),
    Flag(&'static str),
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Default => f.write_str("default"),
            Self::File(path) => write!(f, "file {}", path.display()),
            Self::Environment(name) => write!(f, "environment {name}"),
            Self::Flag(name) => write!(f, "flag {name}"),
        }
    }
}

#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    #[error("configuration file {}: {cause}", path.display())]
    Read { path: PathBuf, cause: std::io::Error },
    #[error("configuration file {}: {cause}", path.display())]
    Syntax { path: PathBuf, cause: Box<toml::de::Error> },
    #[error("{origin}: there is no key {key}{hint}")]
    UnknownKey { origin: Origin, key: String, hint: String },
    #[error("{origin}: {key} is {found:?}, expected {expected}")]
    Kind { origin: Origin, key: String, found: String, expected: &'static str },
    #[error("{origin}: {key} is {found}: {cause}")]
    Value { origin: Origin, key: String, found: String, cause: String },
    #[error(transparent)]
    Check(#[from] CheckError),
}

/// A key's value as text, and where it came from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Explained {
    pub key: String,
    pub value: String,
    pub origin: Origin,
}

/// The configuration that holds, and why.
#[derive(Clone, Debug)]
pub struct Loaded {
    pub config: Config,
    origins: BTreeMap<String, Origin>,
}

/// One value from a flag or the environment.
pub struct Override {
    /// Dotted, e.g. `chunk.bytes_max`.
    pub key: String,
    pub value: Value,
    pub origin: Origin,
}

/// Keys that have no value by default and so do not show in the default table.
const OPTIONAL: &[&str] = &["server.unix_socket", "catalog.url", "fleet.address"];

impl Loaded {
    /// * `variables`: the process environment.
    /// * `flags`: what the command line said, already typed.
    ///
    /// # Errors
    /// [`LoadError`] naming the key, the place it came from and what was expected.
    pub fn load(
        file: Option<&Path>,
        variables: impl IntoIterator<Item = (String, String)>,
        flags: Vec<Override>,
    ) -> Result<Self, LoadError> {
        let defaults = default_table();
        let mut origins = BTreeMap::new();
        let mut table = Table::new();
        if let Some(path) = file {
            let found = read(path)?;
            let origin = Origin::File(path.to_owned());
            for (key, value) in flatten(&found) {
                known(&defaults, &key, &origin)?;
                put(&mut table, &key, value);
                origins.insert(key, origin.clone());
            }
        }
        for layer in [environment::overrides(variables, &defaults)?, flags] {
            for Override { key, value, origin } in layer {
                known(&defaults, &key, &origin)?;
                put(&mut table, &key, value);
                origins.insert(key, origin);
            }
        }
        let config: Config = Value::Table(table.clone()).try_into().map_err(|cause| blame(&table, &origins, &cause))?;
        check::check(&config)?;
        Ok(Self { config, origins })
    }

    /// Every key with its value and where that came from, in order.
    pub fn explain(&self) -> Vec<Explained> {
        let values = flatten(&table_of(&self.config));
        let missing = OPTIONAL.iter().filter(|key| !values.iter().any(|(k, _)| k == *key));
        let missing = missing.map(|key| ((*key).to_owned(), "(none)".to_owned()));
        let mut all: Vec<(String, String)> =
            values.iter().map(|(key, value)| (key.clone(), value.to_string())).chain(missing).collect();
        all.sort();
        let explained = |(key, value): (String, String)| {
            let origin = self.origins.get(&key).cloned().unwrap_or(Origin::Default);
            Explained { key, value, origin }
        };
        all.into_iter().map(explained).collect()
    }
}

/// All keys with their defaults.
pub fn default_table() -> Table {
    table_of(&Config::default())
}

fn table_of(config: &Config) -> Table {
    // Every section is a plain struct of numbers, texts and lists: it always has a TOML form.
    Table::try_from(config).unwrap_or_default()
}

fn read(path: &Path) -> Result<Table, LoadError> {
    let read = Host::default().read_small(path, FILE_LEN_MAX).and_then(|bytes| {
        String::from_utf8(bytes).map_err(|error| std::io::Error::new(std::io::ErrorKind::InvalidData, error))
    });
    let text = read.map_err(|cause| LoadError::Read { path: path.to_owned(), cause })?;
    text.parse().map_err(|cause| LoadError::Syntax { path: path.to_owned(), cause: Box::new(cause) })
}

/// Keys are `section.key`; a key outside a section comes out by itself and is refused as unknown.
fn flatten(table: &Table) -> Vec<(String, Value)> {
    let mut flat = Vec::new();
    for (section, value) in table {
        match value {
            Value::Table(keys) => {
                flat.extend(keys.iter().map(|(key, value)| (format!("{section}.{key}"), value.clone())));
            }
            other => flat.push((section.clone(), other.clone())),
        }
    }
    flat
}

fn put(table: &mut Table, key: &str, value: Value) {
    let Some((section, name)) = key.split_once('.') else { return };
    let entry = table.entry(section.to_owned()).or_insert_with(|| Value::Table(Table::new()));
    if let Value::Table(keys) = entry {
        keys.insert(name.to_owned(), value);
    }
}

/// Whether the key exists.
pub fn is_key(defaults: &Table, key: &str) -> bool {
    let found = key.split_once('.').and_then(|(section, name)| defaults.get(section)?.get(name));
    found.is_some() || OPTIONAL.contains(&key)
}

fn known(defaults: &Table, key: &str, origin: &Origin) -> Result<(), LoadError> {
    if is_key(defaults, key) {
        return Ok(());
    }
    let keys = flatten(defaults).into_iter().map(|(known, _)| known);
    let nearest = keys.chain(OPTIONAL.iter().map(|k| (*k).to_owned())).min_by_key(|known| distance(known, key));
    let hint = match nearest {
        Some(near) if distance(&near, key) <= 4 => format!("; did you mean {near}?"),
        _ => String::new(),
    };
    Err(LoadError::UnknownKey { origin: origin.clone(), key: key.to_owned(), hint })
}

/// Finds the key a value of which does not fit, by trying each alone.
fn blame(table: &Table, origins: &BTreeMap<String, Origin>, cause: &toml::de::Error) -> LoadError {
    for (key, value) in flatten(table) {
        let mut alone = Table::new();
        let found = value.to_string();
        put(&mut alone, &key, value);
        if let Err(error) = Value::Table(alone).try_into::<Config>() {
            let origin = origins.get(&key).cloned().unwrap_or(Origin::Default);
            let cause = match key.as_str() {
                "server.listen" => "write an IP address and a port, such as 127.0.0.1:6726".to_owned(),
                _ => error.message().to_owned(),
            };
            return LoadError::Value { origin, key, found, cause };
        }
    }
    let (key, found) = ("configuration".to_owned(), "inconsistent".to_owned());
    LoadError::Value { origin: Origin::Default, key, found, cause: cause.message().to_owned() }
}

/// Edits between two texts (Levenshtein).
pub fn distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.chars().enumerate() {
        let mut diagonal = i;
        let mut left = i + 1;
        for (cell, y) in row.iter_mut().skip(1).zip(&b) {
            let next = (diagonal + usize::from(x != *y)).min(left + 1).min(*cell + 1);
            diagonal = *cell;
            *cell = next;
            left = next;
        }
        if let Some(first) = row.first_mut() {
            *first = i + 1;
        }
    }
    row.last().copied().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn load(file: &str, variables: &[(&str, &str)], flags: Vec<Override>) -> Result<Loaded, LoadError> {
        let path = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(path.path(), file).unwrap();
        let variables = variables.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned()));
        Loaded::load(Some(path.path()), variables, flags)
    }

    fn flag(key: &str, value: Value) -> Vec<Override> {
        vec![Override { key: key.to_owned(), value, origin: Origin::Flag("--test") }]
    }

    #[test]
    fn the_last_layer_wins_and_is_remembered() {
        let file = "[chunk]\nbytes_max = 1000001\nage_s = 5\nidle_s = 6\n";
        let env = [("TESSERA_CHUNK_BYTES_MAX", "1000002"), ("TESSERA_CHUNK_AGE_S", "7")];
        let loaded = load(file, &env, flag("chunk.bytes_max", Value::Integer(1_000_003))).unwrap();
        let chunk = &loaded.config.chunk;
        assert_eq!((chunk.bytes_max, chunk.age_s, chunk.idle_s), (1_000_003, 7, 6));
        let origin = |key: &str| loaded.explain().into_iter().find(|e| e.key == key).unwrap().origin;
        assert_eq!(origin("chunk.bytes_max"), Origin::Flag("--test"));
        assert_eq!(origin("chunk.age_s"), Origin::Environment("TESSERA_CHUNK_AGE_S".to_owned()));
        assert!(matches!(origin("chunk.idle_s"), Origin::File(_)));
        assert_eq!(origin("chunk.rows_max"), Origin::Default);
    }

    #[test]
    fn unknown_keys_are_errors_with_a_hint() {
        let error = load("[chunk]\nbyte_max = 1\n", &[], Vec::new()).unwrap_err().to_string();
        assert!(error.contains("chunk.byte_max") && error.contains("did you mean chunk.bytes_max"), "{error}");
        assert!(load("listen = 1\n", &[], Vec::new()).is_err());
        assert!(load("", &[("TESSERA_CHUNK_NOPE", "1")], Vec::new()).is_err());
    }

    #[test]
    fn unknown_variables_are_errors_with_a_hint_and_those_of_others_are_not() {
        let hints = [
            ("TESSERA_DATA_DIR", "TESSERA_STORAGE_DATA_DIRS"),
            ("TESSERA_LISTEN", "TESSERA_SERVER_LISTEN"),
            ("TESSERA_CHUK_BYTES_MAX", "TESSERA_CHUNK_BYTES_MAX"),
            ("TESSERA_CHUNK_BYTE_MAX", "TESSERA_CHUNK_BYTES_MAX"),
            ("TESSERA_NOTHING_LIKE_IT_AT_ALL", "config explain"),
        ];
        for (name, hint) in hints {
            let error = load("", &[(name, "1")], Vec::new()).unwrap_err().to_string();
            assert!(error.contains(name) && error.contains(hint), "{error}");
        }
        let others = ["CONFIG", "SERVER", "BIN", "TEST_DIR", "PORT", "PORT_6726_TCP_ADDR", "SERVICE_HOST"];
        for name in others {
            assert!(load("", &[(&format!("TESSERA_{name}"), "1")], Vec::new()).is_ok(), "{name}");
        }
    }

    #[test]
    fn a_wrong_value_is_blamed_on_its_key_and_origin() {
        let error = load("[chunk]\nbytes_max = \"big\"\n", &[], Vec::new()).unwrap_err().to_string();
        assert!(error.contains("chunk.bytes_max") && error.contains("file "), "{error}");
        let error = load("", &[("TESSERA_CHUNK_BYTES_MAX", "big")], Vec::new()).unwrap_err().to_string();
        assert!(error.contains("TESSERA_CHUNK_BYTES_MAX") && error.contains("big"), "{error}");
        let lists = [("TESSERA_STORAGE_DATA_DIRS", r#"["a", "b"]"#)];
        let error = load("", &lists, Vec::new()).unwrap_err().to_string();
        assert!(error.contains("TESSERA_STORAGE_DATA_DIRS") && error.contains("commas"), "{error}");
    }

    #[test]
    fn every_key_is_explained() {
        let loaded = load("", &[], Vec::new()).unwrap();
        let keys: Vec<String> = loaded.explain().into_iter().map(|e| e.key).collect();
        assert!(keys.contains(&"server.unix_socket".to_owned()) && keys.contains(&"storage.data_dirs".to_owned()));
        assert!(keys.is_sorted());
    }
}
