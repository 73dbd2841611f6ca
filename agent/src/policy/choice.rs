//! A [`Select`], compiled.

use super::PolicyError;
use super::config::Select;
use crate::glob::Glob;

/// One of them matches.
pub(crate) fn any(globs: &[Glob], text: &[u8]) -> bool {
    globs.iter().any(|glob| glob.matches(text))
}

/// What to keep of something.
#[derive(Clone, Debug)]
pub(crate) struct Choice<T> {
    include: Option<T>,
    exclude: Option<T>,
}

impl<T> Choice<T> {
    /// Compiles both lists; an empty one is none.
    pub(crate) fn new(
        select: &Select,
        compile: impl Fn(&[String]) -> Result<T, PolicyError>,
    ) -> Result<Self, PolicyError> {
        let compile = |list: &Vec<String>| (!list.is_empty()).then(|| compile(list)).transpose();
        Ok(Self {
            include: compile(&select.include)?,
            exclude: compile(&select.exclude)?,
        })
    }

    /// There is no rule.
    pub(crate) const fn open(&self) -> bool {
        self.include.is_none() && self.exclude.is_none()
    }

    /// What `matches` says so of is kept.
    pub(crate) fn keeps(&self, matches: impl Fn(&T) -> bool) -> bool {
        self.decides(&matches, &matches)
    }

    /// The same, where `keeps` matches in another way than `hides`.
    pub(super) fn decides(
        &self,
        keeps: impl FnOnce(&T) -> bool,
        hides: impl FnOnce(&T) -> bool,
    ) -> bool {
        self.include.as_ref().is_none_or(keeps) && !self.exclude.as_ref().is_some_and(hides)
    }
}

impl Choice<Vec<Glob>> {
    /// Of text patterns, which are always good.
    pub(crate) fn globs(select: &Select) -> Self {
        let compile = |list: &Vec<String>| {
            (!list.is_empty()).then(|| list.iter().map(|pattern| Glob::new(pattern)).collect())
        };
        Self {
            include: compile(&select.include),
            exclude: compile(&select.exclude),
        }
    }
}
