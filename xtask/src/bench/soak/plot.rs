//! Memory over time as a picture (SVG 1.1).

use std::fmt::Write as _;

use super::Sample;

const WIDTH: f64 = 800.0;
const HEIGHT: f64 = 300.0;
/// For the numbers at the axes.
const MARGIN: f64 = 50.0;
const MIB: f64 = 1024.0 * 1024.0;

/// A line from left to right; the vertical axis begins at zero.
pub(super) fn svg(samples: &[Sample]) -> String {
    let last = samples.last().map_or(1.0, |sample| sample.0).max(1.0);
    let most = samples.iter().map(|sample| sample.1).fold(MIB, f64::max) * 1.1;
    let x = |seconds: f64| MARGIN + seconds / last * (WIDTH - 2.0 * MARGIN);
    let y = |bytes: f64| HEIGHT - MARGIN - bytes / most * (HEIGHT - 2.0 * MARGIN);
    let mut out = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {HEIGHT}\" font-family=\"sans-serif\" font-size=\"11\">\n<rect width=\"100%\" height=\"100%\" fill=\"white\"/>\n"
    );
    // Writing to memory does not fail.
    for part in 0..=4 {
        let bytes = most * f64::from(part) / 4.0;
        let _ = writeln!(
            out,
            "<path d=\"M{:.1} {:.1}H{:.1}\" stroke=\"#ddd\"/><text x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"end\">{:.0} MiB</text>",
            x(0.0),
            y(bytes),
            x(last),
            MARGIN - 4.0,
            y(bytes) + 4.0,
            bytes / MIB
        );
        let seconds = last * f64::from(part) / 4.0;
        let _ = writeln!(
            out,
            "<text x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"middle\">{:.1} min</text>",
            x(seconds),
            HEIGHT - MARGIN + 16.0,
            seconds / 60.0
        );
    }
    out.push_str("<polyline fill=\"none\" stroke=\"#06c\" stroke-width=\"1.5\" points=\"");
    for (seconds, bytes) in samples {
        let _ = write!(out, "{:.1},{:.1} ", x(*seconds), y(*bytes));
    }
    out.push_str("\"/>\n</svg>\n");
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_sample_is_a_point_within_the_picture() {
        let samples = [(0.0, 10.0 * MIB), (30.0, 20.0 * MIB), (60.0, 15.0 * MIB)];
        let text = svg(&samples);
        let points = text.split("points=\"").nth(1).unwrap();
        let points: Vec<&str> = points
            .split('"')
            .next()
            .unwrap()
            .split_whitespace()
            .collect();
        assert_eq!(points.len(), samples.len());
        for point in points {
            let (x, y) = point.split_once(',').unwrap();
            let (x, y): (f64, f64) = (x.parse().unwrap(), y.parse().unwrap());
            assert!((0.0..=WIDTH).contains(&x) && (0.0..=HEIGHT).contains(&y));
        }
        assert!(text.ends_with("</svg>\n"));
    }
}
