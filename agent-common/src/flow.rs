//! The state of a socket in the BPF programs, as far as user space reads or writes it.

use crate::Classification;

/// Bytes of a socket's state in the BPF programs.
pub const FLOW_LEN: usize = 88;
/// Where the state is in it: one byte.
pub const FLOW_STATE_OFFSET: usize = 8;
/// Where the rule by which it is copied is: one byte.
pub const FLOW_RULE_OFFSET: usize = 9;
/// Where the reason why it is left alone is: one byte, a [`Classification`].
pub const FLOW_REASON_OFFSET: usize = 15;

/// The state of a socket of which nothing is known yet.
pub const FLOW_STATE_NEW: u8 = 0;
/// No message of HTTP has started yet where one may begin.
pub const FLOW_STATE_WAITING: u8 = 1;
/// No message for so long that few packets are looked at.
pub const FLOW_STATE_DORMANT: u8 = 2;
/// To be left alone once TCP has taken the bytes that are the reason.
pub const FLOW_STATE_PENDING: u8 = 3;
/// Multipath TCP by the options of a received packet.
pub const FLOW_STATE_SUSPECTED: u8 = 4;
/// Copied.
pub const FLOW_STATE_FOLLOWED: u8 = 5;
/// The state of a socket that is left alone as long as it lives.
pub const FLOW_STATE_IGNORED: u8 = 6;

/// The rule of what looks like HTTP and was met where no message begins.
pub const FLOW_RULE_GUESSED: u8 = 2;

/// What is to be read of a socket's state.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FlowReport {
    /// `FLOW_STATE_*`.
    pub state: u8,
    /// It looks like HTTP, and was met where no message begins.
    pub is_guessed: bool,
    /// Why it is left alone, or is to be. `None`: it is a socket of the agent's own, or an older
    /// agent does not say.
    pub reason: Option<Classification>,
}

impl FlowReport {
    /// Reads the state. `None`: these bytes are no state of these programs.
    #[must_use]
    pub fn read(bytes: &[u8]) -> Option<Self> {
        if bytes.len() != FLOW_LEN {
            return None;
        }
        let state = *bytes.get(FLOW_STATE_OFFSET)?;
        let reason = *bytes.get(FLOW_REASON_OFFSET)?;
        let is_reason = matches!(state, FLOW_STATE_PENDING | FLOW_STATE_IGNORED);
        let reason = Classification::ALL.get(usize::from(reason)).copied();
        (state <= FLOW_STATE_IGNORED).then_some(Self {
            state,
            is_guessed: *bytes.get(FLOW_RULE_OFFSET)? == FLOW_RULE_GUESSED,
            reason: reason.filter(|reason| is_reason && *reason != Classification::Followed),
        })
    }
}

/// What user space puts into the socket-local storage of a listener of its own. The kernel copies
/// it to every socket that the listener accepts (`BPF_F_CLONE`), before that gets its first packet.
#[repr(C, align(8))]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct IgnoredFlow([u8; FLOW_LEN]);

impl IgnoredFlow {
    /// The only value.
    pub const VALUE: Self = {
        let mut bytes = [0; FLOW_LEN];
        bytes[FLOW_STATE_OFFSET] = FLOW_STATE_IGNORED;
        Self(bytes)
    };
}

const _: () = assert!(core::mem::size_of::<IgnoredFlow>() == FLOW_LEN);

// SAFETY: bytes, without padding (asserted above): any bytes are a value.
#[cfg(feature = "user")]
unsafe impl aya::Pod for IgnoredFlow {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_state_is_read_back() {
        let check = |state: u8, reason: u8, expected: Option<Classification>| {
            let mut bytes = [0; FLOW_LEN];
            bytes[FLOW_STATE_OFFSET] = state;
            bytes[FLOW_REASON_OFFSET] = reason;
            let report = FlowReport::read(&bytes).expect("a state");
            assert_eq!((report.state, report.reason), (state, expected));
            assert!(!report.is_guessed);
        };
        check(FLOW_STATE_IGNORED, 1, Some(Classification::Tls));
        check(FLOW_STATE_PENDING, 5, Some(Classification::Mptcp));
        check(FLOW_STATE_IGNORED, 0, None);
        check(FLOW_STATE_IGNORED, 99, None);
        check(FLOW_STATE_FOLLOWED, 1, None);
        assert_eq!(FlowReport::read(&[0; FLOW_LEN - 1]), None);
        let mut other = [0; FLOW_LEN];
        other[FLOW_STATE_OFFSET] = FLOW_STATE_IGNORED + 1;
        assert_eq!(FlowReport::read(&other), None);
    }
}
