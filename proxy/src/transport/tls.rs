//! A connection in TLS: the engine reads and writes plain bytes, and what goes over the transport beneath is encrypted.

use std::{
    cell::RefCell,
    future::poll_fn,
    io::{self, BufRead, IoSlice, Read, Write},
    task::{Context, Poll, ready},
};

use rustls::Connection;

use super::{Transport, tcp::poll_write_slices};
use crate::tls::TlsFailure;

/// Plain bytes that are encrypted at once. The next are not before these are with the transport beneath, so no connection
/// holds more.
const ENCRYPTED_AT_ONCE: usize = 64 * 1024;

/// TLS on another transport, which has the socket and the faults of the stream layer.
///
/// What was written may still be held here, in so far as the transport beneath did not take it: each later call of whatever
/// kind goes on with it. As all transports, it is for one task.
#[derive(Debug)]
pub(crate) struct TlsTransport {
    beneath: Transport,
    session: RefCell<Session>,
}

#[expect(
    clippy::struct_excessive_bools,
    reason = "they are independent of each other"
)]
#[derive(Debug)]
struct Session {
    connection: Connection,
    /// Plain bytes that were decrypted and not read yet.
    decrypted: usize,
    /// The transport beneath has ended, or the other side has said that it sends no more.
    has_ended: bool,
    /// Why nothing more can be read.
    failed: Option<TlsFailure>,
    /// The first byte was looked at.
    has_begun: bool,
    /// The other side speaks no TLS at all: what is written from now on goes out as it is.
    is_plain: bool,
    /// Our side was told to end.
    has_closed: bool,
}

impl TlsTransport {
    pub(crate) fn new(beneath: Transport, connection: Connection) -> Self {
        Self {
            beneath,
            session: RefCell::new(Session {
                connection,
                decrypted: 0,
                has_ended: false,
                failed: None,
                has_begun: false,
                is_plain: false,
                has_closed: false,
            }),
        }
    }

    pub(super) fn beneath(&self) -> &Transport {
        &self.beneath
    }

    /// The protocol that both sides have agreed on (RFC 7301).
    pub(crate) fn agreed(&self) -> Option<Vec<u8>> {
        self.session
            .borrow()
            .connection
            .alpn_protocol()
            .map(<[u8]>::to_vec)
    }

    /// Waits for the end of the handshake.
    ///
    /// # Errors
    /// What is wrong, inside the error where TLS is to blame.
    pub(crate) async fn handshake(&self) -> io::Result<()> {
        poll_fn(|cx| self.session.borrow_mut().poll_handshake(&self.beneath, cx)).await
    }

    /// Whether nothing has come and nothing is left to be sent, besides what TLS says for itself.
    pub(super) fn is_idle(&self) -> bool {
        let mut session = self.session.borrow_mut();
        let mut cx = Context::from_waker(std::task::Waker::noop());
        session.poll_decrypted(&self.beneath, &mut cx).is_pending()
            && !session.connection.wants_write()
    }

    pub(super) fn poll_readable(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        (self.session.borrow_mut()).poll_decrypted(&self.beneath, cx)
    }

    pub(super) fn poll_read(
        &self,
        cx: &mut Context<'_>,
        buf: &mut [u8],
    ) -> Poll<io::Result<usize>> {
        let mut session = self.session.borrow_mut();
        let mut read = 0;
        while read < buf.len() {
            match session.poll_decrypted(&self.beneath, cx) {
                Poll::Ready(Ok(())) if session.decrypted > 0 => {
                    read += session.read(&mut buf[read..])?;
                }
                // Told with the next read, as it comes behind these bytes.
                _ if read > 0 => break,
                Poll::Ready(Ok(())) => return Poll::Ready(session.end()),
                Poll::Ready(Err(error)) => return Poll::Ready(Err(error)),
                Poll::Pending => return Poll::Pending,
            }
        }
        Poll::Ready(Ok(read))
    }

