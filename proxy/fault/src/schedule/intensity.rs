//! How strongly a fault acts at one moment.

/// How strongly a fault acts at one moment. Both factors are from 0 to 1; without a ramp both are 1.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Intensity {
    /// The factor of the fault's percent.
    pub(crate) percent: f64,
    /// The factor of its magnitude, such as the length of a delay.
    pub(crate) value: f64,
}

impl Intensity {
    pub(crate) const FULL: Self = Self {
        percent: 1.0,
        value: 1.0,
    };
}
