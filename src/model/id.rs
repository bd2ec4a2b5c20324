//! Identifiers and tokens. Ids are public and name things in the catalog and on disk; tokens are secrets and prove authority.

use std::fmt;
use std::sync::Mutex;
use std::sync::PoisonError;

use rand_chacha::ChaCha20Rng;
use rand_chacha::rand_core::RngCore;
use rand_chacha::rand_core::SeedableRng;
use uuid::Uuid;

use super::record::DeviceNumber;

macro_rules! id {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(pub Uuid);

        impl $name {
            /// A new random id.
            pub fn new(source: &IdSource) -> Self {
                Self(source.uuid())
            }
        }

        impl fmt::Display for $name {
            /// The 32 hexadecimal digits without hyphens: also the form used in file names.
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.as_simple().fmt(f)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, concat!(stringify!($name), "({})"), self.0.as_simple())
            }
        }
    };
}

id!(
    /// A sequence, for its whole life. A name that was deleted and created again has another id.
    SequenceId
);
id!(
    /// A session. Public: it is the second half of the session's locator. Its [`Token`] is another number.
    SessionId
);
id!(
    /// A topic. Never reused, so whatever holds one can never reach a later topic of the same name.
    TopicId
);
id!(
    /// A chunk, and the name of its file. Unique over all starts of the daemon: writes of a killed process
    /// may still land after the next one is up, and must not find a file of ours under their name.
    ChunkId
);
id!(
    /// A server of a fleet: the id of its first data directory.
    NodeId
);
id!(
    /// A data directory, written into it when it is first used.
    DeviceId
);
id!(
    /// A start of the daemon. Two catalogs that were copied from one count the same starts; these tell them apart.
    StartId
);

/// Proof that the bearer created a session or a topic. Handed out once; only its digest is stored. Never logged.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Token(Uuid);

impl Token {
    /// A new random token (122 random bits).
    pub fn new(source: &IdSource) -> Self {
        Self(source.uuid())
    }

    /// Reads a token in any usual spelling of a UUID; `None` when it is none.
    pub fn parse(text: &str) -> Option<Self> {
        Uuid::try_parse(text).ok().map(Self)
    }

    /// The hyphenated form that goes to its owner, and nowhere else.
    pub fn reveal(&self) -> String {
        self.0.as_hyphenated().to_string()
    }

    /// What is hashed into a [`TokenDigest`].
    pub fn as_bytes(&self) -> &[u8; 16] {
        self.0.as_bytes()
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Token(..)")
    }
}

/// SHA-256 of a [`Token`]: what the catalog stores and looks up.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct TokenDigest(pub [u8; 32]);

impl fmt::Debug for TokenDigest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("TokenDigest(..)")
    }
}

impl DeviceId {
    /// All bits but those of the number; no id that was ever drawn looks so, for none has this version.
    const UNTOLD: u128 = u128::MAX << 16;

    /// Stands for a data directory that has this number, which no file tells the id of: so that no other one gets it.
    pub fn untold(number: DeviceNumber) -> Self {
        Self(Uuid::from_u128(Self::UNTOLD | u128::from(number.0)))
    }

    pub fn is_untold(self) -> bool {
        self.0.as_u128() >= Self::UNTOLD
    }
}

/// Where ids and tokens come from: a ChaCha20 stream over a seed that the daemon draws from the operating system at
/// start, and a test chooses.
pub struct IdSource(Mutex<ChaCha20Rng>);

impl IdSource {
    pub fn from_seed(seed: [u8; 32]) -> Self {
        Self(Mutex::new(ChaCha20Rng::from_seed(seed)))
    }

    /// A random (version 4) UUID.
    pub fn uuid(&self) -> Uuid {
        let mut bytes = [0; 16];
        // A panic while the lock is held leaves the generator usable: it is plain state.
        self.0.lock().unwrap_or_else(PoisonError::into_inner).fill_bytes(&mut bytes);
        uuid::Builder::from_random_bytes(bytes).into_uuid()
    }
}

impl fmt::Debug for IdSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("IdSource(..)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_never_prints_itself() {
        let token = Token::new(&IdSource::from_seed([7; 32]));
        assert_eq!(format!("{token:?}"), "Token(..)");
        assert_eq!(Token::parse(&token.reveal()), Some(token));
        assert_eq!(Token::parse("not a uuid"), None);
    }

    #[test]
    fn the_same_seed_gives_the_same_ids() {
        let (a, b) = (IdSource::from_seed([1; 32]), IdSource::from_seed([1; 32]));
        assert_eq!(ChunkId::new(&a), ChunkId::new(&b));
        assert_ne!(ChunkId::new(&a), ChunkId::new(&a));
    }
}
