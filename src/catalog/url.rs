//! Where a shared catalog is: `scylla://[USER:PASSWORD@]HOST[:PORT],…/KEYSPACE`.

use std::fmt;

use crate::catalog::CatalogError;

const SCHEME: &str = "scylla://";
const PORT: u16 = 9042;

/// Nodes to begin with, the keyspace, and who logs in. Printed without the password.
#[derive(Clone, PartialEq, Eq)]
pub struct ClusterUrl {
    /// As `host:port`. The others are learned from these.
    pub nodes: Vec<String>,
    pub keyspace: String,
    pub login: Option<Login>,
}

#[derive(Clone, PartialEq, Eq)]
pub struct Login {
    pub user: String,
    pub password: String,
}

impl ClusterUrl {
    /// Longest name of a keyspace that both servers take.
    pub const KEYSPACE_LEN_MAX: usize = 48;

    /// # Errors
    /// [`CatalogError::Invalid`] for anything of another form. It never repeats the text: a password may be in it.
    pub fn parse(text: &str) -> Result<Self, CatalogError> {
        let form = || invalid("it has the form scylla://HOST[:PORT],HOST[:PORT]/KEYSPACE");
        let rest = text.strip_prefix(SCHEME).ok_or_else(form)?;
        let (authority, keyspace) = rest.rsplit_once('/').ok_or_else(form)?;
        let (login, hosts) = match authority.rsplit_once('@') {
            None => (None, authority),
            Some((login, hosts)) => {
                let (user, password) = login.split_once(':').ok_or_else(|| invalid("before @ stands USER:PASSWORD"))?;
                (Some(Login { user: user.to_owned(), password: password.to_owned() }), hosts)
            }
        };
        let allowed = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_';
        let starts = keyspace.starts_with(|c: char| c.is_ascii_lowercase());
        if !starts || keyspace.len() > Self::KEYSPACE_LEN_MAX || !keyspace.chars().all(allowed) {
            return Err(invalid("a keyspace has 1 to 48 lower case letters, digits and _, a letter first"));
        }
        let nodes = hosts.split(',').map(node).collect::<Option<Vec<_>>>().ok_or_else(form)?;
        Ok(Self { nodes, keyspace: keyspace.to_owned(), login })
    }
}

/// `host:port`, with the port that CQL has when none is named. Hosts with colons stand in brackets.
fn node(text: &str) -> Option<String> {
    let behind = text.rfind(']').map_or(0, |at| at + 1);
    let (host, port) = match text.get(behind..)?.rfind(':') {
        Some(at) => (text.get(..behind + at)?, text.get(behind + at + 1..)?.parse().ok()?),
        None => (text, PORT),
    };
    let bare = host.strip_prefix('[').map_or(Some(host), |inside| inside.strip_suffix(']'))?;
    let allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_' | ':');
    let good = !bare.is_empty() && bare.chars().all(allowed) && (host.starts_with('[') || !bare.contains(':'));
    good.then(|| format!("{host}:{port}"))
}

fn invalid(why: &str) -> CatalogError {
    CatalogError::Invalid { field: "catalog", why: why.to_owned() }
}

impl fmt::Display for ClusterUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let login = self.login.as_ref().map_or_else(String::new, |login| format!("{}@", login.user));
        write!(f, "{SCHEME}{login}{}/{}", self.nodes.join(","), self.keyspace)
    }
}

impl fmt::Debug for ClusterUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ClusterUrl({self})")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_part_is_found_and_a_password_is_never_printed() {
        let url = ClusterUrl::parse("scylla://ann:s3/c:ret@db1,db2:9043,[::1]:9044,[::2]/fleet_1").unwrap();
        assert_eq!(url.nodes, ["db1:9042", "db2:9043", "[::1]:9044", "[::2]:9042"]);
        assert_eq!((url.keyspace.as_str(), url.login.as_ref().unwrap().password.as_str()), ("fleet_1", "s3/c:ret"));
        let shown = format!("{url} {url:?}");
        assert!(shown.contains("ann@db1:9042") && !shown.contains("s3"), "{shown}");
    }

    #[test]
    fn other_texts_are_refused_without_repeating_them() {
        for bad in [
            "",
            "sqlite://x/y",
            "scylla://db1",
            "scylla:///rec",
            "scylla://db1/",
            "scylla://db1/Rec",
            "scylla://db1/1rec",
            "scylla://db1,/rec",
            "scylla://db1:0x1/rec",
            "scylla://db1:99999/rec",
            "scylla://::1/rec",
            "scylla://[::1/rec",
            "scylla://secret@db1/rec",
            "scylla://db 1/rec",
            "scylla://db1/re;c",
        ] {
            let error = ClusterUrl::parse(bad).unwrap_err();
            assert!(matches!(error, CatalogError::Invalid { .. }), "{bad}");
            assert!(!error.to_string().contains("secret"), "{error}");
        }
    }
}
