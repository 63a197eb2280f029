//! The extensions of a chunk's size line (RFC 9112 §7.1.1): read to find their end, and passed on or dropped.

use super::BadBody;
use crate::http1::head::is_token_byte;

/// How far the extensions of one size line were read.
#[derive(Debug, Clone, Copy)]
pub(super) struct Extension {
    part: Part,
    bytes: u16,
}

/// Extensions of one size line, in bytes.
const BYTES_MAX: u16 = 16 * 1024;

#[derive(Debug, Clone, Copy)]
enum Part {
    /// White space before a semicolon.
    BeforeSemicolon,
    /// White space before a name.
    BeforeName,
    Name,
    /// White space behind a name: an equals sign or a semicolon follows.
    AfterName,
    /// White space before a value.
    BeforeValue,
    Token,
    Quoted,
    /// Behind a backslash.
    Escaped,
    AfterQuoted,
}

impl Extension {
    /// Begins with the first byte behind the size: white space or a semicolon.
    pub(super) fn begin(byte: u8) -> Self {
        let part = if byte == b';' {
            Part::BeforeName
        } else {
            Part::BeforeSemicolon
        };
        Self { part, bytes: 1 }
    }

    /// Takes the next byte; `None` when it is the CR behind the extensions.
    pub(super) fn next(self, byte: u8) -> Result<Option<Self>, BadBody> {
        use Part::{
            AfterName, AfterQuoted, BeforeName, BeforeSemicolon, BeforeValue, Escaped, Name,
            Quoted, Token,
        };
        let part = match (self.part, byte) {
            (Name | Token | AfterQuoted, b'\r') => return Ok(None),
            (BeforeSemicolon | BeforeName | AfterName | BeforeValue, b' ' | b'\t') => self.part,
            (BeforeSemicolon | Name | AfterName | Token | AfterQuoted, b';') => BeforeName,
            (Name | AfterName, b'=') => BeforeValue,
            (Name, b' ' | b'\t') => AfterName,
            (Token | AfterQuoted, b' ' | b'\t') => BeforeSemicolon,
            (BeforeValue, b'"') => Quoted,
            (Quoted, b'"') => AfterQuoted,
            (Quoted, b'\\') => Escaped,
            (Quoted | Escaped, b'\t' | b' '..=b'~' | 0x80..) => Quoted,
            (BeforeName | Name, byte) if is_token_byte(byte) => Name,
            (BeforeValue | Token, byte) if is_token_byte(byte) => Token,
            _ => return Err(BadBody::CHUNK_EXTENSION),
        };
        if self.bytes == BYTES_MAX {
            return Err(BadBody::CHUNK_EXTENSION);
        }
        let bytes = self.bytes + 1;
        Ok(Some(Self { part, bytes }))
    }
}
