//! Numbers for an axis: 1, 2 and 5 times powers of ten.

/// Even steps from 0 to a value that is no lower than `high`: about `count` of them.
pub(super) fn even(high: f64, count: u32) -> Vec<f64> {
    let rough = high / f64::from(count);
    let power = 10_f64.powf(rough.log10().floor());
    let step = [1.0, 2.0, 5.0, 10.0].map(|it| it * power);
    let step = step.into_iter().find(|it| *it >= rough * 0.999);
    let step = step.unwrap_or(power * 10.0);
    let mut ticks = vec![0.0];
    while ticks.last().is_some_and(|last| *last < high) && ticks.len() < 20 {
        ticks.push(tidy(ticks.len() as f64 * step));
    }
    ticks
}

/// From a value that is no higher than `low` to one that is no lower than `high`: at most `count`, but always two.
pub(super) fn logarithmic(low: f64, high: f64, count: usize) -> Vec<f64> {
    let steps: [&[f64]; 3] = [&[1.0, 2.0, 5.0], &[1.0, 3.0], &[1.0]];
    let mut ticks = Vec::new();
    for factors in steps {
        ticks = around(low, high, factors);
        if ticks.len() <= count {
            return ticks;
        }
    }
    // Powers of ten are too many as well: each second, or third, and the last one.
    let each = ticks.len().div_ceil(count).max(1);
    let last = ticks.last().copied();
    let mut few: Vec<f64> = ticks.into_iter().step_by(each).collect();
    if few.last().copied() != last {
        few.extend(last);
    }
    few
}

/// Factors times powers of ten, from the last at or below `low` to the first at or above `high`.
fn around(low: f64, high: f64, factors: &[f64]) -> Vec<f64> {
    #[expect(
        clippy::cast_possible_truncation,
        reason = "a power of ten of a time in ms"
    )]
    let power = |value: f64| value.log10().floor() as i32;
    let all = (power(low)..=power(high) + 1)
        .flat_map(|power| factors.iter().map(move |it| tidy(it * 10_f64.powi(power))));
    let all: Vec<f64> = all.collect();
    let first = all.iter().rposition(|it| *it <= low).unwrap_or(0);
    let last = all.iter().position(|it| *it >= high);
    let last = last.unwrap_or(all.len() - 1);
    all[first..=last.max(first)].to_vec()
}

/// Without what adding and multiplying leave behind.
fn tidy(value: f64) -> f64 {
    let scale = 10_f64.powf(6.0 - value.abs().max(1e-12).log10().floor());
    (value * scale).round() / scale
}

#[cfg(test)]
mod tests {
    use super::{even, logarithmic};

    #[test]
    fn even_steps_reach_the_highest_value() {
        assert_eq!(even(690.0, 4), [0.0, 200.0, 400.0, 600.0, 800.0]);
        assert_eq!(even(23.0, 3), [0.0, 10.0, 20.0, 30.0]);
        assert_eq!(even(1.0, 3), [0.0, 0.5, 1.0]);
    }

    #[test]
    fn a_dip_to_0_2_ms_is_above_the_lowest_tick() {
        assert_eq!(logarithmic(0.2, 110.0, 5), [0.1, 1.0, 10.0, 100.0, 1_000.0]);
        assert_eq!(
            logarithmic(45.0, 444.0, 6),
            [20.0, 50.0, 100.0, 200.0, 500.0]
        );
        assert_eq!(logarithmic(50.0, 60.0, 6), [50.0, 100.0]);
    }
}
