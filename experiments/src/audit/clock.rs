//! The clock of the proxy's journal, as this process reads it.

use brownout_client::{Client, ClientError};
use brownout_wire::RequestQuery;
use tokio::time::Instant;

/// Turns moments of this process into µs of the proxy's clock.
#[derive(Debug, Clone, Copy)]
pub(super) struct Clock {
    /// A moment, and what the proxy's clock said then.
    moment: Instant,
    micros: u64,
}

impl Clock {
    /// How often the proxy is asked. The quickest answer is the most exact one.
    const LOOKS: usize = 9;

    /// Compares the clocks: exact to half of the quickest answer's time.
    pub(super) async fn of(client: &Client) -> Result<Self, ClientError> {
        let query = RequestQuery {
            open: Some(true),
            limit: Some(1),
            ..RequestQuery::default()
        };
        let mut best = None;
        for _ in 0..Self::LOOKS {
            let before = Instant::now();
            let micros = client.requests(&query).await?.now_us;
            let took = before.elapsed();
            let clock = Self {
                moment: before + took / 2,
                micros,
            };
            best = match best {
                Some((quickest, _)) if quickest <= took => best,
                _ => Some((took, clock)),
            };
        }
        Ok(best.expect("it was asked more than once").1)
    }

    pub(super) fn now(&self) -> u64 {
        self.at(Instant::now())
    }

    pub(super) fn at(&self, moment: Instant) -> u64 {
        let micros =
            |span: std::time::Duration| u64::try_from(span.as_micros()).unwrap_or(u64::MAX);
        match moment.checked_duration_since(self.moment) {
            Some(since) => self.micros.saturating_add(micros(since)),
            None => self.micros.saturating_sub(micros(self.moment - moment)),
        }
    }
}
