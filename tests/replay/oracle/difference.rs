//! Where Wireshark's dissectors and our engine may differ, each with its name and its reason.
//! Nothing else may.

use std::collections::BTreeMap;

use meshtap::exchange::Partial;

use super::agent::{Ours, Outcome};
use super::shown::{Connections, Ends, Shown};
use super::traffic::PIPELINED;

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Difference {
    /// The connection ended inside the request's body. We show the exchange as `request_cut`;
    /// tshark shows a message only when its body is whole.
    CutRequest,
    /// A response to HEAD was written before its request. tshark cannot know then what it responds
    /// to, takes its `Content-Length` for the length of a body that is not there, and is out of
    /// step with the rest of that direction. We wait for the request.
    HeadResponseFirst,
    /// Packets of a response's body were written out of order. tshark 4.0 then shows the response
    /// without its body, or with less than all of it, although it is asked to put segments in order
    /// (`tcp.reassemble_out_of_order`). What we show of such a file is compared with what we show
    /// of the file in order.
    BodyOutOfOrder,
    /// The last exchanges of a connection whose packets were written out of order are sometimes
    /// missing in tshark 4.0. What we show is compared as above.
    EndOutOfOrder,
}

/// Compares connection by connection, and counts the differences that have a name. `reordered`: the
/// file's packets are out of order.
#[track_caller]
pub fn explain(
    what: &str,
    ours: &Outcome,
    theirs: &Connections,
    reordered: bool,
) -> BTreeMap<Difference, usize> {
    let mut by_ends = BTreeMap::<&Ends, Vec<&Ours>>::new();
    for exchange in &ours.exchanges {
        by_ends.entry(&exchange.ends).or_default().push(exchange);
    }
    for ends in theirs.keys() {
        by_ends.entry(ends).or_default();
    }
    let mut differences = BTreeMap::new();
    for (ends, ours) in by_ends {
        let theirs = theirs.get(ends).map_or(&[][..], Vec::as_slice);
        match connection(&ours, theirs, reordered) {
            Ok(named) => named
                .into_iter()
                .for_each(|name| *differences.entry(name).or_default() += 1),
            Err(reason) => panic!("{what}: {} -> {}: {reason}", ends.client, ends.server),
        }
    }
    differences
}

fn connection(
    ours: &[&Ours],
    theirs: &[Shown],
    reordered: bool,
) -> Result<Vec<Difference>, String> {
    let mut named = Vec::new();
    let mut theirs = theirs.iter();
    let mut in_step = true;
    for exchange in ours {
        let shown = &exchange.shown;
        if exchange.partial == Some(Partial::RequestCut) {
            named.push(Difference::CutRequest);
            continue;
        }
        let Some(their) = theirs.next() else {
            if reordered {
                named.push(Difference::EndOutOfOrder);
                continue;
            }
            return Err(format!("only we show {shown}"));
        };
        let same_request = (&shown.method, &shown.target, shown.request_body)
            == (&their.method, &their.target, their.request_body);
        if shown == their || (same_request && !in_step) {
            continue;
        }
        let same_status = same_request && shown.status == their.status;
        if reordered && same_status && their.response_body < shown.response_body {
            named.push(Difference::BodyOutOfOrder);
            continue;
        }
        if reordered && same_request && shown.method == "HEAD" {
            named.push(Difference::HeadResponseFirst);
            in_step = false;
            continue;
        }
        return Err(format!("we show {shown}, tshark {their}"));
    }
    match theirs.next() {
        Some(their) => Err(format!("only tshark shows {their}")),
        None => Ok(named),
    }
}

/// What came of a file with packets missing, exchange by exchange of the whole file.
#[derive(Debug, Default)]
pub struct Totals {
    /// Shown as in the whole file.
    whole: usize,
    /// Shown in part, and marked.
    partial: usize,
    /// Not shown: in the ledger, but for those that left no trace.
    counted: usize,
    /// Of those that we show whole, what tshark does not show: it loses step at a hole.
    only_ours: usize,
    /// Requests that tshark shows and we only count: it shows what it sees of either direction,
    /// whether or not the two belong together.
    only_theirs: usize,
}

/// An exchange is shown right, shown in part and marked, or counted; and the two readers never show
/// different requests.
#[track_caller]
pub fn assert_honest(
    whole: &Outcome,
    ours: &Outcome,
    theirs: &Connections,
    packets_lost: usize,
) -> Totals {
    let key = |ends: &Ends, shown: &Shown| (ends.server.clone(), shown.target.clone());
    let originals: BTreeMap<_, &Ours> = whole
        .exchanges
        .iter()
        .map(|exchange| (key(&exchange.ends, &exchange.shown), exchange))
        .collect();
    let mut requests: BTreeMap<_, &Shown> = theirs
        .iter()
        .flat_map(|(ends, shown)| shown.iter().map(move |shown| (key(ends, shown), shown)))
        .collect();
    let mut totals = Totals::default();
    for exchange in &ours.exchanges {
        let shown = &exchange.shown;
        let key = key(&exchange.ends, shown);
        let original = originals.get(&key);
        let original = original.unwrap_or_else(|| panic!("never happened: {shown}"));
        assert_eq!(shown.method, original.shown.method, "{shown}");
        if exchange.partial.is_none() {
            assert_eq!(shown, &original.shown);
            assert!(exchange.decoded == original.decoded, "other bytes: {shown}");
            totals.whole += 1;
        } else {
            assert!(
                shown.status.is_none() || shown.status == original.shown.status,
                "mispaired: {shown}, which was {}",
                original.shown
            );
            totals.partial += 1;
        }
        match requests.remove(&key) {
            Some(their) => assert_eq!(shown.method, their.method, "{shown}"),
            None if exchange.partial.is_none() => totals.only_ours += 1,
            None => {}
        }
    }
    totals.only_theirs = requests.len();
    totals.counted = originals.len() - ours.exchanges.len();
    let lost: u64 = ours.ledger.dropped.iter().sum();
    // Requests that were in a missing packet, pipelined up to so many in one, are known to nobody.
    let unseen = packets_lost * PIPELINED;
    let countable = totals.counted.saturating_sub(unseen) as u64;
    assert!(countable <= lost, "{totals:?} {:?}", ours.ledger);
    for ((server, target), their) in requests {
        assert!(originals.contains_key(&(server, target)), "tshark: {their}");
    }
    totals
}
