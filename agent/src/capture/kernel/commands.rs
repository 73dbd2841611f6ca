//! What the agent asks of the BPF programs for single sockets.
//!
//! User space cannot write to a socket's storage by its cookie. So requests stand in a hash by
//! cookie, which a program asks only when a generation counter has moved since the flow last
//! asked. The hash is bounded. User space alone removes from it, and what goes first is harmless:
//! a request to ignore a socket costs time when it is forgotten, a resume offset would cost
//! bytes.

use std::collections::VecDeque;
use std::io;

use aya::maps::{Array, HashMap, MapData};
use hashbrown::HashMap as Table;
use meshtap_common::{
    COMMAND_FRAMES, COMMAND_IGNORE, COMMAND_MID_STREAM, COMMAND_UNLIMITED, IgnoreReason,
    MAX_COMMANDS, ResumeOffset, SocketCommand,
};

use super::super::Command;
use crate::flow::{Direction, SocketId};

/// The hash, and what is in it.
pub(super) struct Commands {
    requests: Requests,
    map: HashMap<MapData, u64, SocketCommand>,
    generation: Array<MapData, u32>,
    current: u32,
}

impl Commands {
    pub(super) fn new(
        map: HashMap<MapData, u64, SocketCommand>,
        generation: Array<MapData, u32>,
    ) -> Self {
        Self {
            requests: Requests::new(MAX_COMMANDS as usize),
            map,
            generation,
            current: 0,
        }
    }

    /// Does what the engine asks for.
    pub(super) fn obey(&mut self, command: &Command) -> io::Result<()> {
        match *command {
            Command::Ignore(socket, reason) => self.ignore(socket, reason),
            Command::Fold(socket) => self.ignore(socket, IgnoreReason::Duplicate),
            Command::ResumeOffset {
                socket,
                direction,
                seq,
            } => self.set_resume_offset(socket, direction, seq),
            Command::Unlimited(socket) => self.unlimited(socket),
            Command::Frames {
                socket,
                direction,
                next,
                usual,
                mid_stream,
            } => {
                let next = next.map(|seq| (seq, usual));
                self.frames(socket, direction, next, mid_stream)
            }
        }
    }

    /// Leaves a socket alone.
    pub(super) fn ignore(&mut self, socket: SocketId, reason: IgnoreReason) -> io::Result<()> {
        self.write(socket, |command| {
            command.flags |= COMMAND_IGNORE;
            command.reason = reason as u32;
        })
    }

    /// Copies every byte of a socket.
    fn unlimited(&mut self, socket: SocketId) -> io::Result<()> {
        self.write(socket, |command| command.flags |= COMMAND_UNLIMITED)
    }

    /// Follows the frames of a socket, one of which begins at `next`; with it, the length of usual
    /// DATA.
    fn frames(
        &mut self,
        socket: SocketId,
        direction: Direction,
        next: Option<(u32, u32)>,
        mid_stream: bool,
    ) -> io::Result<()> {
        self.write(socket, |command| {
            command.flags |= COMMAND_FRAMES;
            if mid_stream {
                command.flags |= COMMAND_MID_STREAM;
            }
            if let Some((seq, usual)) = next {
                set(command, direction, seq, usual);
            }
        })
    }

    /// Nothing of this direction before `seq` is needed; the capture window begins there.
    fn set_resume_offset(
        &mut self,
        socket: SocketId,
        direction: Direction,
        seq: u32,
    ) -> io::Result<()> {
        self.write(socket, |command| set(command, direction, seq, 0))
    }

    fn write(
        &mut self,
        socket: SocketId,
        change: impl FnOnce(&mut SocketCommand),
    ) -> io::Result<()> {
        let (command, gone) = self.requests.change(socket.0, change);
        if let Some(gone) = gone {
            // It is not there when the kernel refused it.
            let _absent = self.map.remove(&gone);
        }
        self.map
            .insert(socket.0, command, 0)
            .map_err(io::Error::other)
    }

    /// Lets the programs look. Once after a batch: each flow in use then asks once.
    pub(super) fn publish(&mut self) -> io::Result<()> {
        self.current = self.current.wrapping_add(1);
        self.generation
            .set(0, self.current, 0)
            .map_err(io::Error::other)
    }
}

