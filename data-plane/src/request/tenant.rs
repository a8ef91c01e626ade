//! Who sent a request: requests of one priority are shared fairly among tenants.

/// The tenant of requests that name none.
pub const UNNAMED: u64 = 0;

/// The names of the header when none is configured: the endpoint picker protocol's, and llm-d's.
const USUAL: [&[u8]; 2] = [b"x-gateway-inference-fairness-id", b"x-llm-d-inference-fairness-id"];

/// Whether header `name` names the tenant: the `configured` one, else the usual ones.
pub fn is_named_by(name: &[u8], configured: Option<&str>) -> bool {
    configured.map_or_else(|| USUAL.contains(&name), |configured| name == configured.as_bytes())
}

/// The tenant that `value` names.
pub fn of(value: &[u8]) -> u64 {
    if value.is_empty() { UNNAMED } else { xxhash_rust::xxh3::xxh3_64(value).max(1) }
}
