//! Rows, measured: the cells of a row in turn, round after round, so that a busy host hits
//! all of them alike.

use std::io;

use crate::load::{Load, Sample, apply};
use crate::rows::{Cell, Figure, Ratio, Row};
use crate::sides::{Side, Started};
use crate::statistics::Spread;

/// How long and how often.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Settings {
    /// How often each cell is measured.
    pub rounds: usize,
    /// For how many seconds each time.
    pub seconds: u64,
}

/// What a row gave.
#[derive(Clone, Debug)]
pub struct Measured {
    /// The row.
    pub row: Row,
    /// What each cell gave in each round; nothing where it failed.
    pub samples: Vec<Vec<Option<Sample>>>,
    /// What each cell failed by, or why it wasn't measured.
    pub failures: Vec<Option<String>>,
}

/// Measures a row.
#[must_use]
pub fn measure(row: Row, settings: Settings) -> Measured {
    eprintln!("bench: {}: {}", row.id, row.title);
    let mut sides: Vec<(Side, io::Result<Started>)> = Vec::new();
    for cell in &row.cells {
        if !sides.iter().any(|(side, _)| *side == cell.side) {
            let started = match cell.side.missing() {
                Some(why) => Err(io::Error::other(why)),
                None => Started::start(cell.side),
            };
            sides.push((cell.side, started));
        }
    }
    let cells = row.cells.len();
    let mut measured = Measured { samples: vec![Vec::new(); cells], failures: vec![None; cells], row };
    let rates = rates(&measured.row, &mut sides, settings);
    for round in 0..settings.rounds {
        // Back and forth, so that none always follows the same other.
        let forth = (0..cells).collect::<Vec<_>>();
        let order: Vec<usize> = if round % 2 == 0 { forth } else { forth.into_iter().rev().collect() };
        for at in order {
            let cell = &measured.row.cells[at];
            let sample = match &rates[at] {
                Ok(rate) => side_of(&mut sides, cell).and_then(|side| {
                    side.check().and_then(|()| apply(&cell.load, side, settings.seconds, *rate))
                }),
                Err(why) => Err(io::Error::other(why.clone())),
            };
            let sample = match sample {
                Ok(sample) => {
                    eprintln!(
                        "bench:   round {}: {}: {:.0} {}/s",
                        round + 1,
                        cell.name,
                        sample.rate,
                        measured.row.unit
                    );
                    Some(sample)
                }
                Err(error) => {
                    if measured.failures[at].is_none() {
                        eprintln!("bench:   round {}: {}: {error}", round + 1, cell.name);
                    }
                    measured.failures[at] = Some(error.to_string());
                    None
                }
            };
            measured.samples[at].push(sample);
        }
    }
    measured
}

/// What each cell of a paced load is asked for per second: a share of what its side answers
/// when it is asked for as much as it can. Nothing for other loads.
fn rates(
    row: &Row,
    sides: &mut [(Side, io::Result<Started>)],
    settings: Settings,
) -> Vec<Result<f64, String>> {
    let mut highest: Vec<Result<f64, String>> = Vec::new();
    let mut wants_slowest = false;
    for cell in &row.cells {
        let Load::Paced { share, of_slowest, .. } = cell.load else {
            highest.push(Ok(0.0));
            continue;
        };
        wants_slowest |= of_slowest;
        let all_it_can = Load::Http { connections: 100, close: false };
        let rate = side_of(sides, cell).and_then(|side| apply(&all_it_can, side, settings.seconds, 0.0));
        highest.push(rate.map(|sample| sample.rate * share).map_err(|error| error.to_string()));
    }
    if wants_slowest {
        let slowest = highest.iter().flatten().copied().fold(f64::INFINITY, f64::min);
        highest.iter_mut().flatten().for_each(|rate| *rate = slowest);
    }
    highest
}

fn side_of<'a>(sides: &'a mut [(Side, io::Result<Started>)], cell: &Cell) -> io::Result<&'a mut Started> {
    match sides.iter_mut().find(|(side, _)| *side == cell.side) {
        Some((_, Ok(started))) => Ok(started),
        Some((_, Err(error))) => Err(io::Error::other(error.to_string())),
        None => Err(io::Error::other("not started")),
    }
}

impl Measured {
    /// A figure of a cell over the rounds.
    #[must_use]
    pub fn figure(&self, cell: usize, figure: Figure) -> Option<Spread> {
        Spread::of(
            &self.samples[cell].iter().flatten().filter_map(|sample| of(sample, figure)).collect::<Vec<_>>(),
        )
    }

    /// A ratio over the rounds, each of two samples of one round.
    #[must_use]
    pub fn ratio(&self, ratio: &Ratio) -> Option<Spread> {
        let Some(to) = ratio.to else { return self.figure(ratio.of, ratio.figure) };
        let rounds = self.samples[ratio.of].iter().zip(&self.samples[to]);
        let ratios: Vec<f64> = rounds
            .filter_map(|(above, below)| {
                let below = of(below.as_ref()?, ratio.figure).filter(|below| *below > 0.0)?;
                Some(of(above.as_ref()?, ratio.figure)? / below)
            })
            .collect();
        Spread::of(&ratios)
    }

    /// How many operations of a cell failed, in all rounds.
    #[must_use]
    pub fn errors(&self, cell: usize) -> u64 {
        self.samples[cell].iter().flatten().map(|sample| sample.errors).sum()
    }

    /// A latency of a cell over the rounds: 0 for the median, 1 for 99 %, 2 for 99.9 %.
    #[must_use]
    pub fn latency(&self, cell: usize, which: usize) -> Option<Spread> {
        let values = self.samples[cell].iter().flatten().filter_map(|sample| sample.latency_us[which]);
        Spread::of(&values.collect::<Vec<_>>())
    }
}

fn of(sample: &Sample, figure: Figure) -> Option<f64> {
    match figure {
        Figure::Rate => Some(sample.rate),
        Figure::Cpu => Some(sample.cpu_us),
        Figure::P99 => sample.latency_us[1],
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// A row of two cells in three rounds, of which the second cell failed in one.
    pub(crate) fn example() -> Measured {
        let mut row = crate::rows::all().remove(0);
        row.cells.truncate(2);
        row.ratios = vec![Ratio { of: 0, to: Some(1), figure: Figure::Rate, goal: row.ratios[0].goal }];
        let sample = |rate, cpu_us| {
            Some(Sample { rate, cpu_us, errors: 1, latency_us: [Some(10.0), Some(20.0), None] })
        };
        Measured {
            row,
            samples: vec![
                vec![sample(30_000.0, 10.0), sample(10.0, 12.0), sample(25_000.0, 11.0)],
                vec![sample(10_000.0, 20.0), None, sample(10_000.0, 22.0)],
            ],
            failures: vec![None, Some("it stood still".into())],
        }
    }

    #[test]
    fn ratios_are_of_samples_of_one_round() {
        let measured = example();
        let ratio = measured.ratio(&measured.row.ratios[0]).expect("two rounds");
        assert_eq!((ratio.median, ratio.least, ratio.most), (2.75, 2.5, 3.0));
        assert_eq!(measured.figure(1, Figure::Cpu).map(|cpu| cpu.median), Some(21.0));
        assert_eq!((measured.errors(0), measured.errors(1)), (3, 2));
        assert_eq!(measured.latency(0, 2), None);
    }
}
