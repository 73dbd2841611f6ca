//! The OTLP exporter: batches of spans to a collector over gRPC, HTTP/protobuf or HTTP/JSON.
//!
//! What the OpenTelemetry crates are used for, and what not. `opentelemetry-proto` gives the generated messages, with which answers
//! are read, JSON is written, and the tests decode what this module encodes; `opentelemetry-otlp` the names and defaults of the
//! standard variables. Its `SpanExporter` (0.33) does not fit an exact account of what a node sent: it logs a partial success but
//! does not return it, it takes one resource per exporter where a node has one per pod, it copies every batch for each attempt
//! (`SpanData` owns its strings), and its connections cannot be told to the kernel side, which would capture them. So spans are
//! written straight into protobuf as they are made ([`batch`]), and requests are made with hyper ([`client`]), under the rules of the
//! OTLP specification ([`answer`], [`worker`]).

mod answer;
mod batch;
mod client;
mod connect;
mod encode;
pub mod environment;
mod settings;
mod wire;
mod worker;

pub use settings::Settings;
