//! Header fields that hold a key.

/// What stands before `key` in the names of header fields whose value is no secret: the name of a
/// place in a store or a cache, of a message, of a request.
const PLAIN_KEYS: [&str; 34] = [
    "affinity",
    "available",
    "bucket",
    "cache",
    "config",
    "correlation",
    "dedup",
    "deduplication",
    "event",
    "experiment",
    "feature",
    "foreign",
    "group",
    "hash",
    "idempotency",
    "idempotent",
    "issue",
    "job",
    "lock",
    "message",
    "object",
    "ordering",
    "partition",
    "primary",
    "public",
    "queue",
    "request",
    "routing",
    "shard",
    "sharding",
    "sort",
    "surrogate",
    "translation",
    "websocket",
];

/// The last word of the name is `key`, behind the name of a product: `Fastly-Key`. In header fields
/// such keys are secrets, but for those that name a place in a store, a message, or a lock.
pub(super) fn is_key(name: &[u8]) -> bool {
    let [product @ .., b'-' | b'_', first, second, third] = name else {
        return false;
    };
    if ![*first, *second, *third].eq_ignore_ascii_case(b"key") {
        return false;
    }
    let mut words = product.rsplit(|b| matches!(b, b'-' | b'_'));
    let word = words.next().unwrap_or_default();
    let is_plain = |known: &&str| word.eq_ignore_ascii_case(known.as_bytes());
    !word.is_empty() && !word.eq_ignore_ascii_case(b"x") && !PLAIN_KEYS.iter().any(is_plain)
}
