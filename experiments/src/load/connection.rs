//! One connection of a load, opened again whenever it broke.

use std::{
    error::Error as _,
    future::{Future, poll_fn},
    io,
    net::SocketAddr,
    pin::{Pin, pin},
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use bytes::Bytes;
use http::{HeaderMap, Request, StatusCode};
use http_body_util::{BodyExt, Full};
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper_util::rt::TokioIo;
use tokio::{
    net::TcpStream,
    time::{Instant, sleep, timeout},
};

use super::{DEGRADED, Target};
use crate::sample::{ErrorKind, Outcome, Sample};

/// The pause after a connection broke; doubled each time it breaks again.
const PAUSE: Duration = Duration::from_millis(10);
/// How often it is doubled.
const DOUBLINGS_MAX: u32 = 5;

/// Sends one request after the other over one connection, opened when it is needed.
pub(crate) struct Connection {
    address: SocketAddr,
    /// `None` until the first request, and after it broke.
    link: Option<Link>,
}

/// What a whole answer said.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    /// The first bytes of its body, as many as were to be kept.
    pub(crate) body: Vec<u8>,
}

impl Connection {
    pub(crate) fn to(address: SocketAddr) -> Self {
        Self {
            address,
            link: None,
        }
    }

    /// Sends a request and waits for the whole answer, of whose body it keeps at most `keep` bytes.
    ///
    /// While it waits, the link is its own: dropping it closes the connection.
    pub(crate) async fn ask(
        &mut self,
        request: &Request<Full<Bytes>>,
        keep: usize,
    ) -> Result<Answer, ErrorKind> {
        if let Some(mut link) = self.link.take() {
            match link.ask(request.clone(), keep).await {
                Ok(answer) => return Ok(self.keep(link, answer)),
                Err(Failure::Broken(kind)) => return Err(kind),
                // It was closed while it was not used. Nobody saw the request, so it is sent again.
                Err(Failure::NotSent) => {}
            }
        }
        let mut link = Link::open(self.address).await?;
        match link.ask(request.clone(), keep).await {
            Ok(answer) => Ok(self.keep(link, answer)),
            Err(Failure::Broken(kind)) => Err(kind),
            Err(Failure::NotSent) => Err(ErrorKind::Incomplete),
        }
    }

    fn keep(&mut self, link: Link, answer: Answer) -> Answer {
        self.link = Some(link);
        answer
    }
}

/// A connection of a closed loop.
pub(super) struct Asker {
    target: Arc<Target>,
    connection: Connection,
    /// How often it broke since the last answer.
    broken: u32,
}

impl Asker {
    pub(super) fn of(target: Arc<Target>) -> Self {
        Self {
            connection: Connection::to(target.address),
            target,
            broken: 0,
        }
    }

    /// Sends a request and waits for the whole answer, or for the end of that hope.
    pub(super) async fn exchange(&mut self, began: Instant) -> Sample {
        if self.broken > 0 {
            sleep(pause(self.broken)).await;
        }
        let request = self.request();
        let sent = Instant::now();
        let asked = self.connection.ask(&request, 0);
        let answer = match self.target.timeout {
            Some(limit) => timeout(limit, asked)
                .await
                .unwrap_or(Err(ErrorKind::Timeout)),
            None => asked.await,
        };
        let ended = Instant::now();
        self.broken = match &answer {
            Ok(_) | Err(ErrorKind::Timeout) => 0,
            Err(_) => self.broken.saturating_add(1),
        };
        Sample {
            ended: ended - began,
            latency: ended - sent,
            degraded: (answer.as_ref()).is_ok_and(|it| it.headers.contains_key(DEGRADED)),
            outcome: match answer {
                Ok(answer) => Outcome::Answered(answer.status),
                Err(kind) => Outcome::Failed(kind),
            },
        }
    }

    fn request(&self) -> Request<Full<Bytes>> {
        let mut request = Request::new(Full::default());
        request.uri_mut().clone_from(&self.target.uri);
        request.headers_mut().clone_from(&self.target.headers);
        request
    }
}

