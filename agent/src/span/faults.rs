//! What is wrong with an exchange, as attributes of ours: what of it is missing, and which faults of its heads were tolerated.

use super::attributes::Builder;
use crate::exchange::{Exchange, Oddities};

/// Appends `meshtap.partial`, `meshtap.request.oddities` and `meshtap.response.oddities` where there is something to say. Oddities are names
/// joined with `,`.
pub(super) fn push(out: &mut Builder, exchange: &Exchange) {
    if let Some(partial) = exchange.partial {
        out.fixed("meshtap.partial", partial.label());
    }
    oddities(out, "meshtap.request.oddities", exchange.request.oddities);
    if let Some(response) = &exchange.response {
        oddities(out, "meshtap.response.oddities", response.oddities);
    }
}

fn oddities(out: &mut Builder, key: &'static str, oddities: Oddities) {
    if oddities == Oddities::default() {
        return;
    }
    out.write(key, |text| {
        for (index, name) in oddities.names().enumerate() {
            if index > 0 {
                text.push(b',');
            }
            text.extend_from_slice(name.as_bytes());
        }
    });
}
