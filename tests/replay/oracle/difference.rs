//! Where Wireshark's dissectors and our engine may differ, each with its name and its reason. Nothing else may.

use std::collections::BTreeMap;

use meshtap::exchange::Partial;

use crate::agent::{Ours, Outcome};
use crate::told::{Connections, Ends, Told};
use crate::traffic::PIPELINED;

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Difference {
    /// The connection ended inside the request's body. We tell the exchange as `request_cut`; tshark shows a message only when its
    /// body is whole.
    CutRequest,
    /// An answer to HEAD was written before its request. tshark cannot know then what it answers, takes its `Content-Length` for
    /// the length of a body that is not there, and is out of step with the rest of that direction. We wait for the request.
    HeadAnsweredFirst,
    /// Packets of an answer's body were written out of order. tshark 4.0 then shows the answer without its body, or with less than all of
    /// it, although it is asked to put segments in order (`tcp.reassemble_out_of_order`). What we tell of such a file is compared with
    /// what we tell of the file in order.
    BodyOutOfOrder,
}

/// Compares connection by connection, and counts the differences that have a name. `reordered`: the file's packets are out of order.
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

fn connection(ours: &[&Ours], theirs: &[Told], reordered: bool) -> Result<Vec<Difference>, String> {
    let mut named = Vec::new();
    let mut theirs = theirs.iter();
    let mut in_step = true;
    for exchange in ours {
        let told = &exchange.told;
        if exchange.partial == Some(Partial::RequestCut) {
            named.push(Difference::CutRequest);
            continue;
        }
        let Some(their) = theirs.next() else {
            return Err(format!("only we tell {told}"));
        };
        let same_request = (&told.method, &told.target, told.request_body)
            == (&their.method, &their.target, their.request_body);
        if told == their || (same_request && !in_step) {
            continue;
        }
        let same_status = same_request && told.status == their.status;
        if reordered && same_status && their.response_body < told.response_body {
            named.push(Difference::BodyOutOfOrder);
            continue;
        }
        if reordered && same_request && told.method == "HEAD" {
            named.push(Difference::HeadAnsweredFirst);
            in_step = false;
            continue;
        }
        return Err(format!("we tell {told}, tshark {their}"));
    }
    match theirs.next() {
        Some(their) => Err(format!("only tshark tells {their}")),
        None => Ok(named),
    }
}

/// What came of a file with packets missing, exchange by exchange of the whole file.
#[derive(Debug, Default)]
pub struct Account {
    /// Told as in the whole file.
    whole: usize,
    /// Told in part, and marked.
    partial: usize,
    /// Not told: in the ledger, but for those that left no trace.
    counted: usize,
    /// Of those that we tell whole, what tshark does not tell: it loses step at a hole.
    only_ours: usize,
    /// Requests that tshark tells and we only count: it shows what it sees of either direction, whether or not the two belong
    /// together.
    only_theirs: usize,
}

/// An exchange is told right, told in part and marked, or counted; and the two readers never tell different requests.
#[track_caller]
pub fn assert_honest(
    whole: &Outcome,
    ours: &Outcome,
    theirs: &Connections,
    packets_lost: usize,
) -> Account {
    let key = |ends: &Ends, told: &Told| (ends.server.clone(), told.target.clone());
    let originals: BTreeMap<_, &Ours> = whole
        .exchanges
        .iter()
        .map(|exchange| (key(&exchange.ends, &exchange.told), exchange))
        .collect();
    let mut requests: BTreeMap<_, &Told> = theirs
        .iter()
        .flat_map(|(ends, told)| told.iter().map(move |told| (key(ends, told), told)))
        .collect();
    let mut account = Account::default();
    for exchange in &ours.exchanges {
        let told = &exchange.told;
        let key = key(&exchange.ends, told);
        let original = originals.get(&key);
        let original = original.unwrap_or_else(|| panic!("never happened: {told}"));
        assert_eq!(told.method, original.told.method, "{told}");
        if exchange.partial.is_none() {
            assert_eq!(told, &original.told);
            assert!(exchange.decoded == original.decoded, "other bytes: {told}");
            account.whole += 1;
        } else {
            assert!(
                told.status.is_none() || told.status == original.told.status,
                "mispaired: {told}, which was {}",
                original.told
            );
            account.partial += 1;
        }
        match requests.remove(&key) {
            Some(their) => assert_eq!(told.method, their.method, "{told}"),
            None if exchange.partial.is_none() => account.only_ours += 1,
            None => {}
        }
    }
    account.only_theirs = requests.len();
    account.counted = originals.len() - ours.exchanges.len();
    let lost: u64 = ours.ledger.lost.iter().sum();
    // Requests that were in a missing packet, pipelined up to so many in one, are known to nobody.
    let unseen = packets_lost * PIPELINED;
    let countable = account.counted.saturating_sub(unseen) as u64;
    assert!(countable <= lost, "{account:?} {:?}", ours.ledger);
    for ((server, target), their) in requests {
        assert!(originals.contains_key(&(server, target)), "tshark: {their}");
    }
    account
}
