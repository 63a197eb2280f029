//! Plots as SVG, drawn by plotters; their colours come from the page's style, so that they follow light and dark.

use plotters::{
    coord::{Shift, ranged1d::ValueFormatter, types::RangedCoordf64},
    prelude::*,
};

use crate::expectation::Unit;

/// Each is replaced by a colour of the page's style.
const INK: RGBColor = RGBColor(1, 1, 1);
const GRID: RGBColor = RGBColor(2, 2, 2);
const GOOD: RGBColor = RGBColor(3, 3, 3);
const DEGRADED: RGBColor = RGBColor(4, 4, 4);
const BAD: RGBColor = RGBColor(5, 5, 5);
const BAND: RGBColor = RGBColor(6, 6, 6);
const TYPICAL: RGBColor = RGBColor(7, 7, 7);
const SLOW: RGBColor = RGBColor(8, 8, 8);
const CURVES: [RGBColor; 6] = [
    RGBColor(10, 10, 10),
    RGBColor(11, 11, 11),
    RGBColor(12, 12, 12),
    RGBColor(13, 13, 13),
    RGBColor(14, 14, 14),
    RGBColor(15, 15, 15),
];
const NAMES: [(&str, &str); 14] = [
    ("#010101", "ink"),
    ("#020202", "grid"),
    ("#030303", "ok"),
    ("#040404", "degraded"),
    ("#050505", "error"),
    ("#060606", "band"),
    ("#070707", "typical"),
    ("#080808", "slow"),
    ("#0A0A0A", "c0"),
    ("#0B0B0B", "c1"),
    ("#0C0C0C", "c2"),
    ("#0D0D0D", "c3"),
    ("#0E0E0E", "c4"),
    ("#0F0F0F", "c5"),
];
/// Room for the numbers at the left.
const LEFT: u32 = 58;
/// Room at the right, so that the last number is not cut.
const RIGHT: u32 = 14;

/// How wide a drawing is: for screens and paper, or for phones.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Size {
    Wide,
    Narrow,
}

impl Size {
    fn width(self) -> u32 {
        match self {
            Self::Wide => 960,
            Self::Narrow => 380,
        }
    }

    fn class(self) -> &'static str {
        match self {
            Self::Wide => "wide",
            Self::Narrow => "narrow",
        }
    }

    /// How many numbers stand below.
    fn ticks(self) -> usize {
        match self {
            Self::Wide => 12,
            Self::Narrow => 5,
        }
    }
}

/// A time with faults.
#[derive(Debug, Clone)]
pub(super) struct Band {
    /// In seconds.
    pub(super) from: f64,
    pub(super) to: f64,
    pub(super) label: String,
}

/// What a hop did in one step of the time axis.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Step {
    /// In seconds.
    pub(super) from: f64,
    pub(super) to: f64,
    /// Good answers a second.
    pub(super) ok: f64,
    pub(super) degraded: f64,
    pub(super) errors: f64,
    /// The median, or the mean of a route; in ms.
    pub(super) typical: Option<f64>,
    pub(super) slow: Option<f64>,
}

/// Requests of one hop over time, in both sizes.
pub(super) fn rate(steps: &[Step], bands: &[Band], length: f64, described: &str) -> String {
    both(190, described, |area, size| {
        let top = steps
            .iter()
            .map(|it| it.ok + it.degraded + it.errors)
            .fold(1.0, f64::max)
            * 1.22;
        let mut builder = ChartBuilder::on(area);
        let mut chart = framed(&mut builder)
            .build_cartesian_2d(0.0..length, 0.0..top)
            .ok()?;
        chart
            .configure_mesh()
            .disable_x_mesh()
            .x_labels(size.ticks())
            .y_labels(4)
            .bold_line_style(GRID)
            .light_line_style(TRANSPARENT)
            .axis_style(GRID)
            .label_style(style(12))
            .x_label_formatter(&|second| seconds(*second))
            .y_label_formatter(&|rate| format!("{rate:.0}/s"))
            .draw()
            .ok()?;
        let shaded = bands.iter().map(|it| shade(it, 0.0, top));
        chart.draw_series(shaded).ok()?;
        let mut bars = Vec::new();
        for it in steps {
            let mut base = 0.0;
            for (height, colour) in [(it.ok, GOOD), (it.degraded, DEGRADED), (it.errors, BAD)] {
                if height > 0.0 {
                    let corners = [(it.from, base), (it.to, base + height)];
                    bars.push(Rectangle::new(corners, colour.filled()));
                    base += height;
                }
            }
        }
        chart.draw_series(bars).ok()?;
        let labels = bands.iter().filter(|it| !it.label.is_empty()).map(|it| {
            let room = (it.to - it.from) / length * f64::from(size.width() - LEFT - RIGHT);
            Text::new(fitted(&it.label, room), (it.from, top * 0.985), style(12))
        });
        chart.draw_series(labels).ok()?;
        Some(())
    })
}

