//! The thread that looks sockets up, and the bounded memory of its responses.

use std::fmt;
use std::io;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use hashbrown::HashMap;

use super::finder::Finder;
use super::{Process, Query, Witness};
use crate::flow::{Endpoint, SocketId};

/// Responses kept in each of two generations: the sockets of a busy node's last seconds, in about
/// 10 MB.
const GENERATION: usize = 32_768;
/// A socket without an response is looked up again after this, if it still has exchanges: its
/// process may have been hidden by a fork, a hand-over or a namespace that appeared just then.
const RETRY: Duration = Duration::from_secs(1);
/// Sockets waiting for a look-up; more have an unknown result.
const PENDING: usize = 16_384;
/// Two sockets with the same addresses within this time are of two network namespaces: one that
/// closes keeps its port for 60 s (TCP_TIMEWAIT_LEN).
pub(super) const AMBIGUOUS: Duration = Duration::from_secs(60);
/// The thread rests this many times as long as it worked, so it takes at most a tenth of a core
/// however many sockets come.
const REST: u32 = 9;
/// Longest rest: with [`super::TIMEOUT`] a line still gets its response.
const LONGEST_REST: Duration = Duration::from_millis(200);

#[derive(Clone, Debug)]
enum Response {
    Known(Arc<Process>),
    /// Not found when its first segment was seen. A server may not have accepted it by then: no
    /// process has it yet.
    TooEarly(Query),
    /// Not found when it was asked for.
    Unknown(Instant),
    /// Waiting for the thread, or being looked up.
    Asked,
}

/// Why a socket is looked up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Occasion {
    /// Its first segment was seen.
    Announced,
    /// An exchange on it has ended and is to be printed.
    Wanted,
}

/// Responses by socket, in two generations: when the young one is full the old one is forgotten.
#[derive(Debug, Default)]
struct Responses {
    young: HashMap<SocketId, Response, crate::hash::Keyed>,
    old: HashMap<SocketId, Response, crate::hash::Keyed>,
}

impl Responses {
    fn get(&self, socket: SocketId) -> Option<&Response> {
        self.young.get(&socket).or_else(|| self.old.get(&socket))
    }

    /// All, the older first: what is said of a socket last holds.
    fn all(&self) -> impl Iterator<Item = (&SocketId, &Response)> {
        let young = &self.young;
        let old = self.old.iter();
        old.filter(|(socket, _)| !young.contains_key(*socket))
            .chain(young)
    }

    fn is_asking(&self) -> bool {
        self.all()
            .any(|(_, response)| matches!(response, Response::Asked))
    }

    fn set(&mut self, socket: SocketId, response: Response) {
        if self.young.len() >= GENERATION {
            self.old = std::mem::take(&mut self.young);
        }
        self.young.insert(socket, response);
    }
}

/// Sockets by their addresses, local first; in two generations likewise.
#[derive(Debug, Default)]
struct Ends {
    young: HashMap<(Endpoint, Endpoint), End, crate::hash::Keyed>,
    old: HashMap<(Endpoint, Endpoint), End, crate::hash::Keyed>,
}

#[derive(Clone, Copy, Debug)]
struct End {
    query: Query,
    seen: Instant,
    is_ambiguous: bool,
}

impl Ends {
    fn get(&self, local: Endpoint, remote: Endpoint) -> Option<Query> {
        let ends = (local, remote);
        let end = self.young.get(&ends).or_else(|| self.old.get(&ends))?;
        (!end.is_ambiguous).then_some(end.query)
    }

    fn see(&mut self, query: Query, now: Instant) {
        let ends = (query.local, query.remote);
        let known = self.young.get(&ends).or_else(|| self.old.get(&ends));
        let is_ambiguous = known.is_some_and(|end| {
            end.query.socket != query.socket && now.duration_since(end.seen) < AMBIGUOUS
                || end.query.socket == query.socket && end.is_ambiguous
        });
        if self.young.len() >= GENERATION {
            self.old = std::mem::take(&mut self.young);
        }
        let end = End {
            query,
            seen: now,
            is_ambiguous,
        };
        self.young.insert(ends, end);
    }
}

