//! Streams that end by themselves, or with the connection.

use super::super::cut;
use super::Streams;
use crate::flow::Nanos;
use crate::http::h2::stream::Peer;
use crate::ledger::Partial;
use crate::session::Context;
use crate::session::h1::End;

impl Streams {
    /// Emits what is too old. The streams go on.
    pub(in crate::session::h2) fn expire(&mut self, now: Nanos, cx: &mut Context<'_>) {
        let oldest = now.checked_sub(cx.limits.exchange_age);
        let too_old = |started: Nanos| oldest.is_some_and(|oldest| started <= oldest);
        let ids: Vec<u32> = self
            .streams
            .iter()
            .filter(|(_, stream)| stream.oldest().is_some_and(too_old))
            .map(|(id, _)| *id)
            .collect();
        for id in ids {
            self.emit(id, Some(Partial::MaxAge), false, now, cx);
            self.change(id, cx, |stream, cx| {
                if let Some(inside) = &mut stream.inside {
                    inside.expire(now, cx);
                }
            });
        }
    }

    /// Nothing more comes.
    pub(in crate::session::h2) fn finish_all(
        &mut self,
        end: End,
        now: Nanos,
        cx: &mut Context<'_>,
    ) {
        let ids: Vec<u32> = self.streams.keys().copied().collect();
        for id in ids {
            let stream = self.streams.get(&id);
            let partial = stream.map(|stream| {
                let responded = stream.has_response();
                cut(end, responded, stream.state.has_ended(Peer::Client))
            });
            self.finish(id, partial, now, cx);
        }
    }
}
