//! Why a socket is, or is not, captured. Pure: from what the kernel says of the socket, and what
//! the agent's BPF programs have stored with it.

use meshtap_common::{
    CaptureConfig, Classification, FLOW_STATE_DORMANT, FLOW_STATE_FOLLOWED, FLOW_STATE_IGNORED,
    FLOW_STATE_NEW, FLOW_STATE_PENDING, FLOW_STATE_SUSPECTED, FLOW_STATE_WAITING, FlowReport,
    IgnoreReason, SocketCommand,
};

/// What is known of a socket.
#[derive(Clone, Debug)]
pub(super) struct Known<'a> {
    pub(super) is_listener: bool,
    pub(super) ports: (u16, u16),
    pub(super) mark: Option<u32>,
    /// The protocol above TCP in the kernel.
    pub(super) upper: Option<&'a str>,
    pub(super) place: Place,
    /// What the BPF programs have stored.
    pub(super) flow: Stored,
    /// What the agent has asked of its programs for this socket.
    pub(super) asked: Option<SocketCommand>,
    /// The TLS library of its process, where that is older than the agent.
    pub(super) older_tls: Option<&'a str>,
    pub(super) config: &'a CaptureConfig,
    /// Sockmaps of this machine.
    pub(super) sockmaps: &'a [String],
    /// The programs were attached a moment ago: every connection began before.
    pub(super) is_mid_stream: bool,
}

/// Where the socket's cgroup is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Place {
    /// Below the folder that is captured, or not known.
    Inside,
    /// Not below it.
    Outside,
    /// In the agent's table of cgroups that are out of scope.
    Excluded,
}

/// A socket's state.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Stored {
    There(FlowReport),
    /// The programs have met no payload of it that they may look at.
    Absent,
    /// Cannot be read, and why.
    Unreadable(String),
}

/// Whether a socket is captured.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Captured {
    Yes,
    No,
    /// Nothing has decided yet.
    Undecided,
    Unknown,
}

impl Captured {
    /// For scripts.
    pub(super) const fn word(self) -> &'static str {
        match self {
            Self::Yes => "yes",
            Self::No => "no",
            Self::Undecided => "undecided",
            Self::Unknown => "unknown",
        }
    }

    pub(super) const fn label(self) -> &'static str {
        match self {
            Self::Yes => "captured",
            Self::No => "not captured",
            Self::Undecided => "not captured so far",
            Self::Unknown => "not known",
        }
    }
}

/// What is said of a socket.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Verdict {
    pub(super) captured: Captured,
    /// For scripts.
    pub(super) reason: &'static str,
    pub(super) why: String,
}

impl Verdict {
    /// The same where an agent may run whose state cannot be read: what it captures is its own
    /// matter. Nobody reads Multipath TCP.
    pub(super) fn of_this_command(self) -> Self {
        if (self.captured, self.reason) == (Captured::No, "mptcp") {
            return self;
        }
        let (label, why) = (self.captured.label(), self.why);
        verdict(
            Captured::Unknown,
            "agent_unknown",
            format!("an agent's state cannot be read; by this command alone: {label}: {why}"),
        )
    }
}

fn verdict(captured: Captured, reason: &'static str, why: impl Into<String>) -> Verdict {
    Verdict {
        captured,
        reason,
        why: why.into(),
    }
}

/// Says why.
pub(super) fn explain(known: &Known<'_>) -> Verdict {
    // What it asked for is obeyed with the next packet, and the agent reads no more as of now.
    if let Some(reason) = known.asked.and_then(|asked| asked.ignored()) {
        return requested(reason);
    }
    match &known.flow {
        Stored::There(flow) => stored(known, flow),
        Stored::Absent => absent(known),
        Stored::Unreadable(error) => {
            let mut found = absent(known);
            if found.captured != Captured::No {
                found = verdict(
                    Captured::Unknown,
                    "unreadable",
                    format!("the agent's state of this socket cannot be read: {error}"),
                );
            }
            found
        }
    }
}

