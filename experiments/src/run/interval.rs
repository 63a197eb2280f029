//! How far a measured share may be from the true one.

/// The interval of a share by Wilson's score, without correction for continuity (Wilson 1927; Brown, Cai and
/// `DasGupta` 2001): `hits` of `all` at `confidence`. It never leaves 0 to 1, and is honest for few samples and shares near 0.
#[must_use]
pub(crate) fn wilson(hits: u64, all: u64, confidence: f64) -> Option<(f64, f64)> {
    (all > 0).then(|| of_share(hits as f64 / all as f64, all as f64, confidence))
}

/// The same of a share of `n` requests.
fn of_share(p: f64, n: f64, confidence: f64) -> (f64, f64) {
    let z = normal_quantile(0.5 + confidence / 2.0);
    let denominator = 1.0 + z * z / n;
    let centre = (p + z * z / (2.0 * n)) / denominator;
    let half = z / denominator * (p * (1.0 - p) / n + z * z / (4.0 * n * n)).sqrt();
    ((centre - half).max(0.0), (centre + half).min(1.0))
}

/// About how many requests would tell a share from `threshold` if it stayed as it was seen: rounded up to two digits. None where
/// a hundred million would not.
#[must_use]
pub(crate) fn needed(hits: u64, all: u64, threshold: f64, confidence: f64) -> Option<u64> {
    const MOST: u64 = 100_000_000;
    let share = hits as f64 / all.max(1) as f64;
    let is_told = |n: u64| {
        let (low, high) = of_share(share, n as f64, confidence);
        threshold < low || high < threshold
    };
    let (mut few, mut enough) = (0, all.max(1));
    while !is_told(enough) {
        few = enough;
        enough = enough.checked_mul(2).filter(|it| *it <= MOST)?;
    }
    while enough - few > 1 {
        let between = few + (enough - few) / 2;
        match is_told(between) {
            true => enough = between,
            false => few = between,
        }
    }
    let unit = 10_u64.pow(enough.ilog10().saturating_sub(1));
    Some(enough.div_ceil(unit) * unit)
}

/// The quantile of the standard normal distribution, by Acklam's rational approximation (relative error below 1.2e-9).
fn normal_quantile(p: f64) -> f64 {
    const A: [f64; 6] = [
        -3.969_683_028_665_376e1,
        2.209_460_984_245_205e2,
        -2.759_285_104_469_687e2,
        1.383_577_518_672_69e2,
        -3.066_479_806_614_716e1,
        2.506_628_277_459_239,
    ];
    const B: [f64; 5] = [
        -5.447_609_879_822_406e1,
        1.615_858_368_580_409e2,
        -1.556_989_798_598_866e2,
        6.680_131_188_771_972e1,
        -1.328_068_155_288_572e1,
    ];
    const C: [f64; 6] = [
        -7.784_894_002_430_293e-3,
        -3.223_964_580_411_365e-1,
        -2.400_758_277_161_838,
        -2.549_732_539_343_734,
        4.374_664_141_464_968,
        2.938_163_982_698_783,
    ];
    const D: [f64; 4] = [
        7.784_695_709_041_462e-3,
        3.224_671_290_700_398e-1,
        2.445_134_137_142_996,
        3.754_408_661_907_416,
    ];
    let polynomial =
        |coefficients: &[f64], x: f64| coefficients.iter().fold(0.0, |sum, c| sum * x + c);
    if p > 0.975_75 {
        let q = (-2.0 * (1.0 - p).ln()).sqrt();
        return -polynomial(&C, q) / (polynomial(&D, q) * q + 1.0);
    }
    let q = p - 0.5;
    let r = q * q;
    polynomial(&A, r) * q / (polynomial(&B, r) * r + 1.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_of_the_normal_distribution_are_those_of_tables() {
        for (p, z) in [
            (0.975, 1.959_964),
            (0.95, 1.644_854),
            (0.995, 2.575_829),
            (0.75, 0.674_490),
        ] {
            assert!((normal_quantile(p) - z).abs() < 1e-5, "{p}");
        }
    }

    #[test]
    fn the_interval_is_as_wide_as_the_literature_says() {
        // Brown, Cai, DasGupta: 10 % of 50.
        let (low, high) = wilson(5, 50, 0.95).unwrap();
        assert!(
            (low - 0.0435).abs() < 5e-4 && (high - 0.2136).abs() < 5e-4,
            "{low} {high}"
        );
        let (low, high) = wilson(0, 1_000, 0.95).unwrap();
        assert!(low == 0.0 && (high - 0.003_83).abs() < 1e-4, "{low} {high}");
        assert_eq!(wilson(0, 0, 0.95), None);
    }

    #[test]
    fn requests_that_prove_a_share_are_as_many_as_the_interval_says() {
        // None of 500 failed: 0 lies below 0.1 % from 3,838 on.
        assert_eq!(needed(0, 500, 0.001, 0.95), Some(3_900));
        let (_, high) = wilson(0, 3_838, 0.95).unwrap();
        assert!(high < 0.001, "{high}");
        // 2 % against 1 %: 7 of 350 do not tell them apart, 8 of 400 do.
        assert_eq!(needed(2, 100, 0.01, 0.95), Some(390));
        let at = |hits: u64, all: u64| wilson(hits, all, 0.95).unwrap().0;
        assert!(at(7, 350) < 0.01 && at(8, 400) > 0.01);
        // No number of requests tells a share from itself.
        assert_eq!(needed(1, 100, 0.01, 0.95), None);
    }
}
