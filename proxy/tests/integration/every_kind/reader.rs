//! A strict reader of one answer (RFC 9112 §6.3).

/// What of the request decides how its answer is read.
#[derive(Debug, Clone, Copy)]
pub(super) struct Asked {
    pub(super) is_head: bool,
    pub(super) is_http10: bool,
}

/// How a connection ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum End {
    Fin,
    Reset,
}

/// What the reader makes of the bytes so far.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Read {
    More,
    Whole(Whole),
    /// The connection ended before the answer did.
    Short(End, Vec<u8>),
    /// No reader may take it.
    Bad(String),
}

/// A whole answer.
#[derive(Debug)]
pub(super) struct Whole {
    pub(super) line: String,
    pub(super) fields: Vec<String>,
    pub(super) content: Vec<u8>,
    /// Its bytes on the wire.
    pub(super) used: usize,
    /// Whether the connection may carry another.
    pub(super) keeps: bool,
}

impl PartialEq for Whole {
    fn eq(&self, other: &Self) -> bool {
        (&self.line, &self.fields, &self.content, self.keeps)
            == (&other.line, &other.fields, &other.content, other.keeps)
    }
}

impl Eq for Whole {}

impl Read {
    pub(super) fn is_over(&self) -> bool {
        !matches!(self, Self::More)
    }
}

pub(super) fn read(bytes: &[u8], end: Option<End>, asked: Asked) -> Read {
    let Some(head_end) = bytes.windows(4).position(|four| four == b"\r\n\r\n") else {
        return match end {
            None if bytes.len() < 4 * 1024 * 1024 => Read::More,
            Some(end) => Read::Short(end, bytes.to_vec()),
            None => Read::Bad("a head without end".to_owned()),
        };
    };
    match read_whole(bytes, head_end, end, asked) {
        Ok(Some(whole)) => Read::Whole(whole),
        Ok(None) => end.map_or(Read::More, |end| Read::Short(end, bytes.to_vec())),
        Err(what) => Read::Bad(what.to_owned()),
    }
}

fn read_whole(
    bytes: &[u8],
    head_end: usize,
    end: Option<End>,
    asked: Asked,
) -> Result<Option<Whole>, &'static str> {
    let head = String::from_utf8_lossy(&bytes[..head_end]).into_owned();
    let mut lines = head.split("\r\n");
    let line = lines.next().unwrap_or_default().to_owned();
    let fields: Vec<String> = lines.map(str::to_owned).collect();
    let (version, rest) = line
        .split_once(' ')
        .ok_or("a status line without a space")?;
    let (status, reason) = rest
        .split_once(' ')
        .ok_or("a status line without a second space")?;
    if version != "HTTP/1.1" || status.len() != 3 || reason.contains('<') {
        return Err("a wrong status line");
    }
    let status: u16 = status.parse().map_err(|_| "a status that is no number")?;
    let mut lengths = Vec::new();
    let (mut is_chunked, mut says_close, mut says_keep) = (false, false, false);
    for field in &fields {
        let (name, value) = field.split_once(':').ok_or("a field without a colon")?;
        if name.contains(' ') || field.contains('\0') {
            return Err("an illegal byte in a field");
        }
        match (name.to_ascii_lowercase().as_str(), value.trim()) {
            ("content-length", value) => {
                lengths.push(value.parse::<usize>().map_err(|_| "a wrong length")?);
            }
            ("transfer-encoding", "chunked") => is_chunked = true,
            ("transfer-encoding", _) => return Err("another coding"),
            ("connection", "close") => says_close = true,
            ("connection", "keep-alive") => says_keep = true,
            _ => {}
        }
    }
    if lengths.len() > 1 || (is_chunked && !lengths.is_empty()) {
        return Err("two framings");
    }
    if is_chunked && asked.is_http10 {
        return Err("chunks for HTTP/1.0");
    }
    if status == 204 && (is_chunked || !lengths.is_empty()) {
        return Err("a 204 with a framing");
    }
    let begin = head_end + 4;
    let body = &bytes[begin..];
    let mut keeps = !says_close && (!asked.is_http10 || says_keep);
    let (content, used) = if asked.is_head || matches!(status, 204 | 304) {
        (Vec::new(), 0)
    } else if is_chunked {
        match chunks(body)? {
            Some(read) => read,
            None => return Ok(None),
        }
    } else if let Some(length) = lengths.first() {
        if status == 205 && *length > 0 {
            return Err("a 205 with content");
        }
        match body.get(..*length) {
            Some(content) => (content.to_vec(), *length),
            None => return Ok(None),
        }
    } else {
        if !says_close && !asked.is_http10 {
            return Err("content up to the end on a kept connection");
        }
        keeps = false;
        match end {
            Some(End::Fin) => (body.to_vec(), body.len()),
            Some(End::Reset) | None => return Ok(None),
        }
    };
    Ok(Some(Whole {
        line,
        fields,
        content,
        used: begin + used,
        keeps,
    }))
}

/// The content of chunks without trailers, and their bytes.
fn chunks(body: &[u8]) -> Result<Option<(Vec<u8>, usize)>, &'static str> {
    let (mut content, mut at) = (Vec::new(), 0);
    loop {
        let Some(line) = body[at..].windows(2).position(|two| two == b"\r\n") else {
            return Ok(None);
        };
        let size = str::from_utf8(&body[at..at + line]).map_err(|_| "a chunk size of no text")?;
        let size = usize::from_str_radix(size, 16).map_err(|_| "a chunk size that is no number")?;
        at += line + 2;
        let Some(chunk) = body.get(at..at + size + 2) else {
            return Ok(None);
        };
        if !chunk.ends_with(b"\r\n") {
            return Err("a chunk that is longer than its size");
        }
        content.extend_from_slice(&chunk[..size]);
        at += size + 2;
        if size == 0 {
            return Ok(Some((content, at)));
        }
    }
}