#[derive(Debug, Default)]
struct State {
    responses: Responses,
    ends: Ends,
    pending: Vec<(Query, Occasion)>,
    stopped: bool,
}

impl State {
    /// Queues a look-up unless there is an response, or one is under way.
    fn ask(&mut self, query: Query, occasion: Occasion, now: Instant) {
        let due = match self.responses.get(query.socket) {
            None => true,
            Some(Response::TooEarly(_)) => occasion == Occasion::Wanted,
            Some(Response::Unknown(at)) => now.duration_since(*at) >= RETRY,
            Some(Response::Known(_) | Response::Asked) => false,
        };
        if !due {
            return;
        }
        if self.pending.len() < PENDING {
            self.responses.set(query.socket, Response::Asked);
            self.pending.push((query, occasion));
        } else {
            self.responses.set(query.socket, Response::Unknown(now));
        }
    }
}

/// What the lookup thread and those who ask share.
pub(super) struct Shared {
    witness: Option<Box<dyn Witness>>,
    state: Mutex<State>,
    asked: Condvar,
    responded: Condvar,
}

impl fmt::Debug for Shared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Shared").finish_non_exhaustive()
    }
}

impl Shared {
    fn witnessed(&self, socket: SocketId) -> Option<Arc<Process>> {
        self.witness.as_ref()?.owner(socket).map(Arc::new)
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The response, asked for if need be and waited for until `deadline`.
    pub(super) fn wait(&self, query: Query, deadline: Instant) -> Option<Arc<Process>> {
        let mut state = self.lock();
        if let Some(Response::Known(process)) = state.responses.get(query.socket) {
            return Some(Arc::clone(process));
        }
        loop {
            // Also when an announced look-up ends meanwhile, too early.
            state.ask(query, Occasion::Wanted, Instant::now());
            match state.responses.get(query.socket) {
                Some(Response::Known(process)) => return Some(Arc::clone(process)),
                Some(Response::Asked) if !state.stopped => self.asked.notify_one(),
                _ => break,
            }
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                break;
            }
            state = self
                .responded
                .wait_timeout(state, left)
                .unwrap_or_else(PoisonError::into_inner)
                .0;
        }
        drop(state);
        // It may have been closed since the look-up, and so been seen.
        let process = self.witnessed(query.socket)?;
        let response = Response::Known(Arc::clone(&process));
        self.lock().responses.set(query.socket, response);
        Some(process)
    }

    /// The socket that was seen with these addresses.
    pub(super) fn at(&self, local: Endpoint, remote: Endpoint) -> Option<Query> {
        self.lock().ends.get(local, remote)
    }

    /// See [`super::Processes::known`].
    pub(super) fn known(&self, deadline: Instant) -> Vec<(SocketId, Arc<Process>)> {
        let mut state = self.lock();
        let now = Instant::now();
        let early: Vec<Query> = (state.responses.all())
            .filter_map(|(_, response)| match response {
                Response::TooEarly(query) => Some(*query),
                _ => None,
            })
            .collect();
        for query in early {
            state.ask(query, Occasion::Wanted, now);
        }
        if !state.pending.is_empty() {
            self.asked.notify_one();
        }
        while now < deadline && !state.stopped && state.responses.is_asking() {
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                break;
            }
            let waited = self.responded.wait_timeout(state, left);
            state = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
        (state.responses.all())
            .filter_map(|(socket, response)| match response {
                Response::Known(process) => Some((*socket, Arc::clone(process))),
                _ => None,
            })
            .collect()
    }

