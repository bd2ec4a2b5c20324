//! Where a server listens.

use std::fmt;

use tonic::transport::Uri;

/// `grpc://host:port` or `unix:/path/to/socket`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Address {
    /// `host:port`.
    Tcp(String),
    /// Path of the socket.
    Unix(String),
}

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AddressError {
    #[error("{0:?} is no server address: write grpc://host:port or unix:/path/to/socket")]
    Form(String),
    #[error("{0:?} asks for TLS, which this client does not speak: use grpc://, or the server's Unix socket")]
    Tls(String),
}

impl Address {
    /// The port by convention, taken when none is given.
    pub const PORT: u16 = 6726;

    /// # Errors
    /// [`AddressError`] saying which forms there are.
    pub fn parse(text: &str) -> Result<Self, AddressError> {
        let wrong = || AddressError::Form(text.to_owned());
        if text.starts_with("grpc+tls:") {
            return Err(AddressError::Tls(text.to_owned()));
        }
        let unix = ["grpc+unix:", "unix:"].into_iter().find_map(|scheme| text.strip_prefix(scheme));
        if let Some(path) = unix {
            let path = path.strip_prefix("//").unwrap_or(path);
            return if path.is_empty() { Err(wrong()) } else { Ok(Self::Unix(path.to_owned())) };
        }
        let host =
            ["grpc://", "grpc+tcp://"].into_iter().find_map(|scheme| text.strip_prefix(scheme)).ok_or_else(wrong)?;
        let uri: Uri = format!("http://{host}").parse().map_err(|_| wrong())?;
        let authority = uri.authority().ok_or_else(wrong)?;
        if authority.host().is_empty() || authority.as_str().contains('@') || uri.path() != "/" || uri.query().is_some()
        {
            return Err(wrong());
        }
        match authority.port_u16() {
            Some(_) => Ok(Self::Tcp(authority.to_string())),
            None if authority.as_str() == authority.host() => Ok(Self::Tcp(format!("{authority}:{}", Self::PORT))),
            None => Err(wrong()),
        }
    }

    /// What tonic takes.
    pub(super) fn endpoint(&self) -> String {
        match self {
            Self::Tcp(host) => format!("http://{host}"),
            // tonic sends a name of its own as authority, not the path, which the server could not take.
            Self::Unix(path) => format!("unix:{path}"),
        }
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp(host) => write!(f, "grpc://{host}"),
            Self::Unix(path) => write!(f, "unix:{path}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_form_is_read() {
        let cases = [
            ("grpc://127.0.0.1:6726", "grpc://127.0.0.1:6726"),
            ("grpc+tcp://recorder:1/", "grpc://recorder:1"),
            ("grpc://recorder", "grpc://recorder:6726"),
            ("grpc://[::1]:7000", "grpc://[::1]:7000"),
            ("grpc://[::1]", "grpc://[::1]:6726"),
            ("unix:/run/tessera.sock", "unix:/run/tessera.sock"),
            ("unix:///run/tessera.sock", "unix:/run/tessera.sock"),
            ("grpc+unix:///run/tessera.sock", "unix:/run/tessera.sock"),
            ("unix:relative.sock", "unix:relative.sock"),
        ];
        for (text, shown) in cases {
            assert_eq!(Address::parse(text).unwrap().to_string(), shown);
        }
    }

    #[test]
    fn other_addresses_are_refused_with_the_forms_there_are() {
        for text in [
            "",
            "127.0.0.1:6726",
            "http://a:1",
            "grpc://",
            "grpc://a:b",
            "grpc://a:",
            "grpc://u@a:1",
            "grpc://a/b",
            "unix:",
            "grpc://a:70000",
        ] {
            assert_eq!(Address::parse(text), Err(AddressError::Form(text.to_owned())), "{text}");
        }
        assert!(matches!(Address::parse("grpc+tls://a:1"), Err(AddressError::Tls(_))));
    }
}
