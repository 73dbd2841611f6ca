//! What the first bytes of a request may be, without a branch for each byte.
//!
//! Each class of bytes is a mask with a bit for each place. The first place that is not of a class
//! is the carry of an addition: the verifier follows two or three branches, not one for each byte.

use crate::read::{Head, LOOK};

/// Longest method that is taken for one in the middle of a stream (`UPDATEREDIRECTREF`, the longest
/// registered, has 17 letters).
const METHOD: u32 = 20;

/// `tchar` (RFC 9110 §5.6.2).
const TOKEN: u32 = 0;
/// CR, LF; and tabs, VT, FF, which are blank as well.
const LINE: u32 = 1;
/// Spaces, tabs, VT, FF.
const BLANK: u32 = 2;
/// What can be seen.
const GRAPHIC: u32 = 3;
/// What registered methods are made of: capital letters, `-`, `_`.
const CAPITAL: u32 = 4;
/// What a target begins with, in origin form and in asterisk form (RFC 9112 §3.2).
const TARGET: u32 = 5;
/// `h`, in either case; and `"`, which is no `tchar`.
const H: u32 = 6;
/// `t`, in either case.
const T: u32 = 7;

/// How many there are.
const CLASS_COUNT: usize = 8;

/// Of each byte: a byte for each class, one or zero.
static CLASSES: [u64; 256] = {
    let mut classes = [0; 256];
    let mut at = 0;
    while at < 128 {
        #[expect(clippy::cast_possible_truncation, reason = "less than 128")]
        let byte = at as u8;
        classes[at] = (is_token(byte) as u64) << (8 * TOKEN)
            | (matches!(byte, b'\r' | b'\n' | b'\t' | 0x0b | 0x0c) as u64) << (8 * LINE)
            | (matches!(byte, b' ' | b'\t' | 0x0b | 0x0c) as u64) << (8 * BLANK)
            | (byte.is_ascii_graphic() as u64) << (8 * GRAPHIC)
            | (matches!(byte, b'A'..=b'Z' | b'-' | b'_') as u64) << (8 * CAPITAL)
            | (matches!(byte, b'/' | b'*') as u64) << (8 * TARGET)
            | (matches!(byte, b'h' | b'H' | b'"') as u64) << (8 * H)
            | (matches!(byte, b't' | b'T') as u64) << (8 * T);
        at += 1;
    }
    classes
};

const fn is_token(byte: u8) -> bool {
    byte.is_ascii_alphanumeric()
        || matches!(
            byte,
            b'!' | b'#'
                | b'$'
                | b'%'
                | b'&'
                | b'\''
                | b'*'
                | b'+'
                | b'-'
                | b'.'
                | b'^'
                | b'_'
                | b'`'
                | b'|'
                | b'~'
        )
}

/// The classes of a head's bytes.
pub(crate) struct Shape {
    /// Of each class: a bit for each place.
    masks: [u64; CLASS_COUNT],
    /// The places that there are.
    valid: u64,
}

impl Shape {
    #[inline(always)]
    pub(crate) fn of(head: &Head) -> Self {
        // Of eight bytes each: a byte for each class, with a bit for each place.
        let mut groups = [0_u64; LOOK / 8];
        for (group, word) in groups.iter_mut().zip(head.words()) {
            for (at, byte) in word.to_ne_bytes().into_iter().enumerate() {
                *group |= CLASSES[usize::from(byte)] << at;
            }
        }
        let mut masks = [0; CLASS_COUNT];
        for (class, mask) in masks.iter_mut().enumerate() {
            for (at, group) in groups.into_iter().enumerate() {
                *mask |= (group >> (8 * class) & 0xff) << (8 * at);
            }
        }
        // The verifier follows this once for each thing that it knows of the bytes, so it comes
        // before any other look at them.
        Self {
            masks: masks.map(here),
            valid: (1 << head.len) - 1,
        }
    }

    /// The places of a class.
    #[inline(always)]
    fn mask(&self, class: u32) -> u64 {
        self.masks[class as usize]
    }

    /// A method in capital letters and the beginning of a target: what nothing else begins with.
    #[inline(always)]
    pub(crate) fn is_request(&self, head: &Head) -> bool {
        let letters = self.mask(CAPITAL);
        let stop = first_outside(letters);
        let space = self.mask(BLANK) & !self.mask(LINE);
        // At the first place there is no method.
        if stop & space & !1 == 0 || stop > 1 << METHOD {
            return false;
        }
        // Origin form, asterisk form, absolute form, or authority form after CONNECT (RFC 9112
        // §3.2).
        let target = stop << 1;
        let is_target = target & self.mask(TARGET);
        let is_absolute = target & self.mask(H) & self.mask(TOKEN) & self.mask(T) >> 1;
        if is_target | is_absolute != 0 {
            return true;
        }
        target & self.valid != 0 && head.words()[0] == u64::from_ne_bytes(*b"CONNECT ")
    }

    /// Token characters alone, and not too many for a method.
    #[inline(always)]
    pub(crate) fn is_start(&self) -> bool {
        self.valid >> METHOD == 0 && !self.mask(TOKEN) & self.valid == 0
    }

    /// Empty lines, then token characters, then a space or a tab; or cut short before that.
    /// `tolerant`: with what servers take besides.
    #[inline(always)]
    pub(crate) fn may_become_request(&self, tolerant: bool) -> bool {
        let blank = self.mask(BLANK);
        let line = self.mask(LINE);
        let token = self.mask(TOKEN);
        let (before, first, inside) = if tolerant {
            (line | blank, token | self.mask(H), self.mask(GRAPHIC))
        } else {
            (line & !blank, token, token)
        };
        let start = first_outside(before);
        if start & self.valid == 0 {
            return true;
        }
        if tolerant {
            // Servers take any bytes for a method, if a target follows.
            let word = !(blank | line);
            let space = word.wrapping_add(start) & blank & self.valid;
            if space << 1 & (self.mask(TARGET) | self.mask(H)) != 0 {
                return true;
            }
        }
        if start & first == 0 {
            return false;
        }
        // Nothing before the start is inside a method.
        let stop = inside.wrapping_add(start) & !inside;
        stop & self.valid == 0 || stop & blank != 0
    }
}

/// The first place that is not in the mask.
#[inline(always)]
const fn first_outside(mask: u64) -> u64 {
    mask.wrapping_add(1) & !mask
}

/// The same value, computed here: the compiler does not move what it is made of behind a branch
/// that comes later.
#[inline(always)]
fn here(value: u64) -> u64 {
    #[cfg(target_arch = "bpf")]
    let value = {
        let mut value = value;
        // SAFETY: copies the register onto itself. Not `pure`, so that it stays where it is.
        unsafe {
            core::arch::asm!("{0} = {0}", inout(reg) value, options(nomem, nostack, preserves_flags));
        }
        value
    };
    value
}