    /// Takes sockets that were seen for the first time, unless the lock is held just now.
    pub(super) fn announce(&self, fresh: &mut Vec<Query>) {
        let Ok(mut state) = self.state.try_lock() else {
            return;
        };
        let now = Instant::now();
        for query in fresh.drain(..) {
            state.ends.see(query, now);
            state.ask(query, Occasion::Announced, now);
        }
        let waiting = !state.pending.is_empty();
        drop(state);
        if waiting {
            self.asked.notify_one();
        }
    }

    pub(super) fn stop(&self) {
        self.lock().stopped = true;
        self.asked.notify_all();
        self.responded.notify_all();
    }
}

/// Starts the thread.
pub(super) fn start(witness: Option<Box<dyn Witness>>) -> io::Result<Arc<Shared>> {
    let shared = Arc::new(Shared {
        witness,
        state: Mutex::default(),
        asked: Condvar::new(),
        responded: Condvar::new(),
    });
    let its = Arc::clone(&shared);
    thread::Builder::new()
        .name("process".into())
        .spawn(move || {
            let mut finder = Finder::new();
            while let Some(batch) = next_batch(&its) {
                let began = Instant::now();
                let found = find(&its, &mut finder, &batch);
                let ended = Instant::now();
                let mut state = its.lock();
                for ((query, occasion), process) in batch.iter().zip(found) {
                    let response = match (process, occasion) {
                        (Some(process), _) => Response::Known(process),
                        (None, Occasion::Announced) => Response::TooEarly(*query),
                        (None, Occasion::Wanted) => Response::Unknown(ended),
                    };
                    state.responses.set(query.socket, response);
                }
                its.responded.notify_all();
                let rest = (ended.duration_since(began) * REST).min(LONGEST_REST);
                let _ = its
                    .asked
                    .wait_timeout_while(state, rest, |state| !state.stopped);
            }
        })?;
    Ok(shared)
}

/// What the witness saw, and for the rest what a search finds.
fn find(
    shared: &Shared,
    finder: &mut Finder,
    batch: &[(Query, Occasion)],
) -> Vec<Option<Arc<Process>>> {
    let mut found: Vec<_> = batch
        .iter()
        .map(|(query, _)| shared.witnessed(query.socket))
        .collect();
    let unseen = |process: &Option<_>| process.is_none();
    let left: Vec<Query> = (batch.iter().zip(&found))
        .filter(|(_, process)| unseen(process))
        .map(|((query, _), _)| *query)
        .collect();
    if !left.is_empty() {
        let searched = finder.find(&left);
        let slots = found.iter_mut().filter(|process| unseen(process));
        for ((slot, process), query) in slots.zip(searched).zip(&left) {
            // One that is not found may have been closed while it was searched for, and so been
            // seen.
            *slot = process.or_else(|| shared.witnessed(query.socket));
        }
    }
    found
}

/// Waits for sockets to look up; `None` when the service has been stopped.
fn next_batch(shared: &Shared) -> Option<Vec<(Query, Occasion)>> {
    let mut state = shared
        .asked
        .wait_while(shared.lock(), |state| {
            state.pending.is_empty() && !state.stopped
        })
        .unwrap_or_else(PoisonError::into_inner);
    (!state.stopped).then(|| std::mem::take(&mut state.pending))
}

#[cfg(test)]
mod tests {
    use std::net::SocketAddr;

    use super::*;
    use crate::flow::CgroupId;

    #[test]
    fn responses_are_bounded_and_recent_ones_kept() {
        let mut responses = Responses::default();
        let last = 5 * GENERATION as u64;
        for cookie in 0..=last {
            responses.set(SocketId(cookie), Response::Asked);
            assert!(responses.young.len() + responses.old.len() <= 2 * GENERATION);
        }
        assert!(responses.get(SocketId(0)).is_none());
        let kept = SocketId(last - GENERATION as u64 + 1);
        assert!(responses.get(kept).is_some());
    }

