//! What is odd about an exchange, as attributes of ours: what of it is missing, and which anomalies of its heads were tolerated.

use super::attributes::Builder;
use crate::exchange::Exchange;
use crate::http::Anomalies;

/// Appends `meshtap.partial`, `meshtap.request.anomalies` and `meshtap.response.anomalies` where there is something to say. Anomalies
/// are names joined with `,`.
pub(super) fn push(out: &mut Builder, exchange: &Exchange) {
    if let Some(partial) = exchange.partial {
        out.fixed("meshtap.partial", partial.label());
    }
    anomalies(out, "meshtap.request.anomalies", exchange.request.anomalies);
    if let Some(response) = &exchange.response {
        anomalies(out, "meshtap.response.anomalies", response.anomalies);
    }
}

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
