//! Do the calls of a file's functions look like those of a TLS library? A function that was taken
//! for another one would give rubbish: it is detached from.
//!
//! The BPF programs count by process. A file is judged by all processes that use it, and by those
//! that did: one of them may carry what is not HTTP.

use meshtap_common::TlsProcess;

use super::TlsProbes;

/// Sessions after which a file is judged: what a wrong function gives, it gives at once.
const ENOUGH: u32 = 16;
/// Calls without a socket after which it is, where there are few sessions. A library that is used
/// from the middle of a session touches its socket in every few calls.
const ENOUGH_CALLS: u32 = 256;
/// Sessions after which it is where no handshake can be seen: nothing says that what came first was
/// the beginning.
const ENOUGH_OF_UNKNOWN_START: u32 = 1024;

/// What is wrong with the calls of a file's functions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Doubt {
    /// No call used a socket: a program that does its own I/O, or no TLS at all.
    NoSocket,
    /// No session began like HTTP.
    NotHttp,
    /// Results contradict arguments.
    Contradiction,
}

impl Doubt {
    /// For people.
    #[must_use]
    pub const fn text(self) -> &'static str {
        match self {
            Self::NoSocket => "its calls use no socket",
            Self::NotHttp => "what it carries is not HTTP",
            Self::Contradiction => "results of its calls contradict their arguments",
        }
    }
}

impl TlsProbes {
    /// What was seen of a process (the kernel's tgid).
    pub(super) fn seen(&self, pid: u32) -> TlsProcess {
        self.processes.get(&u64::from(pid), 0).unwrap_or_default()
    }

    /// The same, of a process that has gone: its id may become another's.
    pub(super) fn take_seen(&mut self, pid: u32) -> TlsProcess {
        let seen = self.seen(pid);
        let _gone = self.processes.remove(&u64::from(pid));
        seen
    }
}

/// Judges what all processes of a file did with it.
pub(super) fn judge(seen: &TlsProcess, sees_handshakes: bool) -> Option<Doubt> {
    if seen.refused >= ENOUGH && seen.refused > seen.sessions {
        return Some(Doubt::Contradiction);
    }
    let is_enough = seen.sessions >= ENOUGH || seen.untouched_calls >= ENOUGH_CALLS;
    if is_enough && seen.touched == 0 {
        return Some(Doubt::NoSocket);
    }
    // What is seen of a session from the middle may begin with anything.
    let is_enough = match sees_handshakes {
        true => seen.started >= ENOUGH,
        false => seen.sessions >= ENOUGH_OF_UNKNOWN_START,
    };
    (is_enough && seen.plausible == 0).then_some(Doubt::NotHttp)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_are_judged_when_enough_is_known() {
        let check = |seen: TlsProcess, expected| {
            assert_eq!(judge(&seen, true), expected, "{seen:?}");
        };
        let none = TlsProcess::default();
        let sessions = |sessions, started, touched, plausible| TlsProcess {
            sessions,
            started,
            touched,
            plausible,
            ..none
        };
        check(none, None);
        check(sessions(15, 15, 0, 0), None);
        check(sessions(16, 0, 0, 0), Some(Doubt::NoSocket));
        check(sessions(16, 16, 0, 16), Some(Doubt::NoSocket));
        check(sessions(16, 16, 1, 0), Some(Doubt::NotHttp));
        check(sessions(16, 16, 1, 1), None);
        // From the middle: anything may come first.
        check(sessions(16, 15, 16, 0), None);
        check(sessions(10_000, 0, 10_000, 0), None);
        let calls = |untouched_calls, touched| TlsProcess {
            sessions: 1,
            untouched_calls,
            touched,
            ..none
        };
        check(calls(255, 0), None);
        check(calls(256, 0), Some(Doubt::NoSocket));
        check(calls(256, 1), None);
        let refused = |refused, sessions| TlsProcess {
            refused,
            sessions,
            started: sessions,
            touched: sessions,
            plausible: sessions,
            ..none
        };
        check(refused(15, 0), None);
        check(refused(16, 0), Some(Doubt::Contradiction));
        check(refused(16, 1000), None);
    }

    #[test]
    fn where_no_handshake_is_seen_more_is_asked_for() {
        let check = |sessions, expected| {
            let seen = TlsProcess {
                sessions,
                touched: sessions,
                ..TlsProcess::default()
            };
            assert_eq!(judge(&seen, false), expected, "{seen:?}");
        };
        check(1023, None);
        check(1024, Some(Doubt::NotHttp));
    }

    #[test]
    fn one_user_that_speaks_http_is_enough() {
        let other = TlsProcess {
            sessions: 500,
            started: 500,
            touched: 500,
            ..TlsProcess::default()
        };
        let http = TlsProcess {
            sessions: 1,
            started: 1,
            touched: 1,
            plausible: 2,
            ..TlsProcess::default()
        };
        assert_eq!(judge(&other, true), Some(Doubt::NotHttp));
        assert_eq!(judge(&other.and(http), true), None);
    }
}
