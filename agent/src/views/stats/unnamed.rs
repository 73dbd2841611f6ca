//! Ends of which it is not known yet which services they are: the first calls of a service end
//! before its own first exchange does, and the process of a short-lived socket may not be found.
//! Their exchanges are in cells of their own until the name is known or others need the place.

use std::collections::VecDeque;

use crate::views::services::Service;
use crate::views::shown::End;

/// Ends that are waited for. A service is known after its first exchange; what never is one, as
/// each `curl` of a loop, leaves after so many others.
const MOST: usize = 64;

/// An end, and the texts of its cells' keys.
#[derive(Debug)]
pub(super) struct Waiting {
    pub(super) end: End,
    pub(super) service: Service,
    pub(super) cells: Vec<Box<str>>,
}

/// All of them.
#[derive(Debug, Default)]
pub(super) struct Unnamed(VecDeque<Waiting>);

impl Unnamed {
    /// An end has a new cell; the end whose place it takes.
    pub(super) fn add(&mut self, end: End, service: &Service, cell: &str) -> Option<Waiting> {
        let found = (self.0.iter_mut().rev()).find(|waiting| waiting.service.is(service));
        if let Some(waiting) = found {
            waiting.cells.push(cell.into());
            return None;
        }
        self.0.push_back(Waiting {
            end,
            service: service.clone(),
            cells: vec![cell.into()],
        });
        (self.0.len() > MOST).then(|| self.0.pop_front()).flatten()
    }

    /// Takes those out whose names are known by now.
    pub(super) fn named(&mut self) -> VecDeque<Waiting> {
        let all = std::mem::take(&mut self.0);
        let (named, left) = (all.into_iter()).partition(|waiting| waiting.service.name().is_some());
        self.0 = left;
        named
    }

    /// Takes all out.
    pub(super) fn all(&mut self) -> VecDeque<Waiting> {
        std::mem::take(&mut self.0)
    }
}
