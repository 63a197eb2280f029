//! Finds where the content of a message ends, as its bytes come in.

mod extension;

use std::{fmt, mem, ops::Range};

use self::extension::Extension;
pub(crate) use super::refusal::BadBody;
use super::{
    framing::BodyLength,
    head::{Fields, HeadLimits},
};

/// Follows the content of one message through any split of its bytes, in linear time and bounded memory: nothing is
/// kept but numbers and the trailer section, which is at most as large as a head may be.
///
/// [`track`](Self::track) is for bytes that go on as they came, [`decode`](Self::decode) for content that is framed
/// anew. One may follow the other within a message.
#[derive(Debug)]
pub(crate) struct Decoder {
    state: State,
    /// Bytes at the beginning of the next input that were looked at, and not given to the caller.
    held: usize,
    limits: HeadLimits,
    /// The lines of the trailer section that have come.
    section: Vec<u8>,
    trailers: Option<Box<Fields>>,
    /// See [`before_flaw`](Self::before_flaw). Boxed, as few bodies have one.
    before_flaw: Option<Box<Tracked>>,
    /// Is shown the content as it comes, up to its end.
    watch: Option<Box<dyn ContentWatch>>,
}

/// Is shown the content of a message as it comes, without its framing.
pub(crate) trait ContentWatch: fmt::Debug {
    /// Whether content that comes now need not be shown.
    fn is_full(&self) -> bool;

    /// Further content was read.
    fn content(&mut self, bytes: &[u8]);

    /// The end of the message was read.
    fn end(self: Box<Self>);
}

/// What [`Decoder::track`] found at the beginning of the input.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Tracked {
    /// Bytes of the message, framing included, that may be passed on.
    pub(crate) used: usize,
    /// Content bytes among them.
    pub(crate) data: u64,
    /// Whether the message is complete with them.
    pub(crate) ended: bool,
}

/// What [`Decoder::decode`] found at the beginning of the input.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Decoded {
    /// Bytes of the message that are done with, framing included.
    pub(crate) used: usize,
    /// Where in the input the content among them is. Empty where only framing came.
    pub(crate) data: Range<usize>,
    /// Whether the message is complete with them.
    pub(crate) ended: bool,
}

#[derive(Debug, Clone, Copy)]
enum State {
    /// Content bytes that are still to come. None are: the message is complete.
    Sized(u64),
    UntilClose,
    /// Before the first digit of a chunk's size.
    SizeStart,
    Size {
        size: u64,
        digits: u8,
    },
    Extension {
        size: u64,
        extension: Extension,
    },
    /// Behind the CR of a chunk's size line.
    SizeLf {
        size: u64,
    },
    /// Bytes of the chunk that are still to come, at least one.
    Data(u64),
    DataCr,
    DataLf,
    /// At the beginning of a line behind the last chunk.
    TrailerStart,
    TrailerLine,
    /// Behind the CR of the empty line that ends the message.
    TrailerLf,
    Ended,
    Bad(BadBody),
}

impl State {
    /// Whether the bytes since the last chunk are not to be passed on yet. A size line is passed on when it is whole,
    /// the last chunk together with the trailer section: else the other side could take a broken message as whole.
    fn holds(self) -> bool {
        match self {
            Self::Size { .. }
            | Self::Extension { .. }
            | Self::SizeLf { .. }
            | Self::TrailerStart
            | Self::TrailerLine
            | Self::TrailerLf
            | Self::Bad(_) => true,
            Self::Sized(_)
            | Self::UntilClose
            | Self::SizeStart
            | Self::Data(_)
            | Self::DataCr
            | Self::DataLf
            | Self::Ended => false,
        }
    }
}

/// One step through the input: up to the end of a piece of content, of the message or of the input.
struct Step {
    used: usize,
    /// How many of the bytes may be passed on.
    released: usize,
    data: Range<usize>,
}

impl Decoder {
    /// Follows content of this length; a trailer section has the default limits of a head.
    pub(crate) fn new(length: BodyLength) -> Self {
        Self::with_limits(length, &HeadLimits::default())
    }

    /// As [`new`](Self::new), with limits for the trailer section.
    pub(crate) fn with_limits(length: BodyLength, limits: &HeadLimits) -> Self {
        let state = match length {
            BodyLength::Empty => State::Sized(0),
            BodyLength::Sized(length) => State::Sized(length),
            BodyLength::Chunked => State::SizeStart,
            BodyLength::UntilClose => State::UntilClose,
        };
        Self {
            state,
            held: 0,
            limits: *limits,
            section: Vec::new(),
            trailers: None,
            before_flaw: None,
            watch: None,
        }
    }

