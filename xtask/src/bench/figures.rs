//! Figures from samples: medians, percentiles, and how sure they are. Pure.

use std::fmt;

/// Resamples for one confidence interval.
const RESAMPLES: usize = 2000;

/// A figure and the interval that holds it in 95 of 100 repetitions.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Estimate {
    pub value: f64,
    pub low: f64,
    pub high: f64,
}

impl Estimate {
    /// What `figure` makes of all samples, with the bootstrap's interval. `figure` gets the samples' indices,
    /// so that what was measured together (one block of rounds) is drawn together.
    pub fn bootstrap(samples: usize, figure: impl Fn(&[usize]) -> f64) -> Option<Self> {
        if samples == 0 {
            return None;
        }
        let all: Vec<usize> = (0..samples).collect();
        // The same samples give the same interval.
        let mut random = fastrand::Rng::with_seed(0);
        let mut drawn = vec![0; samples];
        let mut figures: Vec<f64> = (0..RESAMPLES)
            .map(|_| {
                drawn.fill_with(|| random.usize(..samples));
                figure(&drawn)
            })
            .collect();
        figures.sort_by(f64::total_cmp);
        let (low, high) = (percentile_of_sorted(&figures, 2.5), percentile_of_sorted(&figures, 97.5));
        Some(Self { value: figure(&all), low, high })
    }

    /// The median of samples, with its interval.
    pub fn median(samples: &[f64]) -> Option<Self> {
        Self::bootstrap(samples.len(), |drawn| percentile(&at(samples, drawn), 50.0))
    }
}

impl fmt::Display for Estimate {
    /// `1.043 [1.031, 1.058]`; a precision counts digits behind the point.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let digits = formatter.precision().unwrap_or(2);
        let Self { value, low, high } = self;
        write!(formatter, "{value:.digits$} [{low:.digits$}, {high:.digits$}]")
    }
}

/// The samples with these indices.
pub fn at(samples: &[f64], indices: &[usize]) -> Vec<f64> {
    indices.iter().map(|&index| samples[index]).collect()
}

/// The median.
pub fn median(samples: &[f64]) -> f64 {
    percentile(samples, 50.0)
}

/// A percentile, between two samples in proportion. Of nothing: not a number.
pub fn percentile(samples: &[f64], percent: f64) -> f64 {
    let mut sorted = samples.to_vec();
    sorted.sort_by(f64::total_cmp);
    percentile_of_sorted(&sorted, percent)
}

fn percentile_of_sorted(sorted: &[f64], percent: f64) -> f64 {
    let Some(last) = sorted.len().checked_sub(1) else { return f64::NAN };
    let position = percent / 100.0 * last as f64;
    let below = position.floor() as usize;
    let above = (below + 1).min(last);
    sorted[below] + (sorted[above] - sorted[below]) * (position - below as f64)
}

#[cfg(test)]
mod tests {
    use super::{Estimate, median, percentile};

    #[test]
    fn percentiles_lie_between_samples_in_proportion() {
        assert_eq!(median(&[3.0, 1.0, 2.0]), 2.0);
        assert_eq!(median(&[4.0, 1.0, 2.0, 3.0]), 2.5);
        assert_eq!(percentile(&[10.0, 20.0], 10.0), 11.0);
        assert_eq!(percentile(&[7.0], 97.5), 7.0);
        assert!(median(&[]).is_nan());
    }

    #[test]
    fn an_interval_holds_its_figure_and_shrinks_with_more_samples() {
        let few: Vec<f64> = (0..8).map(|n| f64::from(n % 4)).collect();
        let many: Vec<f64> = (0..200).map(|n| f64::from(n % 4)).collect();
        let few = Estimate::median(&few).unwrap();
        let many = Estimate::median(&many).unwrap();
        assert!(few.low <= few.value && few.value <= few.high);
        assert!(many.high - many.low < few.high - few.low, "{few} {many}");
        assert_eq!(Estimate::median(&[]), None);
    }

    #[test]
    fn an_interval_of_equal_samples_is_a_point() {
        let estimate = Estimate::median(&[1.5; 10]).unwrap();
        assert_eq!(format!("{estimate:.1}"), "1.5 [1.5, 1.5]");
    }
}
