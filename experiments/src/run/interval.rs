//! How far a measured share may be from the true one.

/// The interval of a share by Wilson's score, without correction for continuity (Wilson 1927; Brown, Cai and
/// `DasGupta` 2001): `hits` of `all` at `confidence`. It never leaves 0 to 1, and is honest for few samples and shares near 0.
#[must_use]
pub(crate) fn wilson(hits: u64, all: u64, confidence: f64) -> Option<(f64, f64)> {
    if all == 0 {
        return None;
    }
    let z = normal_quantile(0.5 + confidence / 2.0);
    let (n, p) = (all as f64, hits as f64 / all as f64);
    let denominator = 1.0 + z * z / n;
    let centre = (p + z * z / (2.0 * n)) / denominator;
    let half = z / denominator * (p * (1.0 - p) / n + z * z / (4.0 * n * n)).sqrt();
    Some(((centre - half).max(0.0), (centre + half).min(1.0)))
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
}
