//! What is stored and looked up in place of a token.

use sha2::Digest;
use sha2::Sha256;

use crate::model::Token;
use crate::model::TokenDigest;

/// SHA-256 of the token's 16 bytes. Tokens have 122 random bits, so there is nothing to salt and nothing to slow down.
///
/// A lookup compares digests, so its timing says nothing about the token.
pub fn token_digest(token: &Token) -> TokenDigest {
    TokenDigest(Sha256::digest(token.as_bytes()).into())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Digests are in catalogs: this one must never change.
    #[test]
    fn a_known_token_has_its_known_digest() {
        let token = Token::parse("00010203-0405-4607-8809-0a0b0c0d0e0f").unwrap();
        let hex: String = token_digest(&token).0.iter().map(|byte| format!("{byte:02x}")).collect();
        assert_eq!(hex, "af73551bcba2e2182b861a0776f8a4f82d2987df0dc2e9c4f377ea1681041453");
        let other = Token::parse("00010203-0405-4607-8809-0a0b0c0d0e0e").unwrap();
        assert!(token_digest(&other) != token_digest(&token));
    }
}
