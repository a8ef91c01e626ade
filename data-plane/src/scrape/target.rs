//! One endpoint as the scraper sees it: which page to ask for, and what became of the answer. Behind an answer, and on the
//! same connection, it is asked once a minute for its [`Models`].

use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::pool::{Reading, Slot};

use super::client::{self, Connection, FetchError};
use super::counters::ScrapeCounters;
use super::engines::Engine;
use super::models::Models;
use super::scanner::{Scanner, detect};

/// Bytes of a page that are kept while its engine is not known.
const DETECT_BYTES: usize = 1 << 20;

/// Which page is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Page {
    /// Only the wanted series, by `name[]`. A server that does not narrow sends everything.
    Narrow,
    /// Everything: the kind does not narrow, or the narrow page lacked the load (registries of several processes cannot
    /// be narrowed).
    Whole,
}

impl Page {
    /// The one that is asked for first.
    fn first(engine: Option<&Engine>, narrow: bool) -> Self {
        if narrow && engine.is_some_and(|engine| engine.narrow.is_some()) {
            Self::Narrow
        } else {
            Self::Whole
        }
    }
}

/// How a scrape ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum End {
    /// A reading with load was stored; whether it shows any load.
    Read { busy: bool },
    /// The endpoint answered without metrics that we know.
    Useless,
    /// No answer; this many in a row.
    Failed(u32),
}

/// An endpoint being scraped.
#[derive(Debug)]
pub(super) struct Target {
    pub(super) slot: Arc<Slot>,
    engine: Option<&'static Engine>,
    /// Narrow pages are asked for where the engine has them.
    narrow: bool,
    page: Page,
    /// For an unknown engine: the second path is tried after the first gave nothing.
    second_path: bool,
    request: Vec<u8>,
    connection: Connection,
    scanner: Scanner,
    models: Models,
}

impl Target {
    pub(super) fn new(slot: Arc<Slot>, told: &str, narrow: bool) -> Self {
        let engine = super::engine_named(told);
        let mut target = Self {
            connection: Connection::new(slot.address()),
            models: Models::new(slot.address()),
            slot,
            engine,
            narrow,
            page: Page::first(engine, narrow),
            second_path: false,
            request: Vec::new(),
            scanner: Scanner::new(engine),
        };
        target.write_request();
        target
    }

    fn write_request(&mut self) {
        let path = match self.engine {
            Some(Engine { narrow: Some(path), .. }) if self.page == Page::Narrow => path,
            Some(engine) => engine.path,
            None if self.second_path => "/prometheus/metrics",
            None => "/metrics",
        };
        let mut query = String::new();
        if self.page == Page::Narrow {
            for name in self.scanner.names() {
                query.push(if query.is_empty() { '?' } else { '&' });
                query.push_str("name%5B%5D=");
                query.push_str(&name.replace(':', "%3A"));
            }
        }
        let target = format!("{path}{query}");
        self.request = client::get(&target, self.slot.address(), "text/plain;version=0.0.4");
    }

    /// Asks for the page once and stores what it says.
    pub(super) async fn scrape(&mut self, timeout: Duration, counters: &ScrapeCounters) -> End {
        let end = self.read_page(timeout, counters).await;
        if !matches!(end, End::Failed(_)) && self.models.is_due(Instant::now()) {
            self.read_models(timeout).await;
        }
        end
    }

    /// Asks for the models. Whether that works says nothing of the endpoint: what matters is that its page was answered.
    async fn read_models(&mut self, timeout: Duration) {
        let Self { models, connection, .. } = self;
        let request = models.request.clone();
        let answer =
            tokio::time::timeout(timeout, connection.get(&request, |piece| models.feed(piece))).await;
        let told = models.take();
        match answer {
            Ok(Ok((200, _))) => self.slot.takes_context(told.unwrap_or(0)),
            answer => tracing::debug!(endpoint = %self.slot.address(), ?answer, "models are not told"),
        }
    }

    async fn read_page(&mut self, timeout: Duration, counters: &ScrapeCounters) -> End {
        self.scanner.clear();
        let mut sample: Vec<u8> = Vec::new();
        let unknown = self.engine.is_none();
        let scanner = &mut self.scanner;
        let sink = |piece: &[u8]| {
            scanner.feed(piece);
            if unknown && sample.len() < DETECT_BYTES {
                sample.extend_from_slice(piece);
            }
        };
        let answer = tokio::time::timeout(timeout, self.connection.get(&self.request, sink)).await;
        match answer {
            Ok(Ok((200, bytes))) => {
                ScrapeCounters::add(&counters.bytes, bytes);
                if let Some(model) = self.scanner.model() {
                    self.slot.reports_model(model);
                }
                let (reading, ignored) = self.scanner.finish();
                ScrapeCounters::add(&counters.ignored_samples, ignored);
                self.settle(reading, &sample, counters)
            }
            Ok(Ok((_, _))) => {
                ScrapeCounters::add(&counters.status, 1);
                self.useless()
            }
            Ok(Err(FetchError::Http(error))) if error != super::http1::HttpError::Truncated => {
                ScrapeCounters::add(&counters.protocol, 1);
                self.useless()
            }
            Ok(Err(error)) => {
                let refused = matches!(error, FetchError::Connect(_));
                if refused {
                    self.slot.emptied();
                    self.models.ask_again();
                }
                ScrapeCounters::add(if refused { &counters.refused } else { &counters.reset }, 1);
                self.failed(&error)
            }
            Err(elapsed) => {
                ScrapeCounters::add(&counters.timeout, 1);
                self.failed(&elapsed)
            }
        }
    }

    /// A page was read.
    fn settle(&mut self, reading: Reading, sample: &[u8], counters: &ScrapeCounters) -> End {
        let loaded = reading.running.is_some() || reading.waiting.is_some();
        let asked = self.page;
        if let Some(engine) = detect(sample).filter(|_| self.engine.is_none()) {
            self.engine = Some(engine);
            self.scanner = Scanner::new(Some(engine));
            self.page = Page::first(Some(engine), self.narrow);
            self.write_request();
        }
        if reading.is_empty() || (!loaded && asked == Page::Narrow) {
            ScrapeCounters::add(&counters.empty, 1);
            return self.useless();
        }
        ScrapeCounters::add(&counters.read, 1);
        let busy = reading.running.unwrap_or(0) > 0 || reading.waiting.unwrap_or(0) > 0;
        self.slot.store(reading, Instant::now());
        End::Read { busy }
    }

    /// The endpoint lives but told nothing: next time another page is asked for, if there is one.
    fn useless(&mut self) -> End {
        self.slot.store_alive();
        if self.page == Page::Narrow {
            self.page = Page::Whole;
            self.write_request();
        } else if self.engine.is_none() {
            self.second_path = !self.second_path;
            self.write_request();
        }
        End::Useless
    }

    fn failed(&self, error: &dyn std::fmt::Display) -> End {
        let failures = self.slot.scrape_failed();
        tracing::debug!(endpoint = %self.slot.address(), failures, %error, "scrape failed");
        End::Failed(failures)
    }
}
