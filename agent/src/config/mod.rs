//! The configuration file.

mod otlp;
mod units;

pub use otlp::{
    BatchConfig, Compression, Concurrency, OtlpConfig, Protocol, QueueConfig, RetryConfig, Secret,
    TlsConfig,
};
pub use units::{ByteSize, Interval};
