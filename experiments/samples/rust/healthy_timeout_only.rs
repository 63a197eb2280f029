//! Healthy: one attempt inside one deadline, and a static fallback.

mod client;
mod json;
mod web;

use std::time::{Duration, Instant};

fn main() {
    web::serve(|| {
        let deadline = Instant::now() + Duration::from_millis(280);
        let body = client::get("/items", client::left(deadline), || client::left(deadline)).ok()?;
        json::items(&body).map(str::to_owned)
    });
}
