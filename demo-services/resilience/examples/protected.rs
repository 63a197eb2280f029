//! A program of your own under a policy file: asks a URL a few times and says how each call went.
//!
//! ```sh
//! cargo run -p brownout-resilience --example protected -- policies/resilient.toml http://127.0.0.1:9000/healthz
//! ```

use std::{error::Error, path::Path};

use brownout_resilience::{Call, Client, ErrorKind, Outcome, Policy, Report, Setup};
use bytes::Bytes;
use http::{Request, StatusCode};
use http_body_util::Empty;
use hyper_util::{client::legacy::Client as Http, rt::TokioExecutor};

pub(crate) async fn ask(policy: &Path, url: &str) -> Result<Vec<Report>, Box<dyn Error>> {
    let web = Client::new("web", Policy::from_file(policy)?, Setup::seeded(1))?;
    let http = Http::builder(TokioExecutor::new()).build_http::<Empty<Bytes>>();
    let mut reports = Vec::new();
    for _ in 0..10 {
        let called = web.call(
            Call::method("GET").or_else(|_| StatusCode::NO_CONTENT),
            |answer| match answer {
                Ok(status) => Outcome::Status(status.as_u16()),
                Err(_) => Outcome::Error(ErrorKind::Connect),
            },
            |attempt| {
                let mut request = Request::get(url);
                if let Some((name, time_left)) = attempt.time_left_header() {
                    request = request.header(name, time_left);
                }
                let sent = request
                    .body(Empty::new())
                    .map(|request| http.request(request));
                async { Ok::<_, Box<dyn Error>>(sent?.await?.status()) }
            },
        );
        reports.push(called.await.report);
    }
    Ok(reports)
}

#[cfg(not(test))]
#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    let mut args = std::env::args().skip(1);
    let (Some(policy), Some(url)) = (args.next(), args.next()) else {
        return Err("usage: protected POLICY.toml http://HOST:PORT/PATH".into());
    };
    for report in ask(Path::new(&policy), &url).await? {
        let cause = report.cause.map(|cause| format!(" ({cause})"));
        let attempts = report.attempts;
        #[expect(clippy::print_stdout, reason = "what an example does")]
        {
            println!(
                "{}{}, {attempts} attempts",
                report.answer.as_str(),
                cause.unwrap_or_default()
            );
        }
    }
    Ok(())
}
