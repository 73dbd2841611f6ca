//! The user-space pipeline alone, from memory, on one core.

use anyhow::{Context, Result};

use crate::command;

/// A figure, once for each run.
pub(super) struct Figure {
    pub(super) what: String,
    pub(super) unit: &'static str,
    pub(super) values: Vec<f64>,
}

/// Runs the bench so many times.
pub(super) fn measure(rounds: usize) -> Result<Vec<Figure>> {
    measure_with(rounds, &[])
}

/// The same, with this in the bench's environment.
pub(super) fn measure_with(rounds: usize, environment: &[(&str, &str)]) -> Result<Vec<Figure>> {
    let mut figures: Vec<Figure> = Vec::new();
    for _ in 0..rounds {
        let output = command::output(
            command::cargo()
                .args(["bench", "--package", "meshtap", "--bench", "pipeline"])
                .envs(environment.iter().copied()),
        )?;
        for line in output
            .lines()
            .filter(|line| line.contains("exchanges/s per core"))
        {
            let [rate, own] = parse(line).with_context(|| format!("no figures: {line}"))?;
            for (what, unit, value) in [rate, own] {
                match figures.iter_mut().find(|figure| figure.what == what) {
                    Some(figure) => figure.values.push(value),
                    None => figures.push(Figure {
                        what,
                        unit,
                        values: vec![value],
                    }),
                }
            }
        }
    }
    Ok(figures)
}

type Value = (String, &'static str, f64);

/// The rate up to a step, and the nanoseconds that the step itself takes.
fn parse(line: &str) -> Option<[Value; 2]> {
    let (name, rest) = line.split_once(", to ")?;
    let (step, rest) = rest.split_once(' ')?;
    let (rate, rest) = rest.trim_start().split_once(' ')?;
    let own = rest.strip_suffix(" ns of it here")?.rsplit(' ').next()?;
    let name = name.split_whitespace().collect::<Vec<_>>().join(" ");
    Some([
        (
            format!("pipeline, {name}, to {step}"),
            "1/s per core",
            rate.parse().ok()?,
        ),
        (
            format!("pipeline, {name}, {step} alone"),
            "ns",
            own.parse().ok()?,
        ),
    ])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_bench_is_read() {
        let line = "h1  1024 B bodies, to policy     200000 exchanges/s per core,   5000 ns each,   3100 ns of it here";
        let [rate, own] = parse(line).unwrap();
        assert_eq!(rate.0, "pipeline, h1 1024 B bodies, to policy");
        assert_eq!((rate.2, own.2), (200_000.0, 3100.0));
        assert!(parse("something else").is_none());
    }
}
