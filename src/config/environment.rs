//! The environment as a layer of the configuration: `TESSERA_<SECTION>_<KEY>` for every key, and the variables of the
//! Mosaico server where they mean the same.

use toml::Table;
use toml::Value;

use super::load::LoadError;
use super::load::Origin;
use super::load::Override;
use super::load::distance;
use super::load::is_key;

/// Variables of the Mosaico server and the keys that mean the same. Later ones win over earlier ones.
const MOSAICO: &[(&str, &str)] = &[
    ("MOSAICOD_MAX_CHUNK_SIZE_IN_BYTES", "chunk.bytes_max"),
    ("MOSAICOD_MAX_MESSAGE_SIZE_IN_BYTES", "connections.message_bytes_max"),
    ("MOSAICOD_MAX_GRPC_MESSAGE_SIZE", "connections.message_bytes_max"),
    ("MOSAICOD_MAX_GRPC_DECODE_MESSAGE_SIZE", "connections.message_bytes_max"),
    ("MOSAICOD_GRPC_MAX_DECODE_MESSAGE_SIZE", "connections.message_bytes_max"),
    ("MOSAICOD_TARGET_MESSAGE_SIZE_IN_BYTES", "reading.target_message_bytes"),
    ("MOSAICOD_TARGET_MESSAGE_SIZE", "reading.target_message_bytes"),
    ("MOSAICOD_TARGET_GRPC_ENCODE_MESSAGE_SIZE", "reading.target_message_bytes"),
    ("MOSAICOD_GRPC_TARGET_ENCODE_MESSAGE_SIZE", "reading.target_message_bytes"),
    ("MOSAICOD_MAX_BATCH_SIZE", "reading.batch_rows_max"),
    ("MOSAICOD_LOG_LEVEL", "log.level"),
    ("MOSAICOD_LOG_FORMAT", "log.format"),
];

const HOST: &str = "MOSAICOD_HOST";
const PORT: &str = "MOSAICOD_PORT";

/// What the environment says, our own names last so that they win.
///
/// # Errors
/// [`LoadError`] for a `TESSERA_` variable that names no key, and for values of the wrong kind.
pub fn overrides(
    variables: impl IntoIterator<Item = (String, String)>,
    defaults: &Table,
) -> Result<Vec<Override>, LoadError> {
    let variables: Vec<(String, String)> = variables.into_iter().collect();
    let find = |name: &str| variables.iter().find(|(n, _)| n == name).map(|(_, value)| value.clone());
    let mut layer = Vec::new();
    for (name, key) in MOSAICO {
        if let Some(text) = find(name) {
            layer.push(typed(name, key, translate(key, &text), defaults)?);
        }
    }
    if find(HOST).is_some() || find(PORT).is_some() {
        let host = find(HOST).unwrap_or_else(|| "127.0.0.1".to_owned());
        let port = find(PORT).unwrap_or_else(|| "6726".to_owned());
        let host = if host.contains(':') { format!("[{host}]") } else { host.replace("localhost", "127.0.0.1") };
        let origin = Origin::Environment(format!("{HOST}, {PORT}"));
        let value = Value::String(format!("{host}:{port}"));
        layer.push(Override { key: "server.listen".to_owned(), value, origin });
    }
    for (name, text) in &variables {
        let Some(rest) = name.strip_prefix("TESSERA_") else { continue };
        if is_foreign(rest) {
            continue;
        }
        let rest = rest.to_lowercase();
        let section = defaults.keys().find(|section| rest.starts_with(&format!("{section}_")));
        let key = match section {
            Some(section) => format!("{section}.{}", &rest.get(section.len() + 1..).unwrap_or_default()),
            // One word that is no key's name: a variable of some tool around us.
            None if !rest.contains('_') && nearest(&rest, defaults).is_none_or(|(distance, _)| distance > 0) => {
                continue;
            }
            None => rest,
        };
        layer.push(typed(name, &key, text.clone(), defaults)?);
    }
    Ok(layer)
}

/// Variables with our prefix that are not of the server: those that the command line reads itself, those of the tests, and
/// those that Kubernetes sets for a service called `tessera`.
fn is_foreign(rest: &str) -> bool {
    ["CONFIG", "SERVER", "PORT"].contains(&rest)
        || ["TEST_", "PORT_", "SERVICE_"].iter().any(|prefix| rest.starts_with(prefix))
}

/// The key whose variable, with or without its section, is spelled most like `rest`, and by how many edits they differ.
fn nearest<'a>(rest: &str, defaults: &'a Table) -> Option<(usize, (&'a str, &'a str))> {
    let sections = defaults.iter().filter_map(|(section, keys)| Some((section.as_str(), keys.as_table()?)));
    let keys = sections.flat_map(|(section, keys)| keys.keys().map(move |key| (section, key.as_str())));
    let edits = |(section, key): (&str, &str)| distance(rest, key).min(distance(rest, &format!("{section}_{key}")));
    keys.map(|key| (edits(key), key)).min_by_key(|(edits, _)| *edits)
}

/// `; did you mean …?` for the variable that was probably meant.
fn hint(key: &str, defaults: &Table) -> String {
    match nearest(&key.replace('.', "_"), defaults) {
        Some((0..=4, (section, key))) => {
            format!("; did you mean TESSERA_{}_{}?", section.to_uppercase(), key.to_uppercase())
        }
        _ => "; `tessera config explain` lists all keys".to_owned(),
    }
}

/// Words of the Mosaico server that differ from ours.
fn translate(key: &str, text: &str) -> String {
    match (key, text) {
        ("log.level", "warning") => "warn".to_owned(),
        ("log.format", "pretty") => "plain".to_owned(),
        _ => text.to_owned(),
    }
}

/// Gives the text the kind that the key has. Lists are separated by commas.
fn typed(name: &str, key: &str, text: String, defaults: &Table) -> Result<Override, LoadError> {
    let origin = Origin::Environment(name.to_owned());
    if !is_key(defaults, key) {
        return Err(LoadError::UnknownKey { origin, key: key.to_owned(), hint: hint(key, defaults) });
    }
    let kind = key.split_once('.').and_then(|(section, name)| defaults.get(section)?.get(name));
    let wrong =
        |expected| LoadError::Kind { origin: origin.clone(), key: key.to_owned(), found: text.clone(), expected };
    let value = match kind {
        Some(Value::Integer(_)) => Value::Integer(text.trim().parse().map_err(|_| wrong("a whole number"))?),
        Some(Value::Float(_)) => Value::Float(text.trim().parse().map_err(|_| wrong("a number"))?),
        Some(Value::Boolean(_)) => match text.trim() {
            "true" | "1" => Value::Boolean(true),
            "false" | "0" => Value::Boolean(false),
            _ => return Err(wrong("true or false")),
        },
        // As in the file: taken apart at its commas it would be two odd names.
        Some(Value::Array(_)) if text.trim_start().starts_with('[') => {
            return Err(wrong("names with commas between them, without brackets and quotes"));
        }
        Some(Value::Array(_)) => {
            Value::Array(text.split(',').map(|item| Value::String(item.trim().to_owned())).collect())
        }
        _ => Value::String(text.clone()),
    };
    Ok(Override { key: key.to_owned(), value, origin })
}