    /// Shows the content to `watch` as it comes.
    pub(crate) fn watch(&mut self, watch: Option<Box<dyn ContentWatch>>) {
        self.watch = watch;
    }

    /// Whether content has to be seen, and may not go by elsewhere.
    pub(crate) fn is_watched(&self) -> bool {
        self.watch.as_ref().is_some_and(|watch| !watch.is_full())
    }

    /// Whether the last bytes that were passed on were the end of a chunk.
    pub(crate) fn is_between_chunks(&self) -> bool {
        matches!(self.state, State::SizeStart)
    }

    /// Tells how much of the input is this message's and may be passed on as it came.
    ///
    /// A size line that is incomplete, and a last chunk whose trailer section is incomplete, are not among the used
    /// bytes: the next input begins with the bytes that were not used. They are at most 16 KiB + 18 bytes, in a
    /// trailer section `limits.bytes` more.
    ///
    /// # Errors
    ///
    /// Returns what is wrong about the framing. Of this input only what came [before](Self::before_flaw) is to be passed on
    /// then.
    pub(crate) fn track(&mut self, input: &[u8]) -> Result<Tracked, BadBody> {
        let mut at = self.held.min(input.len());
        let mut tracked = Tracked::default();
        loop {
            let step = match self.step(&input[at..]) {
                Ok(step) => step,
                Err((bad, released)) => {
                    if released > 0 {
                        tracked.used = at + released;
                    }
                    self.before_flaw = Some(Box::new(tracked));
                    return Err(bad);
                }
            };
            if step.released > 0 {
                tracked.used = at + step.released;
            }
            if let Some(watch) = &mut self.watch {
                watch.content(&input[at..][step.data.clone()]);
            }
            at += step.used;
            tracked.data += step.data.len() as u64;
            if self.is_ended() || at == input.len() {
                self.held = at - tracked.used;
                tracked.ended = self.is_ended();
                self.show_end();
                return Ok(tracked);
            }
        }
    }

    /// What came before the flaw for which [`track`](Self::track) refused its input: as much as would have passed if it had
    /// come byte by byte.
    pub(crate) fn before_flaw(&self) -> Tracked {
        self.before_flaw.as_deref().copied().unwrap_or_default()
    }

    /// Finds the next piece of content. To be called again with the input behind the used bytes, until it uses all of
    /// it or the message has ended.
    ///
    /// # Errors
    ///
    /// Returns what is wrong about the framing.
    pub(crate) fn decode(&mut self, input: &[u8]) -> Result<Decoded, BadBody> {
        let held = mem::take(&mut self.held).min(input.len());
        let step = self.step(&input[held..]).map_err(|(bad, _)| bad)?;
        if let Some(watch) = &mut self.watch {
            watch.content(&input[held..][step.data.clone()]);
        }
        self.show_end();
        Ok(Decoded {
            used: held + step.used,
            data: held + step.data.start..held + step.data.end,
            ended: self.is_ended(),
        })
    }

    fn show_end(&mut self) {
        if self.watch.is_some()
            && self.is_ended()
            && let Some(watch) = self.watch.take()
        {
            watch.end();
        }
    }

    /// Whether the message is complete.
    pub(crate) fn is_ended(&self) -> bool {
        matches!(self.state, State::Ended | State::Sized(0))
    }

    /// How many bytes of content are still to come, where Content-Length says so.
    pub(crate) fn remaining(&self) -> Option<u64> {
        match self.state {
            State::Sized(left) => Some(left),
            _ => None,
        }
    }

    /// Counts `n` bytes of content that went by elsewhere (`splice`), where the length is known or open.
    pub(crate) fn advance(&mut self, n: u64) {
        match &mut self.state {
            State::Sized(left) => {
                debug_assert!(n <= *left, "{n} of {left}");
                *left = left.saturating_sub(n);
            }
            state => debug_assert!(matches!(state, State::UntilClose), "{state:?}"),
        }
        self.show_end();
    }

    /// Takes note that no more bytes come: content that ends with its connection ends here.
    ///
    /// # Errors
    ///
    /// Returns that it was cut short.
    pub(crate) fn end_of_stream(&mut self) -> Result<(), BadBody> {
        if let State::Bad(bad) = self.state {
            return Err(bad);
        }
        if self.is_ended() || matches!(self.state, State::UntilClose) {
            self.state = State::Ended;
            Ok(())
        } else {
            Err(BadBody::CUT_SHORT)
        }
    }

    /// Whether the message had trailers that were not [taken](Self::take_trailers).
    pub(crate) fn has_trailers(&self) -> bool {
        self.trailers.is_some()
    }

    /// The trailer section of a chunked message that has ended, if it has fields.
    pub(crate) fn take_trailers(&mut self) -> Option<Fields> {
        self.trailers.take().map(|trailers| *trailers)
    }

