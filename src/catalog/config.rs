//! `[catalog]`: where names and finalized recordings are kept.

use serde::Deserialize;
use serde::Serialize;
use serde::Serializer;

use super::CatalogError;
use super::ClusterUrl;

#[derive(Clone, Debug, Default, Deserialize, PartialEq, Eq, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct CatalogConfig {
    /// A catalog that several servers share: `scylla://[USER:PASSWORD@]HOST[:PORT],…/KEYSPACE`. Without one everything is kept
    /// in a file in the first data directory.
    #[serde(skip_serializing_if = "Option::is_none", serialize_with = "without_password")]
    pub url: Option<String>,
}

impl CatalogConfig {
    /// # Errors
    /// `Invalid` for a URL of another form.
    pub fn cluster(&self) -> Result<Option<ClusterUrl>, CatalogError> {
        self.url.as_deref().map(ClusterUrl::parse).transpose()
    }
}

/// What is shown of the configuration has no password in it.
fn without_password<S: Serializer>(url: &Option<String>, serializer: S) -> Result<S::Ok, S::Error> {
    let shown = url.as_deref().map(|url| ClusterUrl::parse(url).map_or_else(|e| e.to_string(), |url| url.to_string()));
    shown.serialize(serializer)
}
