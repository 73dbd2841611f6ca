//! Which function is which, by the order of the lines at which errors are reported.
//!
//! In `ssl_lib.cc`, from top to bottom (checked for 2019 to 2026):
//!
//! | function | reasons |
//! |---|---|
//! | `SSL_do_handshake` | 134 |
//! | `ssl_read_impl` | 226, 215 |
//! | `SSL_peek` | 66 (not before 2019) |
//! | `SSL_write` | 66, 226, 215 |
//! | `SSL_shutdown` | 226, 291 |

use std::collections::BTreeSet;

use super::super::{Doubt, Refusal};
use super::interpret::Interpreter;
use super::ranges::Range;
use super::sites::{Sites, callers};
use super::{confirm, reason};

/// The functions, as far as the order of lines says.
pub(super) struct Roles {
    pub(super) read: Range,
    /// `SSL_read` calls this one to copy, and it is not a part of `SSL_read`.
    pub(super) peek: Option<Range>,
    pub(super) write: Range,
    pub(super) handshake: Option<Range>,
    pub(super) shutdown: Option<Range>,
    /// Functions that hold `ssl_read_impl`, or are it.
    pub(super) read_bodies: Vec<Range>,
}

/// The lines of `ssl_lib.cc` that matter.
struct Lines {
    read_uninitialized: u64,
    read_failure: u64,
    peek: Option<u64>,
    write_uninitialized: u64,
    write_failure: u64,
}

/// `ssl_read_impl` is one function, or a part of three.
const MAX_BODIES: usize = 8;

pub(super) fn assign(interpreter: &mut Interpreter<'_>, sites: &Sites) -> Result<Roles, Refusal> {
    let lines = lines(sites)?;
    let write = write(interpreter, sites, &lines)?;
    let shutdown = sites.with_reason(reason::APPLICATION_DATA_ON_SHUTDOWN);
    let read_bodies = both(
        sites,
        (reason::SSL_HANDSHAKE_FAILURE, lines.read_failure),
        (reason::UNINITIALIZED, lines.read_uninitialized),
    );
    let candidates = candidates(interpreter, sites, &lines, &read_bodies, &shutdown)?;
    let (read, peek) = read(interpreter, &candidates)?;
    if read == write {
        return Err(Refusal::Doubtful(Doubt::Merged));
    }
    Ok(Roles {
        read,
        peek,
        write,
        handshake: only(&sites.with_reason(reason::CONNECTION_TYPE_NOT_SET)),
        shutdown: only(&shutdown),
        read_bodies,
    })
}

fn only(ranges: &[Range]) -> Option<Range> {
    match ranges {
        [range] => Some(*range),
        _ => None,
    }
}

fn lines(sites: &Sites) -> Result<Lines, Refusal> {
    let doubt = Refusal::Doubtful(Doubt::Lines);
    let failures = Vec::from_iter(sites.lines(reason::SSL_HANDSHAKE_FAILURE));
    let [read_failure, write_failure] = failures[..] else {
        return Err(doubt);
    };
    let uninitialized = sites.lines(reason::UNINITIALIZED);
    let before = Vec::from_iter(uninitialized.range(..read_failure));
    let between = Vec::from_iter(uninitialized.range(read_failure + 1..write_failure));
    let ([read_uninitialized], [write_uninitialized]) = (&before[..], &between[..]) else {
        return Err(doubt);
    };
    let called = sites.lines(reason::SHOULD_NOT_HAVE_BEEN_CALLED);
    let called = Vec::from_iter(called.range(read_failure + 1..**write_uninitialized));
    let peek = match called[..] {
        [peek, _] => Some(*peek),
        // Before 2019 there is neither the one of SSL_peek nor that of SSL_write.
        [] => None,
        _ => return Err(doubt),
    };
    Ok(Lines {
        read_uninitialized: **read_uninitialized,
        read_failure,
        peek,
        write_uninitialized: **write_uninitialized,
        write_failure,
    })
}

/// The functions that report both.
fn both(sites: &Sites, one: (u64, u64), other: (u64, u64)) -> Vec<Range> {
    let mut found = sites.with(one);
    found.retain(|range| sites.reports(*range).any(|report| report == other));
    found
}

fn write(interpreter: &Interpreter<'_>, sites: &Sites, lines: &Lines) -> Result<Range, Refusal> {
    let found = both(
        sites,
        (reason::SSL_HANDSHAKE_FAILURE, lines.write_failure),
        (reason::UNINITIALIZED, lines.write_uninitialized),
    );
    only(&found)
        .filter(|write| interpreter.live_arguments(*write) == 3)
        .ok_or(Refusal::Doubtful(Doubt::Write))
}

/// `SSL_peek`, and `SSL_read` where `SSL_peek` is a part of it: by what they report, and by whom
/// they call. Both ways have to give the same.
fn candidates(
    interpreter: &mut Interpreter<'_>,
    sites: &Sites,
    lines: &Lines,
    read_bodies: &[Range],
    shutdown: &[Range],
) -> Result<BTreeSet<Range>, Refusal> {
    if read_bodies.len() > MAX_BODIES {
        return Err(Refusal::Doubtful(Doubt::Peek));
    }
    let mut by_calls = BTreeSet::new();
    for body in read_bodies.iter().filter(|body| !shutdown.contains(body)) {
        let reports_more = sites
            .reports(*body)
            .any(|(reason, _)| reason == reason::SHOULD_NOT_HAVE_BEEN_CALLED);
        if reports_more || interpreter.live_arguments(*body) == 3 {
            by_calls.insert(*body);
            continue;
        }
        let callers = callers(interpreter, &std::iter::once(body.start).collect());
        by_calls.extend(
            callers.into_iter().filter(|caller| {
                !shutdown.contains(caller) && !sites.parts.contains(&caller.start)
            }),
        );
    }
    let Some(line) = lines.peek else {
        by_calls.retain(|range| interpreter.live_arguments(*range) == 3);
        return Ok(by_calls);
    };
    let by_report = sites.with((reason::SHOULD_NOT_HAVE_BEEN_CALLED, line));
    match by_report.into_iter().collect::<BTreeSet<_>>() {
        same if same == by_calls => Ok(same),
        _ => Err(Refusal::Doubtful(Doubt::Peek)),
    }
}

/// `SSL_read` marks bytes as taken, so it stores through a pointer; `SSL_peek` does not. With the
/// one that `SSL_read` calls, where it calls one.
fn read(
    interpreter: &mut Interpreter<'_>,
    candidates: &BTreeSet<Range>,
) -> Result<(Range, Option<Range>), Refusal> {
    /// `SSL_read` is small where it calls `SSL_peek`.
    const SMALL: u64 = 0x200;
    let doubt = Refusal::Doubtful(Doubt::Read);
    let (storing, others): (Vec<Range>, Vec<Range>) = candidates
        .iter()
        .partition(|range| confirm::stores(interpreter, **range));
    match (&storing[..], &others[..]) {
        ([read], [] | [_]) if interpreter.live_arguments(*read) == 3 => Ok((*read, None)),
        ([], [peek]) => {
            let mut callers = callers(interpreter, &std::iter::once(peek.start).collect());
            callers.retain(|caller| {
                caller.size() < SMALL
                    && confirm::stores(interpreter, *caller)
                    && confirm::passes_arguments(interpreter, *caller, *peek)
            });
            match only(&Vec::from_iter(callers)) {
                Some(read) => Ok((read, Some(*peek))),
                None => Err(doubt),
            }
        }
        _ => Err(doubt),
    }
}