    /// Takes a step. A flaw comes with how many of the bytes before it may be passed on.
    fn step(&mut self, input: &[u8]) -> Result<Step, (BadBody, usize)> {
        let (mut at, mut released) = (0, 0);
        loop {
            let rest = &input[at..];
            let data = match &mut self.state {
                State::Bad(bad) => return Err((*bad, released)),
                State::Ended | State::Sized(0) => 0,
                _ if rest.is_empty() => 0,
                State::UntilClose => rest.len(),
                State::Sized(left) => take(left, rest),
                State::Data(left) => {
                    let taken = take(left, rest);
                    if *left == 0 {
                        self.state = State::DataCr;
                    }
                    taken
                }
                _ => match self.framing(rest) {
                    Ok(used) => {
                        at += used;
                        if !self.state.holds() {
                            released = at;
                        }
                        continue;
                    }
                    Err(bad) => {
                        self.state = State::Bad(bad);
                        return Err((bad, released));
                    }
                },
            };
            let end = at + data;
            return Ok(Step {
                used: end,
                released: if data > 0 { end } else { released },
                data: at..end,
            });
        }
    }

    /// Takes at least a byte of framing, of which `input` has one. Never goes past the end of a message.
    fn framing(&mut self, input: &[u8]) -> Result<usize, BadBody> {
        let byte = input[0];
        self.state = match self.state {
            State::SizeStart => self.size(byte, 0, 0)?,
            State::Size { size, digits } => self.size(byte, size, digits)?,
            State::Extension { size, extension } => match extension.next(byte)? {
                Some(extension) => State::Extension { size, extension },
                None => State::SizeLf { size },
            },
            State::SizeLf { size } if byte == b'\n' => match size {
                0 => State::TrailerStart,
                size => State::Data(size),
            },
            State::DataCr if byte == b'\r' => State::DataLf,
            State::DataLf if byte == b'\n' => State::SizeStart,
            State::SizeLf { .. } | State::DataCr | State::DataLf => {
                return Err(BadBody::CHUNK_END);
            }
            State::TrailerStart if byte == b'\r' => State::TrailerLf,
            State::TrailerStart | State::TrailerLine => return self.trailer_line(input),
            State::TrailerLf if byte == b'\n' => {
                self.read_trailers()?;
                State::Ended
            }
            State::TrailerLf => return Err(BadBody::TRAILERS),
            state @ (State::Sized(_)
            | State::UntilClose
            | State::Data(_)
            | State::Ended
            | State::Bad(_)) => unreachable!("{state:?} is no framing"),
        };
        Ok(1)
    }

    fn size(&self, byte: u8, size: u64, digits: u8) -> Result<State, BadBody> {
        if let Some(digit) = char::from(byte).to_digit(16) {
            if digits == 16 {
                return Err(BadBody::CHUNK_SIZE);
            }
            return Ok(State::Size {
                size: size << 4 | u64::from(digit),
                digits: digits + 1,
            });
        }
        match byte {
            _ if digits == 0 => Err(BadBody::CHUNK_SIZE),
            b'\r' => Ok(State::SizeLf { size }),
            b';' | b' ' | b'\t' => {
                let extension = Extension::begin(byte);
                Ok(State::Extension { size, extension })
            }
            _ => Err(BadBody::CHUNK_SIZE),
        }
    }

    /// Keeps what came of a line of the trailer section.
    fn trailer_line(&mut self, input: &[u8]) -> Result<usize, BadBody> {
        let end = memchr::memchr(b'\n', input);
        let line = &input[..end.map_or(input.len(), |end| end + 1)];
        if self.section.len() + line.len() > self.limits.bytes {
            return Err(BadBody::TRAILERS);
        }
        self.section.extend_from_slice(line);
        self.state = match end {
            Some(_) if self.section.ends_with(b"\r\n") => State::TrailerStart,
            Some(_) => return Err(BadBody::TRAILERS),
            None => State::TrailerLine,
        };
        Ok(line.len())
    }

    fn read_trailers(&mut self) -> Result<(), BadBody> {
        if self.section.is_empty() {
            return Ok(());
        }
        let mut section = mem::take(&mut self.section);
        section.extend_from_slice(b"\r\n");
        let mut trailers = Fields::default();
        trailers
            .read(&section, &self.limits)
            .map_err(|_| BadBody::TRAILERS)?;
        self.trailers = Some(Box::new(trailers));
        Ok(())
    }
}

/// Takes what there is of the `left` bytes.
fn take(left: &mut u64, input: &[u8]) -> usize {
    let taken = usize::try_from(*left).map_or(input.len(), |left| left.min(input.len()));
    *left -= taken as u64;
    taken
}