/// The programs have a state of it.
fn stored(known: &Known<'_>, flow: &FlowReport) -> Verdict {
    match flow.state {
        FLOW_STATE_FOLLOWED if known.is_mid_stream => verdict(
            Captured::Yes,
            "mid_stream",
            "HTTP was recognised; the connection began before this command, so header fields of \
             HTTP/2 that refer to earlier ones are unknown",
        ),
        FLOW_STATE_FOLLOWED if known.asked.is_some_and(|asked| asked.is_mid_stream()) => verdict(
            Captured::Yes,
            "mid_stream",
            "HTTP/2, joined after it began or after missing bytes: header fields that refer to \
             earlier ones are unknown (`partial: hpack`) until the peer sends them anew; a new \
             connection has them all: restart the client, or wait until it reconnects",
        ),
        FLOW_STATE_FOLLOWED => verdict(Captured::Yes, "followed", "HTTP was recognised"),
        FLOW_STATE_WAITING | FLOW_STATE_DORMANT if flow.is_guessed => verdict(
            Captured::Undecided,
            "guessed",
            "what looks like HTTP was met where no message begins: 64 KiB are copied until a \
             message begins where one may",
        ),
        FLOW_STATE_WAITING | FLOW_STATE_DORMANT if known.older_tls.is_some() => {
            older(known.older_tls.unwrap_or_default(), flow.state)
        }
        FLOW_STATE_WAITING => verdict(
            Captured::Undecided,
            "not_http_so_far",
            "not HTTP so far: no message began where one may; looked at again whenever the other \
             side speaks",
        ),
        FLOW_STATE_DORMANT => verdict(
            Captured::No,
            "dormant",
            "not HTTP: 16 changes of direction without a message; one packet in 1024 is looked at",
        ),
        FLOW_STATE_SUSPECTED => verdict(
            Captured::Undecided,
            "mptcp",
            "Multipath TCP by the options of what it received; what it sends decides",
        ),
        FLOW_STATE_PENDING => {
            let mut found = ignored(flow.reason);
            found.captured = Captured::Undecided;
            found
                .why
                .push_str("; TCP has not taken the bytes yet that show it");
            found
        }
        FLOW_STATE_IGNORED => ignored(flow.reason),
        FLOW_STATE_NEW => absent(known),
        other => verdict(
            Captured::Unknown,
            "unreadable",
            format!("state {other} is of another version of meshtap"),
        ),
    }
}

/// A session whose handshake was not seen is no more than bytes.
fn older(library: &str, state: u8) -> Verdict {
    let captured = match state {
        FLOW_STATE_WAITING => Captured::Undecided,
        _ => Captured::No,
    };
    verdict(
        captured,
        "maybe_older_tls",
        format!(
            "no message of HTTP so far; its process uses {library} and is older than the agent, \
             so this may be TLS whose handshake was not seen. A new connection is recognised: \
             restart the client, or wait until it reconnects. Its plaintext is read with \
             capture.tls.enabled or tap --tls auto"
        ),
    )
}

/// The agent asked its programs to leave the socket alone.
fn requested(reason: IgnoreReason) -> Verdict {
    let (captured, reason, why) = match reason {
        IgnoreReason::NotHttp => (
            Captured::No,
            "not_http",
            "not HTTP after all: it began like a message, and what followed is none. If its program \
             does speak HTTP here, restart its client: each new connection is looked at from its \
             first byte",
        ),
        IgnoreReason::Tls => return ignored(Some(Classification::Tls)),
        IgnoreReason::Lost => (
            Captured::No,
            "lost",
            "HTTP of which nothing more can be read: after missing or wrong bytes it was not found \
             again in 4 MiB. A new connection is read: restart the client, or wait until it \
             reconnects; a larger capture.ring misses less",
        ),
        IgnoreReason::Decrypted => (
            Captured::Yes,
            "decrypted",
            "TLS: its plaintext is read where its program decrypts it, so the socket itself is not",
        ),
        IgnoreReason::Duplicate => (
            Captured::No,
            "duplicate",
            "the client's end of a connection whose server is on this node too: its exchanges are \
             captured at the server's socket. To see the client's: capture.side or --side client",
        ),
        IgnoreReason::Own => return ignored(None),
    };
    verdict(captured, reason, why)
}

