//! What faults ask of a client's connection. Its streams say it, its task carries it out.

use std::{
    cell::{Cell, RefCell},
    fmt,
    pin::Pin,
    rc::Rc,
    task::{Context, Poll},
    time::Duration,
};

use brownout_fault::{ErrorCode, Fired, GoAway, Http2Settings, LastStream};
use bytes::Bytes;
use h2::server::Connection;
use tokio::io::{AsyncRead, AsyncWrite};

use super::{
    STREAMS_MAX,
    frames::{Frames, Kind, frame},
    io::Turns,
    window::Windows,
};
use crate::timer::Timer;

/// The table that compresses fields, as RFC 9113 §6.5.2 has it where nothing is said.
const HEADER_TABLE: u32 = 4_096;

/// See the module.
#[derive(Debug)]
pub(super) struct Control {
    pub(super) frames: Rc<Frames>,
    pub(super) windows: Rc<Windows>,
    turns: Rc<Turns>,
    /// Of a head, as clients are told.
    header_list_size: u32,
    /// Streams above it are refused: a GOAWAY was sent.
    last_stream: Cell<Option<u32>>,
    /// The connection is closed when it ends.
    grace: RefCell<Option<Wait>>,
    /// What is done to it until its faults are removed: each fault once.
    held: RefCell<Vec<Held>>,
    /// The client is to be told other settings.
    has_settings: Cell<bool>,
    is_reset: Cell<bool>,
}

type Wait = Waiting<Pin<Box<dyn Future<Output = ()>>>>;

/// A wait, which can be shown.
struct Waiting<F>(F);

impl<F> fmt::Debug for Waiting<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Waiting")
    }
}

#[derive(Debug)]
struct Held {
    id: String,
    revision: u64,
    what: What,
    until: Wait,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum What {
    Settings(Http2Settings),
    IgnorePings,
}

/// Why a connection ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum End {
    Reset,
    /// The grace of a GOAWAY is over.
    Closed,
}

/// Ends when `fault` is removed, or `hold` is over.
pub(super) fn until(
    fault: &Fired,
    hold: Option<Duration>,
    timer: &Timer,
) -> Pin<Box<dyn Future<Output = ()>>> {
    let released = fault.released();
    match hold {
        None => Box::pin(released.wait()),
        Some(hold) => {
            let over = timer.sleep(hold);
            Box::pin(async move {
                tokio::select! {
                    () = released.wait() => {}
                    () = over => {}
                }
            })
        }
    }
}

impl Control {
    pub(super) fn new(turns: &Rc<Turns>, header_list_size: u32) -> Self {
        Self {
            frames: Rc::default(),
            windows: Windows::new(turns),
            turns: Rc::clone(turns),
            header_list_size,
            last_stream: Cell::new(None),
            grace: RefCell::default(),
            held: RefCell::default(),
            has_settings: Cell::new(false),
            is_reset: Cell::new(false),
        }
    }

    /// Sends a GOAWAY on behalf of the request on `stream`. `false` if one was sent before.
    pub(super) fn go_away(&self, goaway: GoAway, stream: u32, timer: &Timer) -> bool {
        if self.last_stream.get().is_some() {
            return false;
        }
        let GoAway {
            code: ErrorCode(code),
            last_stream,
            grace,
        } = goaway;
        let last = match last_stream {
            LastStream::Current => stream,
            LastStream::Before => stream.saturating_sub(2),
            LastStream::Number(number) => number,
        };
        self.last_stream.set(Some(last));
        let payload = [last.to_be_bytes(), code.to_be_bytes()].concat();
        self.frames.send(&frame(Kind::GoAway, 0, &payload));
        if let Some(grace) = grace {
            let over: Pin<Box<dyn Future<Output = ()>>> = Box::pin(timer.sleep(grace));
            self.grace.replace(Some(Waiting(over)));
        }
        self.turns.wake();
        true
    }

    /// Whether the client was told that further streams are refused.
    pub(super) fn is_going_away(&self) -> bool {
        self.last_stream.get().is_some()
    }

    /// Whether a stream is above the last one.
    pub(super) fn refuses(&self, stream: u32) -> bool {
        self.last_stream.get().is_some_and(|last| stream > last)
    }

    /// Tells the client other settings until `until` ends. `false` if the fault has done so before.
    pub(super) fn change_settings(
        &self,
        settings: Http2Settings,
        by: &Fired,
        timer: &Timer,
    ) -> bool {
        let is_new = self.hold(What::Settings(settings), by, None, timer);
        if is_new {
            self.has_settings.set(true);
        }
        is_new
    }

