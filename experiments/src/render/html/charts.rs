//! Plots as SVG, drawn by plotters; their colours come from the page's style, so that they follow light and dark.

mod ticks;

use plotters::{
    coord::{Shift, ranged1d::ValueFormatter, types::RangedCoordf64},
    prelude::*,
    style::text_anchor::{HPos, Pos, VPos},
};

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
/// The size of text, as the library has it: 13 pixels of a drawing.
const TEXT: u32 = 16;
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
        let most = steps
            .iter()
            .map(|it| it.ok + it.degraded + it.errors)
            .fold(1.0, f64::max);
        // Above the highest bar there is room for the names of faults.
        let ticks = ticks::even(most, 3);
        let top = ticks.last().copied().unwrap_or(most).max(most) * 1.2;
        let mut builder = ChartBuilder::on(area);
        let mut chart = framed(&mut builder)
            .build_cartesian_2d(0.0..length, 0.0..top)
            .ok()?;
        axis(&mut chart, size)?;
        let shaded = bands.iter().map(|it| shade(it, 0.0, top));
        chart.draw_series(shaded).ok()?;
        rules(area, &mut chart, length, &ticks, |rate| format!("{rate}/s"))?;
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
        edges(&mut chart, bands, 0.0, top)?;
        let labels = bands.iter().filter(|it| !it.label.is_empty()).map(|it| {
            let room = (it.to - it.from) / length * f64::from(size.width() - LEFT - RIGHT);
            let from = it.from + 6.0 * length / f64::from(size.width() - LEFT - RIGHT);
            Text::new(fitted(&it.label, room), (from, top * 0.985), style(TEXT))
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
    let is_logarithmic = high / low >= SPREAD_MIN;
    let ticks = match is_logarithmic {
        true => ticks::logarithmic(low, high, 5),
        false => ticks::even(high, 4),
    };
    // All values lie between two ticks.
    let low = ticks.first().copied().unwrap_or(low).min(low);
    let high = ticks.last().copied().unwrap_or(high).max(high);
    let drawn = both(170, described, |area, size| {
        let mut builder = ChartBuilder::on(area);
        let builder = framed(&mut builder);
        // Powers of ten are no help where there is none to cross.
        if !is_logarithmic {
            let chart = builder
                .build_cartesian_2d(0.0..length, 0.0..high * 1.05)
                .ok()?;
            stairs(area, chart, steps, bands, &ticks, (0.0, high * 1.05), size)
        } else {
            let chart = builder
                .build_cartesian_2d(0.0..length, (low * 0.9..high * 1.1).log_scale())
                .ok()?;
            let bounds = (low * 0.9, high * 1.1);
            stairs(area, chart, steps, bands, &ticks, bounds, size)
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
    area: &Area<'_>,
    mut chart: ChartContext<'a, SVGBackend<'a>, Cartesian2d<RangedCoordf64, Y>>,
    steps: &[Step],
    bands: &[Band],
    ticks: &[f64],
    (low, high): (f64, f64),
    size: Size,
) -> Option<()>
where
    Y: Ranged<ValueType = f64> + ValueFormatter<f64>,
{
    axis(&mut chart, size)?;
    let shaded = bands.iter().map(|it| shade(it, low, high));
    chart.draw_series(shaded).ok()?;
    let length = steps.last().map_or(1.0, |it| it.to);
    rules(area, &mut chart, length, ticks, shown_ms)?;
    let lines: [(Pick, RGBColor); 2] = [(|it| it.slow, SLOW), (|it| it.typical, TYPICAL)];
    for (pick, colour) in lines {
        for run in runs(steps, pick) {
            chart
                .draw_series(LineSeries::new(run, colour.stroke_width(2)))
                .ok()?;
        }
    }
    edges(&mut chart, bands, low, high)
}

/// The time axis, in seconds.
fn axis<'a, Y>(chart: &mut Chart<'a, Y>, size: Size) -> Option<()>
where
    Y: Ranged<ValueType = f64> + ValueFormatter<f64>,
{
    chart
        .configure_mesh()
        .disable_mesh()
        .x_labels(size.ticks())
        .y_label_formatter(&|_| String::new())
        .set_tick_mark_size(LabelAreaPosition::Left, 0)
        .axis_style(GRID)
        .label_style(style(TEXT))
        .x_label_formatter(&|second| seconds(*second))
        .draw()
        .ok()
}

/// A line across the chart for each tick, with its number at the left.
fn rules<'a, Y>(
    area: &Area<'_>,
    chart: &mut Chart<'a, Y>,
    length: f64,
    ticks: &[f64],
    shown: impl Fn(f64) -> String,
) -> Option<()>
where
    Y: Ranged<ValueType = f64>,
{
    let lines = ticks
        .iter()
        .map(|tick| PathElement::new([(0.0, *tick), (length, *tick)], GRID.stroke_width(1)));
    chart.draw_series(lines).ok()?;
    let right = Pos::new(HPos::Right, VPos::Center);
    for tick in ticks {
        let (x, y) = chart.backend_coord(&(0.0, *tick));
        let label = Text::new(shown(*tick), (x - 7, y), style(TEXT).pos(right));
        area.draw(&label).ok()?;
    }
    Some(())
}

/// When faults went on and off, above what is drawn there.
fn edges<'a, Y>(chart: &mut Chart<'a, Y>, bands: &[Band], low: f64, high: f64) -> Option<()>
where
    Y: Ranged<ValueType = f64> + ValueFormatter<f64>,
{
    let edges = bands.iter().flat_map(|it| [it.from, it.to]);
    let lines = edges.map(|at| PathElement::new([(at, low), (at, high)], BAND.stroke_width(2)));
    chart.draw_series(lines).ok()?;
    Some(())
}

/// A latency as an axis has it.
fn shown_ms(ms: f64) -> String {
    match ms {
        0.0 => "0".to_owned(),
        ms if ms < 1_000.0 => format!("{}ms", (ms * 100.0).round() / 100.0),
        ms => format!("{}s", (ms / 10.0).round() / 100.0),
    }
}

/// A chart over time.
type Chart<'a, Y> = ChartContext<'a, SVGBackend<'a>, Cartesian2d<RangedCoordf64, Y>>;

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
    let ticks = ticks::logarithmic(low, high, 6);
    let low = ticks.first().copied().unwrap_or(low).min(low) * 0.95;
    let high = ticks.last().copied().unwrap_or(high).max(high) * 1.05;
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
            .disable_mesh()
            .disable_x_axis()
            .y_label_formatter(&|_| String::new())
            .set_tick_mark_size(LabelAreaPosition::Left, 0)
            .axis_style(GRID)
            .label_style(style(TEXT))
            .draw()
            .ok()?;
        rules(area, &mut chart, LONGEST, &ticks, shown_ms)?;
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
                (0.5, "50%"),
                (0.9, "90"),
                (0.95, "95"),
                (0.99, "99"),
                (0.999, "99.9"),
                (1.0, "max"),
            ],
        };
        let height = chart.plotting_area().dim_in_pixel().1;
        let bottom = i32::try_from(height).ok()? + 6 + 4;
        for (share, text) in marks {
            let (x, _) = chart.backend_coord(&(place(*share), low));
            let centred = style(TEXT).pos(Pos::new(HPos::Center, VPos::Top));
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
    const PIXELS: f64 = 8.0;
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a count of letters below a few hundred"
    )]
    let letters = (room / PIXELS).max(0.0) as usize;
    if label.chars().count() <= letters {
        return label.to_owned();
    }
    if letters < 4 {
        return String::new();
    }
    let kept: String = label.chars().take(letters - 2).collect();
    format!("{kept}…")
}

/// `20 s`, `1:40`.
fn seconds(second: f64) -> String {
    if second < 120.0 {
        return format!("{} s", (second * 10.0).round() / 10.0);
    }
    format!("{}:{:02.0}", (second / 60.0).floor(), second % 60.0)
}
