//! What the schemas have no place for, as attributes of ours: what of an exchange is missing, the
//! anomalies of its heads, trailers, interim responses, and where it ran. Each is there only where
//! there is something to say.

use std::io::Write as _;

use super::attributes::{Builder, push_text};
use super::headers;
use crate::exchange::{Exchange, Interim};
use crate::flow::{Peers, TunnelClaims};
use crate::http::{Anomalies, Body, Reason};

/// Adds them.
pub(super) fn push(out: &mut Builder, exchange: &Exchange) {
    if let Some(partial) = exchange.partial {
        out.fixed("meshtap.partial", partial.label());
    }
    anomalies(out, "meshtap.request.anomalies", exchange.request.anomalies);
    trailers(out, "meshtap.request.trailers", &exchange.request.body);
    interim(out, &exchange.interim);
    if let Some(response) = &exchange.response {
        anomalies(out, "meshtap.response.anomalies", response.anomalies);
        trailers(out, "meshtap.response.trailers", &response.body);
        if let Reason::Other(phrase) = &response.head.reason {
            out.bytes("meshtap.response.reason", phrase);
        }
    }
    if exchange.upgrade {
        out.bool("meshtap.upgrade", true);
    }
    if let Some(stream) = exchange.stream {
        out.int("meshtap.stream.id", i64::from(stream));
    }
    if let Some(code) = exchange.reset {
        out.int("meshtap.stream.reset_code", i64::from(code));
    }
    if let Some(client) = &exchange.peers.claimed_client {
        out.write("meshtap.claimed.client", |text| {
            let _ = write!(text, "{client}");
        });
    }
    if let Some(secured) = &exchange.peers.secured {
        out.bool("meshtap.mtls", secured.mtls);
        if let Some(id) = &secured.peer {
            out.write("meshtap.peer.spiffe.id", |text| {
                push_text(text, id.as_bytes())
            });
        }
    }
    if let Some(outer) = &exchange.peers.outer {
        tunnel(out, outer);
    }
}

/// Names joined with `,`.
fn anomalies(out: &mut Builder, key: &'static str, anomalies: Anomalies) {
    if anomalies == Anomalies::default() {
        return;
    }
    out.write(key, |text| {
        for (index, name) in anomalies.names().enumerate() {
            if index > 0 {
                text.push(b',');
            }
            text.extend_from_slice(name.as_bytes());
        }
    });
}

/// A JSON object, as heads are.
fn trailers(out: &mut Builder, key: &'static str, body: &Body) {
    if let Some(trailers) = body.trailers.as_deref().filter(|t| !t.is_empty()) {
        out.write(key, |text| headers::write_json(text, trailers));
    }
}

/// Status codes joined with `,`; `…` stands for those whose heads were not kept.
fn interim(out: &mut Builder, interim: &Interim) {
    if interim.count == 0 {
        return;
    }
    out.write("meshtap.response.interim", |text| {
        for (index, head) in interim.heads.iter().enumerate() {
            // Writing to memory does not fail.
            let _ = write!(text, "{}{}", if index > 0 { "," } else { "" }, head.status);
        }
        if usize::from(interim.count) > interim.heads.len() {
            push_text(text, ",…".as_bytes());
        }
    });
}

/// The ends of the connection that a tunnel runs through.
fn tunnel(out: &mut Builder, outer: &Peers) {
    for (key, end) in [
        ("meshtap.tunnel.client", &outer.client),
        ("meshtap.tunnel.server", &outer.server),
    ] {
        out.write(key, |text| {
            let _ = write!(text, "{end}");
        });
    }
    let TunnelClaims {
        target,
        forwarded,
        source,
    } = &outer.claims;
    if let Some(target) = target {
        out.write("meshtap.tunnel.target", |text| {
            let _ = write!(text, "{target}");
        });
    }
    if let Some(address) = forwarded {
        out.write("meshtap.tunnel.forwarded", |text| {
            let _ = write!(text, "{address}");
        });
    }
    for (name, value) in source.iter().flat_map(|source| source.iter()) {
        let key = match name {
            "cluster" => "meshtap.tunnel.source.cluster",
            "namespace" => "meshtap.tunnel.source.namespace",
            "kind" => "meshtap.tunnel.source.kind",
            "workload" => "meshtap.tunnel.source.workload",
            "service" => "meshtap.tunnel.source.service",
            _ => "meshtap.tunnel.source.version",
        };
        out.write(key, |text| push_text(text, value.as_bytes()));
    }
}
