//! Digits that may be the number of a payment card.

/// Fewest bytes in a row of which each or the one before it is a digit, in the number of a payment
/// card: it has 13 digits at least, and never two other bytes between them.
const RUN: u32 = 13;

/// How a block of digits ended.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Ended {
    /// Bytes in a row, see [`RUN`].
    run: u32,
    /// The last byte is a digit.
    digit: bool,
}

/// Notes places in a block where [`RUN`] bytes with digits stand in a row, or the last of them: as
/// many that one is in every number there.
#[inline]
pub(super) fn digits(start: usize, digits: u64, before: &mut Ended, found: &mut Vec<usize>) {
    /// Of a run that two blocks share, one has so many.
    const MOST: u32 = RUN / 2 + 1;
    let near = digits | digits << 1 | u64::from(before.digit);
    // The places from which on two, four, seven in a row are set.
    let pairs = near & near >> 1;
    let fours = pairs & pairs >> 2;
    let longer = fours & fours >> (MOST - 4);
    if longer != 0 || before.run >= MOST {
        runs(start, near, before.run, found);
    }
    *before = Ended {
        run: near.leading_ones().min(RUN),
        digit: digits >> 63 == 1,
    };
}

/// See [`digits`]; `before`: how many bytes in a row the block before ends with.
#[inline(never)]
fn runs(start: usize, near: u64, before: u32, found: &mut Vec<usize>) {
    /// One byte less than the shortest number has.
    const STEP: usize = RUN as usize - 1;
    // The places from which on 13 in a row are set.
    let pairs = near & near >> 1;
    let fours = pairs & pairs >> 2;
    let mut runs = fours & fours >> 4 & fours >> 8 & near >> 12;
    if before + near.trailing_ones() >= RUN {
        // What the block before began.
        runs |= near & 1;
    }
    while runs != 0 {
        let at = runs.trailing_zeros();
        let end = at + (near >> at).trailing_ones();
        found.extend(
            (at as usize..end as usize)
                .step_by(STEP)
                .map(|at| start + at),
        );
        runs &= u64::MAX.checked_shl(end).unwrap_or(0);
    }
}