    fn query(cookie: u64) -> Query {
        let nowhere: SocketAddr = "192.0.2.1:1".parse().expect("an address");
        Query {
            socket: SocketId(cookie),
            cgroup: CgroupId(0),
            local: nowhere.into(),
            remote: nowhere.into(),
        }
    }

    fn process(pid: u32) -> Process {
        Process {
            pid,
            name: "init".into(),
        }
    }

    /// Whether a socket with this response is looked up again.
    #[track_caller]
    fn check(response: Option<Response>, occasion: Occasion, expected: bool) {
        let mut state = State::default();
        if let Some(response) = response {
            state.responses.set(SocketId(1), response);
        }
        state.ask(query(1), occasion, Instant::now());
        assert_eq!(state.pending.len(), usize::from(expected));
    }

    #[test]
    fn when_a_socket_is_looked_up() {
        let now = Instant::now();
        let known = Response::Known(Arc::new(process(1)));
        for occasion in [Occasion::Announced, Occasion::Wanted] {
            check(None, occasion, true);
            check(Some(known.clone()), occasion, false);
            check(Some(Response::Asked), occasion, false);
            check(Some(Response::Unknown(now)), occasion, false);
            check(
                now.checked_sub(RETRY).map(Response::Unknown),
                occasion,
                true,
            );
        }
        check(
            Some(Response::TooEarly(query(1))),
            Occasion::Announced,
            false,
        );
        check(Some(Response::TooEarly(query(1))), Occasion::Wanted, true);
    }

    /// Saw the socket with cookie 7.
    struct Seven;

    impl Witness for Seven {
        fn owner(&self, socket: SocketId) -> Option<Process> {
            (socket.0 == 7).then(|| process(70))
        }
    }

    #[test]
    fn a_socket_is_found_by_its_addresses_unless_two_have_them() {
        let mut ends = Ends::default();
        let start = Instant::now();
        let (local, remote) = (query(1).local, query(1).remote);
        let found = |ends: &Ends| ends.get(local, remote).map(|query| query.socket.0);
        assert_eq!(found(&ends), None);
        ends.see(query(1), start);
        ends.see(query(1), start);
        assert_eq!(found(&ends), Some(1));
        ends.see(query(2), start + Duration::from_secs(5));
        assert_eq!(found(&ends), None);
        ends.see(query(2), start + Duration::from_secs(6));
        assert_eq!(found(&ends), None);
        ends.see(query(3), start + Duration::from_secs(70));
        assert_eq!(found(&ends), Some(3));
        for cookie in 0..3 * GENERATION as u64 {
            let mut other = query(cookie);
            other.cgroup = CgroupId(cookie);
            ends.see(other, start + Duration::from_secs(1000 + cookie * 100));
            assert!(ends.young.len() + ends.old.len() <= 2 * GENERATION);
        }
    }

    #[test]
    fn all_that_is_known_can_be_had_without_asking_for_each() {
        let shared = start(Some(Box::new(Seven))).expect("a thread");
        let mut fresh = vec![query(7), query(u64::MAX)];
        while !fresh.is_empty() {
            shared.announce(&mut fresh);
        }
        let far = Instant::now() + Duration::from_secs(60);
        let known = shared.known(far);
        let known: Vec<_> = known.iter().map(|(id, p)| (id.0, p.pid)).collect();
        assert_eq!(known, [(7, 70)]);
        shared.stop();
    }

    #[test]
    fn the_witness_is_believed() {
        let shared = start(Some(Box::new(Seven))).expect("a thread");
        let far = Instant::now() + Duration::from_secs(60);
        let check = |cookie, expected: Option<u32>| {
            assert_eq!(shared.wait(query(cookie), far).map(|p| p.pid), expected);
        };
        check(7, Some(70));
        check(7, Some(70));
        check(u64::MAX, None);
        let mut fresh = vec![query(u64::MAX - 1), query(7)];
        while !fresh.is_empty() {
            shared.announce(&mut fresh);
        }
        check(u64::MAX - 1, None);
        shared.stop();
    }
}
