//! A service and a client of gRPC with tonic, told what to do by `calls.py`: one line of JSON for each call, one for its outcome.
//!
//! The methods of /test.Echo/ take and give bytes. Health checks are those of tonic-health.

mod client;
mod service;

use std::error::Error;

use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio_stream::wrappers::TcpListenerStream;
use tonic::transport::Server;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
    let port = listener.local_addr()?.port();
    let echo = service::Echo::default();
    let (checks, health) = tonic_health::server::health_reporter();
    let serving = Server::builder()
        .add_service(echo.clone())
        .add_service(health)
        .serve_with_incoming(TcpListenerStream::new(listener));
    tokio::spawn(serving);
    println!("{}", json!({ "port": port, "version": tonic_version() }));

    let mut client = client::Client::default();
    let mut lines = BufReader::new(tokio::io::stdin()).lines();
    while let Some(line) = lines.next_line().await? {
        let it: Value = serde_json::from_str(&line)?;
        let seen = match it["do"].as_str().unwrap_or_default() {
            "told_left" => json!({ "left": echo.left() }),
            "serving" => {
                let status = match it["serving"] == true {
                    true => tonic_health::ServingStatus::Serving,
                    false => tonic_health::ServingStatus::NotServing,
                };
                checks.set_service_status("", status).await;
                json!({})
            }
            _ => client.outcome(&it).await,
        };
        println!("{seen}");
    }
    Ok(())
}

/// The version in the lock.
fn tonic_version() -> &'static str {
    let lock = include_str!("../Cargo.lock");
    let of = lock.split("name = \"tonic\"\nversion = \"").nth(1);
    of.and_then(|rest| rest.split('"').next()).unwrap_or("?")
}
