//! `settings`: a connection with HTTP/2 gets other settings.

use serde_json::{Value, json};

use super::{Accepts, Draw, FaultKind, Param, Phase, error_code::ON_HTTP2, params, written};
use crate::{
    injection::{Http2Fault, Http2Settings, Injection},
    read::{Object, Problem, whole},
};

/// Tells the client of each request over HTTP/2 other settings, by a SETTINGS frame. It acts on the whole connection.
///
/// They hold for the connection until the fault is removed; then the client is told the usual ones. A client keeps to them once it
/// has read them: streams that it had opened before go on. Without parameters one stream may be open at once.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings(Http2Settings);

const STREAMS_MAX: u64 = 1_000;
const WINDOW_MAX: u64 = 16 * 1024 * 1024;
const TABLE_MAX: u64 = 4_096;
const LIST_MAX: u64 = 256 * 1024;

fn number(object: &Object<'_>, key: &str, max: u64) -> Result<Option<u32>, Problem> {
    let number = object.optional(key, whole(0, max))?;
    Ok(number.and_then(|number| u32::try_from(number).ok()))
}

impl FaultKind for Settings {
    const NAME: &'static str = "settings";
    const SUMMARY: &'static str = "changes the settings of connections with HTTP/2; skips requests with HTTP/1";
    const PHASE: Phase = Phase::Request;
    const PARAMS: &'static [Param] = &[
        Param::new("max_concurrent_streams", Accepts::Whole(0, STREAMS_MAX), "1", "streams that the client may have open at once; the default holds where nothing else is given"),
        Param::new("initial_window_size", Accepts::Whole(0, WINDOW_MAX), "", "bytes of each stream that the client may send before it gets credit"),
        Param::new("header_table_size", Accepts::Whole(0, TABLE_MAX), "", "bytes of the table with which the client compresses fields"),
        Param::new("max_header_list_size", Accepts::Whole(0, LIST_MAX), "", "bytes of a head that the client is advised not to exceed"),
    ];
    const EXAMPLE: &'static str = r#"{"max_concurrent_streams":1}"#;

    type State = ();

    fn read(value: &Value) -> Result<Self, Problem> {
        let object = params::<Self>(value)?;
        let mut settings = Http2Settings {
            max_concurrent_streams: number(&object, "max_concurrent_streams", STREAMS_MAX)?,
            initial_window_size: number(&object, "initial_window_size", WINDOW_MAX)?,
            header_table_size: number(&object, "header_table_size", TABLE_MAX)?,
            max_header_list_size: number(&object, "max_header_list_size", LIST_MAX)?,
        };
        if settings == Http2Settings::default() {
            settings.max_concurrent_streams = Some(1);
        }
        Ok(Self(settings))
    }

    fn to_value(&self) -> Value {
        let Http2Settings {
            max_concurrent_streams,
            initial_window_size,
            header_table_size,
            max_header_list_size,
        } = self.0;
        written([
            ("max_concurrent_streams", max_concurrent_streams.map(|it| json!(it))),
            ("initial_window_size", initial_window_size.map(|it| json!(it))),
            ("header_table_size", header_table_size.map(|it| json!(it))),
            ("max_header_list_size", max_header_list_size.map(|it| json!(it))),
        ])
    }

    fn condition(&self) -> Option<&'static str> {
        Some(ON_HTTP2)
    }

    fn takes(&self, draw: &mut Draw<'_, ()>, _into: &mut Injection) -> bool {
        draw.subject.is_http2
    }

    fn inject(&self, _draw: &mut Draw<'_, ()>, into: &mut Injection) {
        into.on_connection(Http2Fault::Settings(self.0));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn left_out_one_stream_may_be_open() {
        let read = |value: Value| Settings::read(&value).map(|it| it.to_value());

        assert_eq!(read(json!({})), Ok(json!({ "max_concurrent_streams": 1 })));
        let small = json!({ "initial_window_size": 0, "header_table_size": 0 });
        assert_eq!(read(small.clone()), Ok(small));
        let problem = read(json!({ "max_concurrent_streams": 1_001 })).unwrap_err();
        assert_eq!(problem.pointer, "/max_concurrent_streams");
    }
}
