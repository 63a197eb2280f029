//! Pages over time, drawn with blocks: one bar for each second.

/// The height in lines, without the seconds below.
const LINES: u64 = 6;
/// The parts of a block, by eighths of its height.
const EIGHTHS: [char; 9] = [' ', '▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];
/// The widest bars, in columns.
const BAR_MAX: usize = 4;
/// The widest drawing, in columns, without the numbers behind it.
const COLUMNS_MAX: usize = 60;

/// How many pages were served in each second, in at most `width` columns. There is at least one second.
///
/// Where there are more seconds than columns, neighbours share a bar, which shows their mean.
pub(super) fn draw(served: &[u64], width: usize) -> String {
    let max = served.iter().copied().max().unwrap_or(0).max(1);
    let room = width
        .saturating_sub(format!(" {max}").len())
        .clamp(1, COLUMNS_MAX);
    let shared = served.len().div_ceil(room).max(1);
    let bars: Vec<u64> = served
        .chunks(shared)
        .map(|seconds| seconds.iter().sum::<u64>() / seconds.len() as u64)
        .collect();
    // A gap between bars, where there is room for one.
    let step = (room / bars.len().max(1)).clamp(1, BAR_MAX);
    let thickness = if step > 1 { step - 1 } else { 1 };

    let mut lines = Vec::new();
    for line in (0..LINES).rev() {
        let mut text = String::new();
        for bar in &bars {
            // A second in which something was served is seen, however little it was.
            let eighths = (bar * LINES * 8).div_ceil(max);
            let here = usize::try_from(eighths.saturating_sub(line * 8))
                .unwrap_or(8)
                .min(8);
            text.extend(std::iter::repeat_n(EIGHTHS[here], thickness));
            text.extend(std::iter::repeat_n(' ', step - thickness));
        }
        let columns = bars.len() * step;
        let label = if line == LINES - 1 {
            format!(" {max}")
        } else {
            String::new()
        };
        lines.push(format!("{text:<columns$}{label}").trim_end().to_owned());
    }
    let columns = bars.len() * step;
    lines.push(format!("{} 0", "─".repeat(columns)));
    let end = format!("{} s", served.len());
    let gap = columns.saturating_sub(3);
    match gap.checked_sub(end.len()) {
        Some(blanks) if blanks > 0 => lines.push(format!("0 s{}{end}", " ".repeat(blanks))),
        _ => lines.push(format!("0 s to {end}")),
    }
    lines.join("\n")
}

#[cfg(test)]
mod tests {
    use proptest::{collection::vec, prelude::*};

    use super::*;

    #[test]
    fn each_second_has_a_bar() {
        insta::assert_snapshot!(draw(&[80, 80, 1, 0, 160, 150, 140, 130, 80, 40], 46));
    }

    #[test]
    fn three_steps_are_three_blocks_of_bars() {
        let steps = [[100_u64; 7], [10; 7], [60; 7]].concat();

        insta::assert_snapshot!(draw(&steps, 80));
    }

    #[test]
    fn more_seconds_than_columns_share_bars() {
        let drawing = draw(&(0..300).collect::<Vec<u64>>(), 60);

        assert!(drawing.ends_with("300 s"), "{drawing}");
        assert!(
            drawing.lines().all(|line| line.chars().count() <= 60),
            "{drawing}"
        );
    }

    #[test]
    fn a_chart_of_nothing_is_flat() {
        let drawing = draw(&[0, 0, 0], 40);

        let lines: Vec<&str> = drawing.lines().collect();
        assert_eq!(lines[0].trim(), "1");
        assert!(lines[1..6].iter().all(|line| line.is_empty()), "{drawing}");
    }

    proptest! {
        #[test]
        fn no_chart_is_wider_than_it_may_be(
            served in vec(0..2_000_000_u64, 1..400),
            width in 40..200_usize,
        ) {
            for line in draw(&served, width).lines() {
                prop_assert!(line.chars().count() <= width, "{line}");
            }
        }
    }
}
