//! Scrapes of model servers: metrics with their time.