/// Latency of one hop over time, in both sizes; and what is to be said of its scale.
pub(super) fn latency(
    steps: &[Step],
    bands: &[Band],
    length: f64,
    described: &str,
) -> (String, &'static str) {
    let all = || {
        steps
            .iter()
            .flat_map(|it| [it.typical, it.slow])
            .flatten()
            .filter(|it| *it > 0.0)
    };
    let low = all().fold(f64::INFINITY, f64::min);
    let high = all().fold(0.0, f64::max);
    if high <= 0.0 {
        return (String::new(), "");
    }
    let (low, high) = ((low * 0.7).max(0.01), high * 1.3);
    let is_logarithmic = high / low >= SPREAD_MIN;
    let drawn = both(170, described, |area, size| {
        let mut builder = ChartBuilder::on(area);
        let builder = framed(&mut builder);
        // Powers of ten are no help where there is none to cross.
        if !is_logarithmic {
            let chart = builder.build_cartesian_2d(0.0..length, 0.0..high).ok()?;
            stairs(chart, steps, bands, (0.0, high), size)
        } else {
            let chart = builder
                .build_cartesian_2d(0.0..length, (low..high).log_scale())
                .ok()?;
            stairs(chart, steps, bands, (low, high), size)
        }
    });
    let scale = match is_logarithmic {
        true => ", on a logarithmic scale",
        false => "",
    };
    (drawn, scale)
}

/// Where the highest value is more than so many times the lowest, the scale is logarithmic.
const SPREAD_MIN: f64 = 60.0;

/// Room for numbers, as every chart over time has it.
fn framed<'a, 'b, 's, DB: DrawingBackend>(
    builder: &'s mut ChartBuilder<'a, 'b, DB>,
) -> &'s mut ChartBuilder<'a, 'b, DB> {
    builder
        .margin_right(RIGHT)
        .margin_top(6)
        .set_label_area_size(LabelAreaPosition::Left, LEFT)
        .set_label_area_size(LabelAreaPosition::Bottom, 24)
}

/// Draws both latencies of each step.
fn stairs<'a, Y>(
    mut chart: ChartContext<'a, SVGBackend<'a>, Cartesian2d<RangedCoordf64, Y>>,
    steps: &[Step],
    bands: &[Band],
    (low, high): (f64, f64),
    size: Size,
) -> Option<()>
where
    Y: Ranged<ValueType = f64> + ValueFormatter<f64>,
{
    chart
        .configure_mesh()
        .disable_x_mesh()
        .x_labels(size.ticks())
        .y_labels(4)
        .bold_line_style(GRID)
        .light_line_style(TRANSPARENT)
        .axis_style(GRID)
        .label_style(style(12))
        .x_label_formatter(&|second| seconds(*second))
        .y_label_formatter(&|ms| Unit::Time.show(ms / 1_000.0))
        .draw()
        .ok()?;
    let shaded = bands.iter().map(|it| shade(it, low, high));
    chart.draw_series(shaded).ok()?;
    let lines: [(Pick, RGBColor); 2] = [(|it| it.slow, SLOW), (|it| it.typical, TYPICAL)];
    for (pick, colour) in lines {
        for run in runs(steps, pick) {
            chart
                .draw_series(LineSeries::new(run, colour.stroke_width(2)))
                .ok()?;
        }
    }
    Some(())
}

/// One latency of a step.
type Pick = fn(&Step) -> Option<f64>;

/// The time of a fault.
fn shade(band: &Band, low: f64, high: f64) -> Rectangle<(f64, f64)> {
    Rectangle::new([(band.from, low), (band.to, high)], BAND.mix(0.18).filled())
}

/// The latency of one phase by share.
#[derive(Debug, Clone, Copy)]
pub(super) struct Curve<'c> {
    pub(super) name: &'c str,
    /// Whether it is without a fault.
    pub(super) is_calm: bool,
    /// Shares with their ms.
    pub(super) points: &'c [(f64, f64)],
}

