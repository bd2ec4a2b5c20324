//! Randomness of the operating system: the seed of everything that must not be guessed.

use std::io;

/// 32 random bytes, from `getrandom`. Drawn once at start; ids and keys are made from it.
///
/// # Errors
/// When the kernel has none to give, which a running system does not do.
pub fn seed() -> io::Result<[u8; 32]> {
    let mut seed = [0; 32];
    getrandom::fill(&mut seed).map_err(|error| io::Error::other(error.to_string()))?;
    Ok(seed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_seeds_differ() {
        assert_ne!(seed().unwrap(), seed().unwrap());
    }
}
