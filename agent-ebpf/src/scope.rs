//! Which sockets are of interest: marks, ports, sides.

use meshtap_common::{CaptureConfig, DIRECTION_INGRESS, SIDE_CLIENT, SIDE_SERVER};

use crate::read::Socket;

/// Which end of a request the socket is.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Role {
    /// Requests arrive at it.
    Server,
    /// Requests leave from it.
    Client,
}

/// Is the socket's mark the one to leave alone?
#[inline(always)]
pub(crate) fn is_marked(config: &CaptureConfig, socket: Socket) -> bool {
    config.mark_mask != 0 && socket.mark() & config.mark_mask == config.ignored_mark
}

/// Is either port selected? Unused entries are zero, which is nobody's port.
#[inline(always)]
pub(crate) fn is_selected(config: &CaptureConfig, local: u16, remote: u16) -> bool {
    if config.port_count == 0 {
        return true;
    }
    // All of them: the verifier of kernel 5.10 cannot follow a count.
    for &port in &config.ports {
        if port == local || port == remote {
            return true;
        }
    }
    false
}

/// Which end the socket is when a request goes in this direction.
pub(crate) const fn requests(direction: u8) -> Role {
    if direction == DIRECTION_INGRESS {
        Role::Server
    } else {
        Role::Client
    }
}

/// Which end the socket is when a response goes in this direction.
pub(crate) const fn responses(direction: u8) -> Role {
    if direction == DIRECTION_INGRESS {
        Role::Client
    } else {
        Role::Server
    }
}

/// Is a socket of this role to be recorded?
#[inline(always)]
pub(crate) const fn is_wanted(config: &CaptureConfig, role: Role) -> bool {
    match config.side {
        SIDE_SERVER => matches!(role, Role::Server),
        SIDE_CLIENT => matches!(role, Role::Client),
        _ => true,
    }
}