    pub(super) fn poll_write_both(
        &self,
        cx: &mut Context<'_>,
        first: &[u8],
        second: &[u8],
    ) -> Poll<io::Result<usize>> {
        let mut session = self.session.borrow_mut();
        if session.is_plain {
            return self.beneath.poll_write_both(cx, first, second);
        }
        ready!(session.poll_send(&self.beneath, cx))?;
        if let Some(failure) = &session.failed {
            return Poll::Ready(Err(failure.clone().into()));
        }
        let first = &first[..first.len().min(ENCRYPTED_AT_ONCE)];
        let second = &second[..second.len().min(ENCRYPTED_AT_ONCE - first.len())];
        let mut writer = session.connection.writer();
        let taken = writer.write_vectored(&[IoSlice::new(first), IoSlice::new(second)])?;
        match session.poll_send(&self.beneath, cx) {
            Poll::Ready(Err(error)) => Poll::Ready(Err(error)),
            Poll::Ready(Ok(())) | Poll::Pending => Poll::Ready(Ok(taken)),
        }
    }

    /// Goes on with what the transport beneath did not take, whatever the task waits for.
    pub(super) fn poll_drive(&self, cx: &mut Context<'_>) {
        // What is wrong with the connection is told to whoever reads or writes.
        let sent: Poll<io::Result<()>> = (self.session.borrow_mut()).poll_send(&self.beneath, cx);
        drop(sent);
    }

    pub(super) fn poll_flush(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!((self.session.borrow_mut()).poll_send(&self.beneath, cx))?;
        self.beneath.poll_flush(cx)
    }

    /// Says that no more is sent (`close_notify`, RFC 8446 §6.1), then ends the stream beneath.
    pub(super) fn poll_shutdown(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        {
            let mut session = self.session.borrow_mut();
            if !session.has_closed && !session.is_plain && session.failed.is_none() {
                session.connection.send_close_notify();
            }
            session.has_closed = true;
            ready!(session.poll_send(&self.beneath, cx))?;
        }
        self.beneath.poll_shutdown(cx)
    }

    /// Ends the stream beneath behind what was written, without a `close_notify`.
    pub(super) fn poll_shutdown_beneath(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.session.borrow_mut().has_closed = true;
        self.poll_shutdown(cx)
    }
}

