//! A sanitized exchange as a span, in the attribute schema of a profile.
