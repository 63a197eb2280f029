//! Planted: per-read-timeout. `set_read_timeout` holds for each read alone.

mod client;
mod json;
mod web;

use std::time::Duration;

const TIMEOUT: Duration = Duration::from_millis(220);

fn main() {
    web::serve(|| {
        let body = client::get("/items", TIMEOUT, || TIMEOUT).ok()?;
        json::items(&body).map(str::to_owned)
    });
}