impl Session {
    /// Ready when there are plain bytes, or their end.
    fn poll_decrypted(
        &mut self,
        beneath: &Transport,
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<()>> {
        loop {
            if self.decrypted > 0 {
                return Poll::Ready(Ok(()));
            }
            if let Some(failure) = &self.failed {
                return Poll::Ready(Err(failure.clone().into()));
            }
            // Of a handshake, or what an earlier write left. While it waits, reading goes on; also where the other side takes no
            // more, as it may have answered before.
            let refused = match self.poll_send(beneath, cx) {
                Poll::Ready(Err(error)) => Some(error),
                Poll::Ready(Ok(())) | Poll::Pending => None,
            };
            if self.has_ended {
                return Poll::Ready(refused.map_or(Ok(()), Err));
            }
            match (self.poll_receive(beneath, cx), refused) {
                (Poll::Ready(Ok(())), _) => {}
                (Poll::Pending | Poll::Ready(Err(_)), Some(error))
                | (Poll::Ready(Err(error)), None) => {
                    return Poll::Ready(Err(error));
                }
                (Poll::Pending, None) => return Poll::Pending,
            }
        }
    }

    /// Reads from the transport beneath, once, and decrypts.
    fn poll_receive(&mut self, beneath: &Transport, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(beneath.poll_readable(cx))?;
        let mut socket = Beneath {
            transport: beneath,
            cx,
            first: None,
        };
        let received = self.connection.read_tls(&mut socket);
        let first = socket.first;
        match received {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Poll::Pending,
            Err(error) => return Poll::Ready(Err(error)),
            Ok(0) => self.has_ended = true,
            Ok(_) if !self.has_begun => {
                self.has_begun = true;
                // The method of a request, or `HTTP/` of an answer: no record of TLS begins like that.
                if first.is_some_and(|byte| byte.is_ascii_uppercase()) {
                    self.is_plain = true;
                    self.failed = Some(TlsFailure::plain());
                    return Poll::Ready(Ok(()));
                }
            }
            Ok(_) => {}
        }
        match self.connection.process_new_packets() {
            Ok(state) => {
                self.decrypted = state.plaintext_bytes_to_read();
                self.has_ended |= state.peer_has_closed();
                if self.has_ended && self.connection.is_handshaking() {
                    self.failed = Some(TlsFailure::closed());
                }
            }
            Err(error) => {
                self.failed = Some(TlsFailure::of(&error));
                // What came before it, in the same read, is good.
                self.decrypted = self.decrypted_before_failure();
                // The alert that says so.
                let sent: Poll<io::Result<()>> = self.poll_send(beneath, cx);
                drop(sent);
            }
        }
        Poll::Ready(Ok(()))
    }

    fn poll_handshake(
        &mut self,
        beneath: &Transport,
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<()>> {
        loop {
            if let Some(failure) = &self.failed {
                return Poll::Ready(Err(failure.clone().into()));
            }
            let sent = self.poll_send(beneath, cx)?;
            if !self.connection.is_handshaking() {
                return sent.map(Ok);
            }
            ready!(self.poll_receive(beneath, cx))?;
        }
    }

    /// Hands everything that is encrypted to the transport beneath.
    fn poll_send(&mut self, beneath: &Transport, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while self.connection.wants_write() && !self.is_plain {
            let mut socket = Beneath {
                transport: beneath,
                cx,
                first: None,
            };
            match self.connection.write_tls(&mut socket) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Poll::Pending,
                Err(error) => return Poll::Ready(Err(error)),
                Ok(_) => {}
            }
        }
        Poll::Ready(Ok(()))
    }

    /// Takes bytes that were decrypted.
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let read = self.connection.reader().read(buf)?;
        self.decrypted = match self.failed {
            None => self.decrypted.saturating_sub(read),
            Some(_) => self.decrypted_before_failure(),
        };
        Ok(read)
    }

    /// Some of the bytes that can still be read after a failure; 0 if there are none.
    fn decrypted_before_failure(&mut self) -> usize {
        self.connection.reader().fill_buf().map_or(0, <[u8]>::len)
    }

    /// The end of the stream. Without a `close_notify` somebody on the way may have cut it, so it is no good end: a message
    /// that has no other end is incomplete then (RFC 9112 §9.8).
    fn end(&mut self) -> io::Result<usize> {
        self.connection.reader().read(&mut [0; 1])
    }
}

/// The transport beneath as the TLS library sees it.
struct Beneath<'a, 'cx> {
    transport: &'a Transport,
    cx: &'a mut Context<'cx>,
    /// The first byte that was read.
    first: Option<u8>,
}

/// What is pending is `WouldBlock`; the task is woken.
fn now<T>(polled: Poll<io::Result<T>>) -> io::Result<T> {
    match polled {
        Poll::Ready(done) => done,
        Poll::Pending => Err(io::ErrorKind::WouldBlock.into()),
    }
}

impl Read for Beneath<'_, '_> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let read = now(self.transport.poll_read(self.cx, buf))?;
        self.first = buf[..read].first().copied();
        Ok(read)
    }
}

impl Write for Beneath<'_, '_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        now(self.transport.poll_write(self.cx, bytes))
    }

    fn write_vectored(&mut self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        if self.transport.is_plain() {
            return now(poll_write_slices(self.transport.tcp(), self.cx, slices));
        }
        let first = slices.iter().find(|slice| !slice.is_empty());
        first.map_or(Ok(0), |slice| self.write(slice))
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
