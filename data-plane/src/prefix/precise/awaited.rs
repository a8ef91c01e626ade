//! What endpoints are computing: it will be held in a moment, and requests with the same beginning should know.

use std::collections::HashMap;
use std::sync::Arc;

use parking_lot::Mutex;

use super::super::Index;

/// A number of an index, given back when nobody uses it.
#[derive(Debug)]
pub(super) struct Number {
    pub(super) index: Index,
    pub(super) number: u32,
}

impl Drop for Number {
    fn drop(&mut self) {
        self.index.release(self.number);
    }
}

/// The keys that one endpoint is computing.
#[derive(Debug)]
pub(super) struct Awaited {
    number: Arc<Number>,
    index: Index,
    /// How many requests compute each. Held while a request comes or goes, never over an await.
    requests: Mutex<HashMap<u64, u32>>,
}

impl Awaited {
    pub(super) fn new(number: Arc<Number>, index: Index) -> Self {
        Self { number, index, requests: Mutex::default() }
    }

    pub(super) fn expect(self: &Arc<Self>, keys: &[u64]) -> Coming {
        let mut requests = self.requests.lock();
        for key in keys {
            let count = requests.entry(*key).or_default();
            *count += 1;
            if *count == 1 {
                self.index.add(*key, self.number.number);
            }
        }
        Coming { at: Arc::clone(self), keys: keys.into() }
    }

    fn release(&self, keys: &[u64]) {
        let mut requests = self.requests.lock();
        // From the end, so that what is found of a chain is always its beginning.
        for key in keys.iter().rev() {
            let Some(count) = requests.get_mut(key) else { continue };
            *count -= 1;
            if *count == 0 {
                requests.remove(key);
                self.index.remove(*key, self.number.number);
            }
        }
    }
}

/// A prompt that is being computed; its blocks are found at the endpoint until this is dropped.
#[derive(Debug)]
pub struct Coming {
    at: Arc<Awaited>,
    keys: Box<[u64]>,
}

impl Drop for Coming {
    fn drop(&mut self) {
        self.at.release(&self.keys);
    }
}