fn ignored(reason: Option<Classification>) -> Verdict {
    let (reason, why) = match reason {
        Some(Classification::Tls) => (
            "tls",
            "TLS: a handshake at the start of its stream. Its plaintext is read where the program \
             decrypts, by `meshtap tap`, or by `run` when capture.tls.enabled asks for it; `meshtap \
             check --set capture.tls.enabled=true` lists which programs can be read",
        ),
        Some(Classification::Other) => (
            "not_http",
            "not HTTP: the first bytes of both directions prove it",
        ),
        Some(Classification::Side) => (
            "side",
            "the end of the connection that is not asked for (capture.side, --side)",
        ),
        Some(Classification::Cgroup) => (
            "scope",
            "its cgroup is out of scope: scope.*, an annotation, or a proxy of the mesh",
        ),
        Some(Classification::Mptcp) => (
            "mptcp",
            "a subflow of Multipath TCP (RFC 8684): recognised and not read",
        ),
        Some(Classification::Requested) => (
            "requested",
            "the agent asked for it, and keeps the reason no longer: not HTTP after all, a \
             connection of its own, or the other end of one that is captured",
        ),
        Some(Classification::Followed) | None => (
            "own",
            "a connection of the agent's own: to a collector, or to its metrics",
        ),
    };
    verdict(Captured::No, reason, why)
}

/// The programs have no state of it: why they did not look.
fn absent(known: &Known<'_>) -> Verdict {
    let config = known.config;
    if known.upper == Some("mptcp") {
        return ignored(Some(Classification::Mptcp));
    }
    match known.place {
        Place::Outside => {
            return verdict(
                Captured::No,
                "outside",
                "its cgroup is not below the folder that is captured (capture.cgroup)",
            );
        }
        Place::Excluded => return ignored(Some(Classification::Cgroup)),
        Place::Inside => {}
    }
    if let Some(mark) = known.mark
        && config.mark_mask != 0
        && mark & config.mark_mask == config.ignored_mark
    {
        return verdict(
            Captured::No,
            "mark",
            format!("its SO_MARK {mark:#x} is the one to leave alone (capture.ignored_mark)"),
        );
    }
    let ports = config
        .ports
        .iter()
        .take(usize::try_from(config.port_count).unwrap_or(0));
    if config.port_count != 0
        && !ports
            .into_iter()
            .any(|port| *port == known.ports.0 || *port == known.ports.1)
    {
        return verdict(Captured::No, "port", "neither port is in capture.ports");
    }
    if known.is_listener {
        return verdict(
            Captured::Undecided,
            "listener",
            "it listens; each connection that it accepts is looked at by itself",
        );
    }
    let mut why = "no payload has passed since the agent attached".to_owned();
    if !known.sockmaps.is_empty() {
        let names = known.sockmaps.join(", ");
        why = format!(
            "{why}, or the socket is in a sockmap ({names}) and carries no packets: the kernel \
             does not say which"
        );
    }
    if known.upper == Some("tls") {
        why.push_str("; the kernel encrypts it (kTLS)");
    }
    verdict(Captured::Undecided, "no_payload", why)
}

#[cfg(test)]
mod tests {
    use meshtap_common::{COMMAND_FRAMES, COMMAND_IGNORE, COMMAND_MID_STREAM};

    use super::*;

    fn report(state: u8, reason: Option<Classification>) -> Stored {
        Stored::There(FlowReport {
            state,
            is_guessed: false,
            reason,
        })
    }