fn set(command: &mut SocketCommand, direction: Direction, seq: u32, usual: u32) {
    let [ingress, egress] = &mut command.resume_offset;
    let resume_offset = match direction {
        Direction::Ingress => ingress,
        Direction::Egress => egress,
    };
    *resume_offset = ResumeOffset {
        // Zero means that nothing was asked.
        serial: resume_offset.serial.checked_add(1).unwrap_or(1),
        seq,
        usual,
    };
}

/// What was asked, by cookie, bounded. Pure.
struct Requests {
    limit: usize,
    by_cookie: Table<u64, SocketCommand, crate::hash::Keyed>,
    /// Cookies to ignore, oldest first. May name some that are gone.
    ignored: VecDeque<u64>,
    /// Other cookies, oldest first. May name some that are gone, or are to be ignored by now.
    followed: VecDeque<u64>,
}

impl Requests {
    fn new(limit: usize) -> Self {
        Self {
            limit: limit.max(1),
            by_cookie: Table::default(),
            ignored: VecDeque::new(),
            followed: VecDeque::new(),
        }
    }

    /// Changes what is asked of a socket. Says what that is now, and which other socket had to go.
    fn change(
        &mut self,
        cookie: u64,
        change: impl FnOnce(&mut SocketCommand),
    ) -> (SocketCommand, Option<u64>) {
        let before = self.by_cookie.get(&cookie).copied();
        let gone = match before {
            None if self.by_cookie.len() >= self.limit => self.evict(),
            _ => None,
        };
        let mut command = before.unwrap_or(SocketCommand {
            cookie,
            ..SocketCommand::default()
        });
        change(&mut command);
        self.by_cookie.insert(cookie, command);
        let was_ignored = before.as_ref().is_some_and(is_ignored);
        if is_ignored(&command) && !was_ignored {
            self.ignored.push_back(cookie);
        } else if before.is_none() {
            self.followed.push_back(cookie);
        }
        (command, gone)
    }

    fn evict(&mut self) -> Option<u64> {
        while let Some(cookie) = self.ignored.pop_front() {
            if self.by_cookie.remove(&cookie).is_some() {
                return Some(cookie);
            }
        }
        while let Some(cookie) = self.followed.pop_front() {
            if self.by_cookie.remove(&cookie).is_some() {
                return Some(cookie);
            }
        }
        None
    }
}

const fn is_ignored(command: &SocketCommand) -> bool {
    command.flags & COMMAND_IGNORE != 0
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Steps at a limit of three: `N` asks for more of socket N, `-N` to ignore it. Then what is
    /// there, ignored ones with a minus.
    fn check(steps: &str, expected: &[i64]) {
        let mut requests = Requests::new(3);
        for step in steps.split_whitespace() {
            let number: i64 = step.parse().unwrap();
            let (command, gone) = requests.change(number.unsigned_abs(), |command| {
                if number < 0 {
                    command.flags |= COMMAND_IGNORE;
                } else {
                    command.resume_offset[0].seq += 1;
                }
            });
            assert_eq!(command.cookie, number.unsigned_abs());
            assert!(gone.is_none_or(|gone| !requests.by_cookie.contains_key(&gone)));
            assert!(requests.ignored.len() + requests.followed.len() <= 6);
        }
        let mut found: Vec<i64> = requests
            .by_cookie
            .values()
            .map(|command| match is_ignored(command) {
                true => -command.cookie.cast_signed(),
                false => command.cookie.cast_signed(),
            })
            .collect();
        found.sort_unstable_by_key(|n| n.abs());
        assert_eq!(found, expected, "{steps}");
    }

    #[test]
    fn what_is_asked_adds_up() {
        check("1 1 -1 1", &[-1]);
    }

    #[test]
    fn a_flood_of_ignored_sockets_pushes_out_its_like() {
        check("1 -2 -3 -4 -5 -6", &[1, -5, -6]);
        check("1 2 -3 -4 -5", &[1, 2, -5]);
    }

    #[test]
    fn without_them_the_oldest_goes() {
        check("1 2 3 4", &[2, 3, 4]);
        check("1 2 3 -1 4", &[2, 3, 4]);
        check("1 2 3 -1 4 1 5", [1, 4, 5].map(i64::from).as_slice());
    }
}