/// Latency by percentile, one line for each phase; each nine of the percentile is as wide as the one before.
pub(super) fn percentiles(curves: &[Curve<'_>], described: &str) -> String {
    /// What stands for the longest, which has no share of its own.
    const LONGEST: f64 = 3.6;
    let place = |share: f64| match share {
        share if share >= 1.0 => LONGEST,
        share => -(1.0 - share).log10(),
    };
    let curves: Vec<Curve<'_>> = curves.iter().take(CURVES.len()).copied().collect();
    let all = || {
        curves
            .iter()
            .flat_map(|it| it.points)
            .map(|(_, ms)| *ms)
            .filter(|it| *it > 0.0)
    };
    let (low, high) = (
        all().fold(f64::INFINITY, f64::min),
        all().fold(0.0, f64::max),
    );
    if high <= 0.0 {
        return String::new();
    }
    let (low, high) = ((low * 0.7).max(0.01), high * 1.6);
    let drawn = both(260, described, |area, size| {
        let mut chart = ChartBuilder::on(area)
            .margin_right(RIGHT + 16)
            .margin_top(6)
            .set_label_area_size(LabelAreaPosition::Left, LEFT)
            .set_label_area_size(LabelAreaPosition::Bottom, 24)
            .build_cartesian_2d(0.0..LONGEST, (low..high).log_scale())
            .ok()?;
        chart
            .configure_mesh()
            .disable_x_mesh()
            .disable_x_axis()
            .y_labels(5)
            .bold_line_style(GRID)
            .light_line_style(TRANSPARENT)
            .axis_style(GRID)
            .label_style(style(12))
            .y_label_formatter(&|ms| Unit::Time.show(ms / 1_000.0))
            .draw()
            .ok()?;
        for (index, curve) in curves.iter().enumerate() {
            let points = curve
                .points
                .iter()
                .map(|(share, ms)| (place(*share), ms.max(low)));
            let width = if curve.is_calm { 2 } else { 3 };
            chart
                .draw_series(LineSeries::new(points, CURVES[index].stroke_width(width)))
                .ok()?;
        }
        let marks: &[(f64, &str)] = match size {
            Size::Wide => &[
                (0.5, "50 %"),
                (0.9, "90 %"),
                (0.95, "95 %"),
                (0.99, "99 %"),
                (0.999, "99.9 %"),
                (1.0, "longest"),
            ],
            Size::Narrow => &[
                (0.5, "50 %"),
                (0.9, "90 %"),
                (0.99, "99 %"),
                (1.0, "longest"),
            ],
        };
        let height = chart.plotting_area().dim_in_pixel().1;
        let bottom = i32::try_from(height).ok()? + 6 + 6;
        for (share, text) in marks {
            let (x, _) = chart.backend_coord(&(place(*share), low));
            let centred = style(12).pos(plotters::style::text_anchor::Pos::new(
                plotters::style::text_anchor::HPos::Center,
                plotters::style::text_anchor::VPos::Top,
            ));
            area.draw(&Text::new((*text).to_owned(), (x, bottom), centred))
                .ok()?;
        }
        Some(())
    });
    let keys = curves.iter().enumerate().map(|(index, curve)| {
        format!(
            "<li><span class=\"key c{index}\"></span>{}</li>",
            super::escape(curve.name)
        )
    });
    format!(
        "{drawn}<ul class=\"legend\">{}</ul>",
        keys.collect::<String>()
    )
}

/// Points of steps that follow each other, as stairs.
fn runs(steps: &[Step], pick: Pick) -> Vec<Vec<(f64, f64)>> {
    let mut runs: Vec<Vec<(f64, f64)>> = vec![Vec::new()];
    for step in steps {
        match pick(step).filter(|it| *it > 0.0) {
            Some(value) => {
                let run = runs.last_mut().expect("there is one from the start");
                run.extend([(step.from, value), (step.to, value)]);
            }
            None => runs.push(Vec::new()),
        }
    }
    runs.retain(|run| !run.is_empty());
    runs
}

type Area<'a> = DrawingArea<SVGBackend<'a>, Shift>;

/// Draws for screens and for phones; one of them is shown, and told to screen readers once.
fn both(height: u32, described: &str, draw: impl Fn(&Area<'_>, Size) -> Option<()>) -> String {
    let mut drawings = String::new();
    for size in [Size::Wide, Size::Narrow] {
        let mut svg = String::new();
        let drawn = {
            let area =
                SVGBackend::with_string(&mut svg, (size.width(), height)).into_drawing_area();
            let drawn = draw(&area, size);
            drawn.and_then(|()| area.present().ok())
        };
        if drawn.is_some() {
            drawings.push_str(&themed(&svg, size, described));
        }
    }
    drawings
}

/// A drawing in the page's colours, as wide as the page lets it be.
fn themed(svg: &str, size: Size, described: &str) -> String {
    let Some(at) = svg.find("viewBox") else {
        return String::new();
    };
    let mut themed = format!(
        "<svg class=\"{}\" role=\"img\" aria-label=\"{}\" {}",
        size.class(),
        super::escape(described),
        &svg[at..]
    );
    for (colour, name) in NAMES {
        themed = themed.replace(&format!("\"{colour}\""), &format!("\"var(--{name})\""));
    }
    // Lines of one element a piece are easier on version control than on readers.
    themed
        .replace("font-family=\"sans-serif\" ", "")
        .replace(" opacity=\"1\"", "")
        .replace(" stroke=\"none\"", "")
        .replace(">\n", ">")
        .replace("\n</text>", "</text>")
}

fn style(size: u32) -> TextStyle<'static> {
    TextStyle::from(("sans-serif", size).into_font()).color(&INK)
}

/// A label, cut to so many pixels.
fn fitted(label: &str, room: f64) -> String {
    const PIXELS: f64 = 6.6;
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a count of letters below a few hundred"
    )]
    let letters = (room / PIXELS).max(0.0) as usize;
    if label.chars().count() <= letters {
        return format!(" {label}");
    }
    if letters < 4 {
        return String::new();
    }
    let kept: String = label.chars().take(letters - 2).collect();
    format!(" {kept}…")
}

/// `20 s`, `1:40`.
fn seconds(second: f64) -> String {
    if second < 120.0 {
        return format!("{} s", (second * 10.0).round() / 10.0);
    }
    format!("{}:{:02.0}", (second / 60.0).floor(), second % 60.0)
}