    fn known(config: &CaptureConfig, flow: Stored) -> Known<'_> {
        Known {
            is_listener: false,
            ports: (8080, 50_000),
            mark: None,
            upper: None,
            place: Place::Inside,
            flow,
            config,
            asked: None,
            older_tls: None,
            sockmaps: &[],
            is_mid_stream: false,
        }
    }

    #[track_caller]
    fn check(known: &Known<'_>, captured: Captured, reason: &str) -> String {
        let found = explain(known);
        assert_eq!(
            (found.captured, found.reason),
            (captured, reason),
            "{found:?}"
        );
        found.why
    }

    #[test]
    fn by_the_state() {
        let config = CaptureConfig::default();
        let check = |state, reason, captured, expected| {
            check(&known(&config, report(state, reason)), captured, expected)
        };
        check(FLOW_STATE_FOLLOWED, None, Captured::Yes, "followed");
        check(
            FLOW_STATE_WAITING,
            None,
            Captured::Undecided,
            "not_http_so_far",
        );
        check(FLOW_STATE_DORMANT, None, Captured::No, "dormant");
        check(FLOW_STATE_SUSPECTED, None, Captured::Undecided, "mptcp");
        check(FLOW_STATE_NEW, None, Captured::Undecided, "no_payload");
        check(99, None, Captured::Unknown, "unreadable");
        for (reason, expected) in [
            (Classification::Tls, "tls"),
            (Classification::Other, "not_http"),
            (Classification::Side, "side"),
            (Classification::Cgroup, "scope"),
            (Classification::Mptcp, "mptcp"),
            (Classification::Requested, "requested"),
        ] {
            check(FLOW_STATE_IGNORED, Some(reason), Captured::No, expected);
            check(
                FLOW_STATE_PENDING,
                Some(reason),
                Captured::Undecided,
                expected,
            );
        }
        check(FLOW_STATE_IGNORED, None, Captured::No, "own");
        let mid = Known {
            is_mid_stream: true,
            ..known(&config, report(FLOW_STATE_FOLLOWED, None))
        };
        super::tests::check(&mid, Captured::Yes, "mid_stream");
        let guessed = Stored::There(FlowReport {
            state: FLOW_STATE_WAITING,
            is_guessed: true,
            reason: None,
        });
        super::tests::check(&known(&config, guessed), Captured::Undecided, "guessed");
    }

    fn asked(flags: u32, reason: Option<IgnoreReason>) -> Option<SocketCommand> {
        Some(SocketCommand {
            flags,
            reason: reason.map_or(0, |reason| reason as u32),
            ..SocketCommand::default()
        })
    }

    #[test]
    fn by_what_the_agent_asked_for() {
        let config = CaptureConfig::default();
        let requested = || report(FLOW_STATE_IGNORED, Some(Classification::Requested));
        for (reason, captured, expected) in [
            (IgnoreReason::NotHttp, Captured::No, "not_http"),
            (IgnoreReason::Tls, Captured::No, "tls"),
            (IgnoreReason::Lost, Captured::No, "lost"),
            (IgnoreReason::Decrypted, Captured::Yes, "decrypted"),
            (IgnoreReason::Duplicate, Captured::No, "duplicate"),
            (IgnoreReason::Own, Captured::No, "own"),
        ] {
            let known = Known {
                asked: asked(COMMAND_IGNORE, Some(reason)),
                ..known(&config, requested())
            };
            check(&known, captured, expected);
            // What was asked before does not ignore it.
            let followed = Known {
                asked: asked(0, Some(reason)),
                ..super::tests::known(&config, report(FLOW_STATE_FOLLOWED, None))
            };
            check(&followed, Captured::Yes, "followed");
        }
        // The programs saw the handshake, and the agent reads what is in it.
        let decrypted = Known {
            asked: asked(COMMAND_IGNORE, Some(IgnoreReason::Decrypted)),
            ..known(
                &config,
                report(FLOW_STATE_IGNORED, Some(Classification::Tls)),
            )
        };
        check(&decrypted, Captured::Yes, "decrypted");
        let joined = Known {
            asked: asked(COMMAND_FRAMES | COMMAND_MID_STREAM, None),
            ..known(&config, report(FLOW_STATE_FOLLOWED, None))
        };
        assert!(check(&joined, Captured::Yes, "mid_stream").contains("hpack"));
        let from_start = Known {
            asked: asked(COMMAND_FRAMES, None),
            ..known(&config, report(FLOW_STATE_FOLLOWED, None))
        };
        check(&from_start, Captured::Yes, "followed");
    }

    #[test]
    fn what_may_be_tls_from_before() {
        let config = CaptureConfig::default();
        for (state, captured) in [
            (FLOW_STATE_WAITING, Captured::Undecided),
            (FLOW_STATE_DORMANT, Captured::No),
        ] {
            let known = Known {
                older_tls: Some("libssl.so.3"),
                ..known(&config, report(state, None))
            };
            let why = check(&known, captured, "maybe_older_tls");
            assert!(why.contains("libssl.so.3"), "{why}");
        }
        let followed = Known {
            older_tls: Some("libssl.so.3"),
            ..known(&config, report(FLOW_STATE_FOLLOWED, None))
        };
        check(&followed, Captured::Yes, "followed");
    }

    #[test]
    fn without_a_state() {
        let config = CaptureConfig {
            ignored_mark: 0x539,
            mark_mask: 0xfff,
            ..CaptureConfig::default()
        };
        fn absent(config: &CaptureConfig) -> Known<'_> {
            known(config, Stored::Absent)
        }
        check(&absent(&config), Captured::Undecided, "no_payload");
        let marked = Known {
            mark: Some(0x7539),
            ..absent(&config)
        };
        assert!(check(&marked, Captured::No, "mark").contains("0x7539"));
        let unmarked = Known {
            mark: Some(0x1),
            ..absent(&config)
        };
        check(&unmarked, Captured::Undecided, "no_payload");
        for (place, expected) in [(Place::Outside, "outside"), (Place::Excluded, "scope")] {
            let elsewhere = Known {
                place,
                ..absent(&config)
            };
            check(&elsewhere, Captured::No, expected);
        }
        let mptcp = Known {
            upper: Some("mptcp"),
            ..absent(&config)
        };
        check(&mptcp, Captured::No, "mptcp");
        let listener = Known {
            is_listener: true,
            ..absent(&config)
        };
        check(&listener, Captured::Undecided, "listener");
        let maps = ["cilium_sock".to_owned()];
        let joined = Known {
            sockmaps: &maps,
            ..absent(&config)
        };
        assert!(check(&joined, Captured::Undecided, "no_payload").contains("cilium_sock"));
        for (port, captured, expected) in [
            (80, Captured::No, "port"),
            (50_000, Captured::Undecided, "no_payload"),
        ] {
            let mut chosen = config;
            chosen.ports[0] = port;
            chosen.port_count = 1;
            check(&absent(&chosen), captured, expected);
        }
    }

    #[test]
    fn what_an_unread_agent_decides_is_not_known() {
        let config = CaptureConfig::default();
        let of = |flow| explain(&known(&config, flow)).of_this_command();
        for (state, reason) in [
            (FLOW_STATE_FOLLOWED, None),
            (FLOW_STATE_WAITING, None),
            (FLOW_STATE_IGNORED, Some(Classification::Tls)),
        ] {
            let found = of(report(state, reason));
            let expected = (Captured::Unknown, "agent_unknown");
            assert_eq!((found.captured, found.reason), expected, "{found:?}");
            assert!(found.why.contains("by this command alone"), "{found:?}");
        }
        let mptcp = of(report(FLOW_STATE_IGNORED, Some(Classification::Mptcp)));
        assert_eq!((mptcp.captured, mptcp.reason), (Captured::No, "mptcp"));
    }

    #[test]
    fn what_cannot_be_read_is_not_guessed() {
        let config = CaptureConfig::default();
        let unreadable = || Stored::Unreadable("EPERM".to_owned());
        let why = check(
            &known(&config, unreadable()),
            Captured::Unknown,
            "unreadable",
        );
        assert!(why.contains("EPERM"));
        // What needs no state is said all the same.
        let outside = Known {
            place: Place::Outside,
            ..known(&config, unreadable())
        };
        check(&outside, Captured::No, "outside");
    }
}
