//! Streams that end by themselves, or with the connection.

use super::super::cut;
use super::Streams;
use crate::flow::Nanos;
use crate::http::h2::stream::Peer;
use crate::ledger::Partial;
use crate::session::{Context, End};

impl Streams {
    /// Emits what is too old. The streams go on.
    pub(in crate::session::h2) fn expire(&mut self, now: Nanos, cx: &mut Context<'_>) {
        let age = cx.limits.exchange_age;
        let too_old: Vec<(u32, Nanos)> = (self.streams.iter())
            .filter_map(|(id, stream)| Some((*id, stream.oldest()?.saturating_add(age))))
            .filter(|(_, due)| *due <= now)
            .collect();
        for (id, due) in too_old {
            self.emit(id, Some(Partial::MaxAge), false, due, cx);
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
                match cx.one_sided && !responded {
                    true => Partial::OneSided,
                    false => cut(end, responded, stream.state.has_ended(Peer::Client)),
                }
            });
            self.finish(id, partial, now, cx);
        }
    }
}
