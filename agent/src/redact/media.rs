//! What media types say, kept for those that come again.

use super::body::{has_wide_charset, is_token};

/// Media types that are kept: those of a few services.
const KEPT: usize = 4;

/// Longest that is kept.
const LONGEST: usize = 128;

/// What a media type says of a body.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Media {
    /// The body is one token: see [`is_token`].
    pub(super) is_token: bool,
    /// Its characters are wide: see [`has_wide_charset`].
    pub(super) has_wide_charset: bool,
}

impl Media {
    fn new(media_type: &[u8]) -> Self {
        Self {
            is_token: is_token(media_type),
            has_wide_charset: has_wide_charset(media_type),
        }
    }
}

/// The media types that came last.
#[derive(Clone, Debug, Default)]
pub(super) struct MediaTypes {
    kept: Vec<(Vec<u8>, Media)>,
    /// The place of the next one that is kept.
    next: usize,
}

impl MediaTypes {
    /// What this one says.
    pub(super) fn of(&mut self, media_type: &[u8]) -> Media {
        let known = self
            .kept
            .iter()
            .find(|(kept, _)| kept.as_slice() == media_type);
        if let Some((_, media)) = known {
            return *media;
        }
        let media = Media::new(media_type);
        if media_type.len() > LONGEST {
            return media;
        }
        let entry = (media_type.to_vec(), media);
        match self.kept.get_mut(self.next) {
            Some(place) => *place = entry,
            None => self.kept.push(entry),
        }
        self.next = (self.next + 1) % KEPT;
        media
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_whenever_it_comes() {
        let mut types = MediaTypes::default();
        let long = format!("application/{}+jwt", "x".repeat(LONGEST));
        for round in 0..20 {
            for (text, is_token, is_wide) in [
                ("application/json; charset=utf-8", false, false),
                ("text/plain; charset=UTF-16", false, true),
                ("application/jwt", true, false),
                ("", false, false),
                ("text/html", false, false),
                ("a/b+jwt; charset=utf-7", true, true),
                (&*long, true, false),
            ] {
                let media = types.of(text.as_bytes());
                let expected = Media {
                    is_token,
                    has_wide_charset: is_wide,
                };
                assert_eq!(media, expected, "{text} {round}");
                assert!(types.kept.len() <= KEPT);
            }
        }
    }
}
