//! LoRA adapters: which are loaded, and whether one more fits beside those in use.

use std::collections::BTreeSet;

/// The adapters of one engine.
#[derive(Debug)]
pub struct Adapters {
    known: BTreeSet<String>,
    /// Loaded, least recently used first.
    loaded: Vec<String>,
    max_loaded: usize,
    load_ms: f64,
}

impl Adapters {
    /// Adapters that may be asked for, of which `max_loaded` fit at once and each takes `load_ms` to load.
    pub fn new(known: impl IntoIterator<Item = String>, max_loaded: usize, load_ms: f64) -> Self {
        Self { known: known.into_iter().collect(), loaded: Vec::new(), max_loaded, load_ms }
    }

    /// Whether requests may name this adapter.
    pub fn knows(&self, name: &str) -> bool {
        self.known.contains(name)
    }

    /// The adapters that may be asked for.
    pub fn known(&self) -> &BTreeSet<String> {
        &self.known
    }

    /// Registers an adapter; `false` when it was known.
    pub fn add(&mut self, name: &str) -> bool {
        self.known.insert(name.to_owned())
    }

    /// Forgets an adapter; `false` when it was not known.
    pub fn remove(&mut self, name: &str) -> bool {
        self.loaded.retain(|loaded| loaded != name);
        self.known.remove(name)
    }

    /// How many fit at once.
    pub fn max_loaded(&self) -> usize {
        self.max_loaded
    }

    /// Makes an adapter usable beside those in use; returns the time that takes in milliseconds, or `None` when
    /// all slots are in use by others.
    pub fn activate(&mut self, name: &str, in_use: &BTreeSet<&str>) -> Option<f64> {
        if let Some(position) = self.loaded.iter().position(|loaded| loaded == name) {
            self.loaded[position..].rotate_left(1);
            return Some(0.0);
        }
        if self.loaded.len() >= self.max_loaded {
            let idle = self.loaded.iter().position(|loaded| !in_use.contains(loaded.as_str()))?;
            self.loaded.remove(idle);
        }
        self.loaded.push(name.to_owned());
        Some(self.load_ms)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slots() {
        let mut adapters = Adapters::new(["a", "b", "c"].map(str::to_owned), 2, 300.0);
        let none = BTreeSet::new();
        assert_eq!(adapters.activate("a", &none), Some(300.0));
        assert_eq!(adapters.activate("a", &none), Some(0.0));
        assert_eq!(adapters.activate("b", &BTreeSet::from(["a"])), Some(300.0));
        assert_eq!(adapters.activate("c", &BTreeSet::from(["a", "b"])), None, "both slots are in use");
        assert_eq!(adapters.activate("a", &none), Some(0.0));
        assert_eq!(adapters.activate("c", &none), Some(300.0), "replaces b, the least recently used");
        assert_eq!(adapters.activate("a", &none), Some(0.0));
        assert!(adapters.remove("a") && !adapters.knows("a"));
    }
}
