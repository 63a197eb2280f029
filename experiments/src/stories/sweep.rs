//! Where an experiment ceases to hold while one of its values is moved.

mod bisection;
mod chart;
mod place;
mod range;

pub use self::{
    bisection::{Bisection, Edge, Point},
    chart::chart,
    place::Place,
    range::{Range, Scale},
};
