//! Pages over time, drawn with dots.

use textplots::{AxisBuilder, Chart, LabelBuilder, LabelFormat, LineStyle, Plot, Shape};

/// A character is so many dots wide and high.
const DOTS_WIDE: usize = 2;
const DOTS_HIGH: u32 = 4;
/// The height in lines, without the seconds below.
const LINES: u32 = 6;
/// The widest drawing, in columns, without the numbers behind it.
const COLUMNS_MAX: usize = 60;

/// How many pages were served in each second, in at most `width` columns. There is at least one second.
pub(super) fn draw(served: &[u64], width: usize) -> String {
    let max = served.iter().copied().max().unwrap_or(0).max(1);
    let columns = width
        .saturating_sub(format!(" {max} ").len())
        .clamp(DOTS_WIDE * 8, COLUMNS_MAX);
    let dots = u32::try_from(columns * DOTS_WIDE).expect("at most 120");
    let end = served.len();

    // A step for each second; the last is drawn up to its end.
    let last = served.last().map(|it| (end as f32, *it as f32));
    let seconds = served
        .iter()
        .enumerate()
        .map(|(second, served)| (second as f32, *served as f32));
    let points: Vec<(f32, f32)> = seconds.chain(last).collect();

    let steps = Shape::Steps(&points);
    let (right, top) = (end as f32, max as f32);
    let mut chart = Chart::new_with_y_range(dots, LINES * DOTS_HIGH, 0.0, right, 0.0, top);
    let chart = chart
        .lineplot(&steps)
        .x_label_format(LabelFormat::Custom(Box::new(|second| {
            format!("{second:.0} s")
        })))
        .y_label_format(LabelFormat::Custom(Box::new(|pages| format!("{pages:.0}"))))
        .x_axis_style(LineStyle::Solid)
        .y_axis_style(LineStyle::Solid);
    chart.axis();
    chart.figures();
    let drawing = chart.to_string();
    let lines = drawing.lines().map(str::trim_end);
    lines.collect::<Vec<_>>().join("\n").trim_end().to_owned()
}

#[cfg(test)]
mod tests {
    use proptest::{collection::vec, prelude::*};

    use super::*;

    #[test]
    fn a_chart_shows_what_rose_and_fell() {
        let served = [80, 80, 1, 0, 160, 150, 140, 130, 80, 40];

        let expected = "\
⡇⠀⠀⠀⠀⠀⠀⠀⠀⠀⠀⠀⢸⠉⠉⠉⠙⠒⠒⠒⢲⣀⣀⣀⣀⠀⠀⠀⠀⠀⠀⠀⠀⠀⠀⠀⠀⠀⠀⠀⠀⠀ 160
⡇⠀⠀⠀⠀⠀⠀⠀⠀⠀⠀⠀⢸⠀⠀⠀⠀⠀⠀⠀⠀⠀⠀⠀⠈⠉⠉⠉⢹⠀⠀⠀⠀⠀⠀⠀⠀⠀⠀⠀⠀⠀
⡇⠀⠀⠀⠀⠀⠀⠀⠀⠀⠀⠀⢸⠀⠀⠀⠀⠀⠀⠀⠀⠀⠀⠀⠀⠀⠀⠀⢸⠀⠀⠀⠀⠀⠀⠀⠀⠀⠀⠀⠀⠀
⡏⠉⠉⠉⡇⠀⠀⠀⠀⠀⠀⠀⢸⠀⠀⠀⠀⠀⠀⠀⠀⠀⠀⠀⠀⠀⠀⠀⠈⠉⠉⠉⠉⡇⠀⠀⠀⠀⠀⠀⠀⠀
⡇⠀⠀⠀⡇⠀⠀⠀⠀⠀⠀⠀⢸⠀⠀⠀⠀⠀⠀⠀⠀⠀⠀⠀⠀⠀⠀⠀⠀⠀⠀⠀⠀⠧⠤⠤⠤⠤⠤⠤⠤⠄
⡇⠀⠀⠀⡇⠀⠀⠀⠀⠀⠀⠀⢸⠀⠀⠀⠀⠀⠀⠀⠀⠀⠀⠀⠀⠀⠀⠀⠀⠀⠀⠀⠀⠀⠀⠀⠀⠀⠀⠀⠀⠀
⠉⠉⠉⠉⠉⠉⠉⠉⠉⠉⠉⠉⠉⠉⠉⠉⠉⠉⠉⠉⠉⠉⠉⠉⠉⠉⠉⠉⠉⠉⠉⠉⠉⠉⠉⠉⠉⠉⠉⠉⠉⠁ 0
0 s                                  10 s";
        assert_eq!(draw(&served, 46), expected);
    }

    #[test]
    fn a_chart_of_nothing_is_flat() {
        let drawing = draw(&[0, 0, 0], 40);

        let lines: Vec<&str> = drawing.lines().collect();
        assert!(lines[0].ends_with(" 1"), "{drawing}");
        assert!(
            lines[6].starts_with("⠉⠉") && lines[6].ends_with(" 0"),
            "{drawing}"
        );
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
