//! HTTP/2 and gRPC on a live kernel, with real servers and clients.

mod calls;
mod dissected;
mod download;
mod go_pair;
mod grpc;
mod in_part;
mod languages;
mod lossy;
mod mid_stream;
mod oracle;
mod overtaking;
mod peers;
mod ranges;
mod servers;
mod tonic_pair;
