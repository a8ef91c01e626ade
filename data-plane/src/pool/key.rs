//! A pool's name.

use std::borrow::Borrow;
use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

/// Namespace and name of an InferencePool, written "namespace/name". Ordered and hashed like that text, so that maps of
/// keys can be asked with a `&str`.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PoolKey(Arc<str>);

/// Text that is not "namespace/name".
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("pool {0:?} is not written namespace/name")]
pub struct InvalidPoolKey(String);

impl PoolKey {
    /// The key as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The part before the slash.
    #[must_use]
    pub fn namespace(&self) -> &str {
        self.0.split_once('/').map_or("", |(namespace, _)| namespace)
    }

    /// The part after the slash.
    #[must_use]
    pub fn name(&self) -> &str {
        self.0.split_once('/').map_or("", |(_, name)| name)
    }
}

impl FromStr for PoolKey {
    type Err = InvalidPoolKey;

    fn from_str(text: &str) -> Result<Self, InvalidPoolKey> {
        match text.split_once('/') {
            Some((namespace, name)) if !namespace.is_empty() && !name.is_empty() && !name.contains('/') => {
                Ok(Self(text.into()))
            }
            _ => Err(InvalidPoolKey(text.to_owned())),
        }
    }
}

impl Borrow<str> for PoolKey {
    fn borrow(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for PoolKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for PoolKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.0, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_two_non_empty_parts() {
        let key: PoolKey = "team-a/llama".parse().unwrap();
        assert_eq!(
            (key.namespace(), key.name(), key.to_string()),
            ("team-a", "llama", "team-a/llama".to_owned())
        );
        for invalid in ["", "/", "a/", "/b", "a", "a/b/c"] {
            assert!(invalid.parse::<PoolKey>().is_err(), "{invalid}");
        }
    }
}