    /// Leaves PINGs without an answer. `false` if the fault does so already.
    pub(super) fn ignore_pings(&self, hold: Option<Duration>, by: &Fired, timer: &Timer) -> bool {
        let is_new = self.hold(What::IgnorePings, by, hold, timer);
        self.frames.drop_pongs(true);
        is_new
    }

    fn hold(&self, what: What, by: &Fired, hold: Option<Duration>, timer: &Timer) -> bool {
        let mut held = self.held.borrow_mut();
        let is_known = |it: &Held| it.id == by.id() && it.revision == by.revision();
        if held.iter().any(is_known) {
            return false;
        }
        held.push(Held {
            id: by.id().to_owned(),
            revision: by.revision(),
            what,
            until: Waiting(until(by, hold, timer)),
        });
        self.turns.wake();
        true
    }

    /// Sends a frame that no connection may have.
    pub(super) fn send_bad_frame(&self) {
        self.frames.send(&frame(Kind::Data, 0, b"brownout"));
        self.turns.wake();
    }

    /// The connection ends now. Its socket is prepared for a reset.
    pub(super) fn reset(&self) {
        self.is_reset.set(true);
        self.turns.wake();
    }

    /// Carries out what was asked for. Ready when the connection is to end.
    pub(super) fn poll<T: AsyncRead + AsyncWrite + Unpin>(
        &self,
        connection: &mut Connection<T, Bytes>,
        cx: &mut Context<'_>,
    ) -> Poll<End> {
        if self.is_reset.get() {
            return Poll::Ready(End::Reset);
        }
        self.poll_held(cx);
        if self.has_settings.get() {
            self.tell_settings(connection);
        } else if let Some(window) = self.windows.news()
            && !self.has_own_window()
            && connection.set_initial_window_size(window).is_ok()
        {
            self.windows.tell(window);
        }
        match &mut *self.grace.borrow_mut() {
            None => Poll::Pending,
            Some(Waiting(grace)) => grace.as_mut().poll(cx).map(|()| End::Closed),
        }
    }

    /// Whether a fault has chosen the window.
    fn has_own_window(&self) -> bool {
        let held = self.held.borrow();
        held.iter().any(|it| match it.what {
            What::Settings(settings) => settings.initial_window_size.is_some(),
            What::IgnorePings => false,
        })
    }

    fn poll_held(&self, cx: &mut Context<'_>) {
        let mut held = self.held.borrow_mut();
        if held.is_empty() {
            return;
        }
        held.retain_mut(|it| {
            let is_over = it.until.0.as_mut().poll(cx).is_ready();
            if is_over && matches!(it.what, What::Settings(_)) {
                self.has_settings.set(true);
            }
            !is_over
        });
        let ignores = held.iter().any(|it| it.what == What::IgnorePings);
        self.frames.drop_pongs(ignores);
    }

    /// Tells the settings, unless the client has not confirmed those before: then it is tried again with what comes from it.
    /// `h2` has to know of the windows, so the frame is its own; the other values are added to it.
    fn tell_settings<T: AsyncRead + AsyncWrite + Unpin>(
        &self,
        connection: &mut Connection<T, Bytes>,
    ) {
        let mut all = Http2Settings::default();
        for held in self.held.borrow().iter() {
            if let What::Settings(settings) = held.what {
                let Http2Settings {
                    max_concurrent_streams,
                    initial_window_size,
                    header_table_size,
                    max_header_list_size,
                } = settings;
                all = Http2Settings {
                    max_concurrent_streams: max_concurrent_streams.or(all.max_concurrent_streams),
                    initial_window_size: initial_window_size.or(all.initial_window_size),
                    header_table_size: header_table_size.or(all.header_table_size),
                    max_header_list_size: max_header_list_size.or(all.max_header_list_size),
                };
            }
        }
        let window = (all.initial_window_size).unwrap_or_else(|| self.windows.wanted());
        if connection.set_initial_window_size(window).is_err() {
            return;
        }
        self.windows.tell(window);
        self.has_settings.set(false);
        self.frames.add_settings(&[
            (1, all.header_table_size.unwrap_or(HEADER_TABLE)),
            (3, all.max_concurrent_streams.unwrap_or(STREAMS_MAX)),
            (6, all.max_header_list_size.unwrap_or(self.header_list_size)),
        ]);
    }
}
