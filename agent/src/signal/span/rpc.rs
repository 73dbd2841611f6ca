//! Calls (gRPC, gRPC-web, Connect), by OpenTelemetry's conventions for RPC
//! (<https://opentelemetry.io/docs/specs/semconv/rpc/>, 1.37), beside those for HTTP.

use super::Status;
use super::attributes::Builder;
use crate::exchange::Exchange;
use crate::flow::Side;
use crate::http::Body;
use crate::http::rpc::{Code, procedure};
use crate::redact::{Call, Sanitized};

/// Adds the attributes of a call. How the span went, where the call says so.
pub(super) fn push(out: &mut Builder, sanitized: &Sanitized) -> Option<Status> {
    let call = sanitized.call()?;
    let exchange = sanitized.exchange();
    out.fixed("rpc.system", call.protocol.system());
    if let Some((service, method)) = procedure(exchange.request.head.target()) {
        out.bytes("rpc.service", service);
        out.bytes("rpc.method", method);
    }
    messages(
        out,
        [
            "meshtap.request.messages",
            "meshtap.request.messages.size",
            "meshtap.request.messages.inexact",
        ],
        &exchange.request.body,
    );
    if let Some(response) = &exchange.response {
        messages(
            out,
            [
                "meshtap.response.messages",
                "meshtap.response.messages.size",
                "meshtap.response.messages.inexact",
            ],
            &response.body,
        );
    }
    outcome(out, call, exchange)
}

fn messages(out: &mut Builder, [count, size, inexact]: [&'static str; 3], body: &Body) {
    let Some(messages) = body.messages else {
        return;
    };
    out.size(count, messages.count);
    out.size(size, messages.bytes);
    if messages.inexact {
        out.bool(inexact, true);
    }
}

fn outcome(out: &mut Builder, call: &Call, exchange: &Exchange) -> Option<Status> {
    let outcome = call.outcome.as_ref()?;
    let known = outcome.known();
    match call.protocol.system() {
        "grpc" => out.int("rpc.grpc.status_code", i64::from(outcome.code)),
        _ => {
            if let Some(code) = known.filter(|code| *code != Code::Ok) {
                out.fixed("rpc.connect_rpc.error_code", code.connect_label());
            }
        }
    }
    if let Some(message) = outcome.message.as_deref().filter(|text| !text.is_empty()) {
        out.bytes("meshtap.rpc.message", message);
    }
    let code = known.unwrap_or(Code::Unknown);
    let fails = match exchange.peers.side {
        Side::Server => code.is_of_server(),
        Side::Client => code != Code::Ok,
    };
    if !fails {
        return None;
    }
    Some(Status::Error)
}