/// An open connection. It moves on while an answer is waited for.
struct Link {
    sender: SendRequest<Full<Bytes>>,
    /// `None` once it is over.
    driver: Option<Driver>,
}

type Driver = Pin<Box<dyn Future<Output = hyper::Result<()>> + Send>>;

enum Failure {
    /// The connection was closed before anything was sent.
    NotSent,
    Broken(ErrorKind),
}

impl Link {
    async fn open(address: SocketAddr) -> Result<Self, ErrorKind> {
        let connect = async {
            let tcp = TcpStream::connect(address).await?;
            tcp.set_nodelay(true)?;
            io::Result::Ok(tcp)
        };
        let tcp = connect.await.map_err(|_| ErrorKind::Connect)?;
        let (sender, driver) = handshake(TokioIo::new(tcp))
            .await
            .map_err(|error| kind(&error))?;
        Ok(Self {
            sender,
            driver: Some(Box::pin(driver)),
        })
    }

    async fn ask(&mut self, request: Request<Full<Bytes>>, keep: usize) -> Result<Answer, Failure> {
        let Self { sender, driver } = self;
        let mut answer = pin!(async {
            sender.ready().await.map_err(|_| Failure::NotSent)?;
            let response = sender.try_send_request(request).await;
            let response = response.map_err(|mut failed| match failed.take_message() {
                Some(_) => Failure::NotSent,
                None => Failure::Broken(kind(&failed.into_error())),
            })?;
            let (head, mut body) = response.into_parts();
            let mut kept = Vec::new();
            while let Some(frame) = body.frame().await {
                let frame = frame.map_err(|error| Failure::Broken(kind(&error)))?;
                let Some(data) = frame.data_ref() else {
                    continue;
                };
                let room = keep - kept.len();
                kept.extend_from_slice(&data[..data.len().min(room)]);
            }
            Ok(Answer {
                status: head.status,
                headers: head.headers,
                body: kept,
            })
        });
        let mut why = None;
        let ended = poll_fn(|cx| {
            why = why.or(advance(driver, cx));
            answer.as_mut().poll(cx)
        });
        match (ended.await, why) {
            // What broke a connection while it wrote is known to the connection alone.
            (Err(Failure::Broken(ErrorKind::Other)), Some(kind)) => Err(Failure::Broken(kind)),
            (ended, _) => ended,
        }
    }
}

/// Lets a connection do what it can. Why it broke, if it just did.
fn advance(driver: &mut Option<Driver>, cx: &mut Context<'_>) -> Option<ErrorKind> {
    let Poll::Ready(ended) = driver.as_mut()?.as_mut().poll(cx) else {
        return None;
    };
    *driver = None;
    ended.err().map(|error| kind(&error))
}

/// In words of the load what hyper says.
fn kind(error: &hyper::Error) -> ErrorKind {
    if error.is_incomplete_message() {
        return ErrorKind::Incomplete;
    }
    let mut source = error.source();
    while let Some(cause) = source {
        if let Some(io) = cause.downcast_ref::<io::Error>() {
            return match io.kind() {
                io::ErrorKind::ConnectionReset
                | io::ErrorKind::ConnectionAborted
                | io::ErrorKind::BrokenPipe => ErrorKind::Reset,
                io::ErrorKind::UnexpectedEof => ErrorKind::Incomplete,
                _ => ErrorKind::Other,
            };
        }
        source = cause.source();
    }
    ErrorKind::Other
}

/// How long to wait before a connection that broke `broken` times is opened again.
pub(crate) fn pause(broken: u32) -> Duration {
    PAUSE * 2_u32.pow(broken.saturating_sub(1).min(DOUBLINGS_MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_pause_grows_to_a_bound() {
        let pauses = [1, 2, 3, 6, 7, u32::MAX].map(|broken| pause(broken).as_millis());

        assert_eq!(pauses, [10, 20, 40, 320, 320, 320]);
    }
}
