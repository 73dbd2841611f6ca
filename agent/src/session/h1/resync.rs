//! Finding the way back after a loss of track; see the rules in [`super`].

use super::super::Context;
use super::{H1, Requests, Responses};
use crate::exchange::Partial;
use crate::http::h1::{Class, Reader, classify};
use crate::transport::tcp::Piece;

impl H1 {
    /// More comes after the request at which the connection was picked up: it was none, or the client pipelines.
    pub(super) fn misjoined(&mut self, cx: &mut Context<'_>) {
        self.facts.joined = false;
        self.abandon(cx);
        self.requests = Requests::Seek;
        self.responses = Responses::Seek;
    }

    /// Answers were lost track of, requests were not. A client that waits for each answer has had the whole of the last one:
    /// the next begins where it says.
    pub(super) fn find_answer(&mut self, piece: &Piece<'_>, cx: &mut Context<'_>) {
        let [_, answers] = &self.turns;
        if self.facts.recognised && self.last_ack == piece.ack {
            // Nothing came between the last request and this one: it did not wait.
            self.facts.pipelined = true;
            self.facts.lost = true;
        } else if answers.may_be_turn(piece) && !self.facts.lost {
            self.abandon(cx);
            if self.open.is_empty() {
                self.responses = Responses::Reading(Reader::default());
            }
        }
    }

    /// A request begins here, as far as can be known after a loss of track.
    pub(super) fn is_request(&self, piece: &Piece<'_>) -> bool {
        if self.facts.lost || self.facts.pipelined || !piece.boundary {
            return false;
        }
        let [requests, answers] = &self.turns;
        let looks = classify(piece.bytes);
        if answers.is_turn(piece) {
            return matches!(looks, Class::Request | Class::Undecided);
        }
        let joins = requests.is_unseen() && answers.end().is_none_or(|end| end == piece.ack);
        joins && looks == Class::Request
    }

    /// Both directions are read anew from a turning point on.
    pub(super) fn restart(&mut self, piece: &Piece<'_>, cx: &mut Context<'_>) {
        self.abandon(cx);
        // One that only waited for the end of its request: that has come, somewhere.
        for open in &mut self.open {
            open.lacks(Partial::Gap);
            open.requested = true;
        }
        self.settle(piece.time, cx);
        self.requests = Requests::Reading(Reader::default());
        self.facts.owed = false;
        let [_, answers] = &self.turns;
        self.facts.joined = !answers.is_turn(piece);
        self.responses = match (&self.responses, answers.end()) {
            (Responses::Ended, _) => Responses::Ended,
            (_, None) => Responses::Await(Some(piece.ack)),
            (_, Some(_)) => Responses::Reading(Reader::default()),
        };
    }

    /// What has come of the requests is one whole request, and the sender of `answer` had received all of it.
    pub(super) fn asked_once(&self, answer: &Piece<'_>) -> bool {
        let [requests, _] = &self.turns;
        let whole = match &self.requests {
            Requests::Reading(reader) => reader.is_between(),
            Requests::Hold(held) => *held == 0,
            Requests::Seek | Requests::Tunnel | Requests::Ended => false,
        };
        whole && self.open.len() == 1 && requests.end() == Some(answer.ack)
    }
}
