//! Content: where it ends, what is refused, what is held back, and how it is framed.

use super::reader;
use crate::http1::{
    BadAnswer, BadBody, BodyLength, ChunkHead, Decoded, Decoder, Encoder, HeadLimits, Refusal,
    Tracked,
};

/// What decoding gives: the content, and the bytes it took.
fn decode(length: BodyLength, input: &[u8]) -> Result<(Vec<u8>, usize, bool), BadBody> {
    let mut decoder = Decoder::new(length);
    let (mut content, mut at) = (Vec::new(), 0);
    while at < input.len() && !decoder.is_ended() {
        let decoded = decoder.decode(&input[at..])?;
        content.extend_from_slice(&input[at..][decoded.data]);
        at += decoded.used;
    }
    Ok((content, at, decoder.is_ended()))
}

fn tracked(used: usize, data: u64, ended: bool) -> Tracked {
    Tracked { used, data, ended }
}

#[test]
fn content_ends_where_its_length_says() {
    let input = b"hello world";

    assert_eq!(
        decode(BodyLength::Sized(5), input),
        Ok((b"hello".to_vec(), 5, true))
    );
    assert_eq!(
        decode(BodyLength::Sized(50), input),
        Ok((input.to_vec(), 11, false))
    );
    assert_eq!(
        decode(BodyLength::UntilClose, input),
        Ok((input.to_vec(), 11, false))
    );
    for length in [BodyLength::Empty, BodyLength::Sized(0)] {
        assert_eq!(decode(length, input), Ok((Vec::new(), 0, true)));
        assert_eq!(Decoder::new(length).track(input), Ok(tracked(0, 0, true)));
    }
}

#[test]
fn chunks_are_read() {
    for (input, content) in [
        (&b"5\r\nhello\r\n0\r\n\r\n"[..], &b"hello"[..]),
        (b"3\r\nhel\r\n02\r\nlo\r\n000\r\n\r\n", b"hello"),
        (
            b"A\r\n0123456789\r\na\r\n0123456789\r\n0\r\n\r\n",
            b"01234567890123456789",
        ),
        (b"0000000000000001\r\nx\r\n0\r\n\r\n", b"x"),
        (b"1;a\r\nx\r\n0;b=c\r\n\r\n", b"x"),
        (
            b"1 ; a = \"\\\"\\\\ \xe9;=\" ; b;c=d\r\nx\r\n0\r\n\r\n",
            b"x",
        ),
        (b"0\r\nA: b\r\nC:\r\n\r\n", b""),
    ] {
        let read = decode(BodyLength::Chunked, &[input, b"GET"].concat());

        assert_eq!(
            read,
            Ok((content.to_vec(), input.len(), true)),
            "{}",
            input.escape_ascii()
        );
        assert!(reader::chunked(input).is_some());
    }
}

#[test]
fn bad_chunks_are_refused() {
    let long = [&b"1;a="[..], &[b'b'; 17 * 1024], b"\r\nx\r\n0\r\n\r\n"].concat();
    for (input, expected) in [
        (&b"\r\n"[..], BadBody::CHUNK_SIZE),
        (b"g\r\n", BadBody::CHUNK_SIZE),
        (b"0x5\r\n", BadBody::CHUNK_SIZE),
        (b"+5\r\n", BadBody::CHUNK_SIZE),
        (b"-5\r\n", BadBody::CHUNK_SIZE),
        (b" 5\r\n", BadBody::CHUNK_SIZE),
        (b"5\n", BadBody::CHUNK_SIZE),
        (b"00000000000000000\r\n", BadBody::CHUNK_SIZE),
        (b"5_0\r\n", BadBody::CHUNK_SIZE),
        (b"5 \r\n", BadBody::CHUNK_EXTENSION),
        (b"5;\r\n", BadBody::CHUNK_EXTENSION),
        (b"5 a\r\n", BadBody::CHUNK_EXTENSION),
        (b"5;a\n", BadBody::CHUNK_EXTENSION),
        (b"5;a\0\r\n", BadBody::CHUNK_EXTENSION),
        (b"5;a=\"\n\"\r\n", BadBody::CHUNK_EXTENSION),
        (b"5;a=\"\r\n", BadBody::CHUNK_EXTENSION),
        (b"5;a=\"b\"c\r\n", BadBody::CHUNK_EXTENSION),
        (b"5;a=\r\n", BadBody::CHUNK_EXTENSION),
        (b"5;=a\r\n", BadBody::CHUNK_EXTENSION),
        (&long, BadBody::CHUNK_EXTENSION),
        (b"5\rx", BadBody::CHUNK_END),
        (b"5\r\r\n", BadBody::CHUNK_END),
        (b"1\r\nx\n", BadBody::CHUNK_END),
        (b"1\r\nxy\r\n", BadBody::CHUNK_END),
        (b"1\r\nx0\r\n\r\n", BadBody::CHUNK_END),
        (b"1\r\nx\rx", BadBody::CHUNK_END),
        (b"0\r\nA: b\n\r\n", BadBody::TRAILERS),
        (b"0\r\nA : b\r\n\r\n", BadBody::TRAILERS),
        (b"0\r\nA: b\r\n c\r\n\r\n", BadBody::TRAILERS),
        (b"0\r\nA\r\n\r\n", BadBody::TRAILERS),
        (b"0\r\nA: \x01\r\n\r\n", BadBody::TRAILERS),
        (b"0\r\n: b\r\n\r\n", BadBody::TRAILERS),
        (b"0\r\nA: b\rc\r\n\r\n", BadBody::TRAILERS),
        (b"0\r\n\n", BadBody::TRAILERS),
        (b"0\r\n\rx", BadBody::TRAILERS),
    ] {
        let shown = input[..input.len().min(40)].escape_ascii();
        assert_eq!(decode(BodyLength::Chunked, input), Err(expected), "{shown}");
        // The grammar has no limit.
        assert!(
            input.len() > 1000 || reader::chunked(input).is_none(),
            "{shown}"
        );

        let mut decoder = Decoder::new(BodyLength::Chunked);
        assert_eq!(decoder.track(input), Err(expected), "{shown}");
        assert_eq!(
            decoder.track(b""),
            Err(expected),
            "it stays refused: {shown}"
        );
        assert_eq!(decoder.end_of_stream(), Err(expected));
        assert_eq!(
            (
                Refusal::from(expected).status,
                BadAnswer::from(expected).why
            ),
            (400, expected.why)
        );
    }
}

#[test]
fn a_trailer_section_has_the_limits_of_a_head() {
    let limits = HeadLimits {
        bytes: 50,
        fields: 2,
        target: 1,
    };
    let read = |section: &str| {
        let mut decoder = Decoder::with_limits(BodyLength::Chunked, &limits);
        decoder.track(format!("0\r\n{section}").as_bytes())
    };

    assert!(read("A: b\r\nC: d\r\n\r\n").unwrap().ended);
    assert_eq!(read("A: b\r\nC: d\r\nE: f\r\n\r\n"), Err(BadBody::TRAILERS));
    assert_eq!(
        read(&format!("A: {}", "b".repeat(60))),
        Err(BadBody::TRAILERS)
    );
    assert_eq!(read(&"A: b\r\n".repeat(10)), Err(BadBody::TRAILERS));
}

#[test]
fn the_last_chunk_is_passed_on_with_its_trailers_alone() {
    let mut decoder = Decoder::new(BodyLength::Chunked);

    assert_eq!(decoder.track(b"5"), Ok(tracked(0, 0, false)));
    assert_eq!(decoder.track(b"5\r\nhel"), Ok(tracked(6, 3, false)));
    assert_eq!(decoder.track(b"lo\r\n0"), Ok(tracked(4, 2, false)));
    assert_eq!(decoder.track(b"0\r\n"), Ok(tracked(0, 0, false)));
    assert_eq!(decoder.track(b"0\r\nA: b\r\n"), Ok(tracked(0, 0, false)));
    assert_eq!(decoder.end_of_stream(), Err(BadBody::CUT_SHORT));
    assert_eq!(
        decoder.track(b"0\r\nA: b\r\n\r\nGET"),
        Ok(tracked(11, 0, true))
    );
    assert_eq!(decoder.end_of_stream(), Ok(()));
    let trailers = decoder.take_trailers().unwrap();
    assert_eq!(trailers.get("a"), Some(&b"b"[..]));
    assert!(decoder.take_trailers().is_none());
}

#[test]
fn decoding_may_follow_tracking() {
    let mut decoder = Decoder::new(BodyLength::Chunked);
    assert_eq!(decoder.track(b"1\r\nx\r\n5;a"), Ok(tracked(6, 1, false)));

    let decoded = decoder.decode(b"5;a\r\nhello");

    let (used, data, ended) = (10, 5..10, false);
    assert_eq!(decoded, Ok(Decoded { used, data, ended }));
}

#[test]
fn spliced_bytes_are_counted() {
    let mut decoder = Decoder::new(BodyLength::Sized(10));

    decoder.advance(4);

    assert_eq!(decoder.remaining(), Some(6));
    assert_eq!(decoder.end_of_stream(), Err(BadBody::CUT_SHORT));
    decoder.advance(6);
    assert!(decoder.is_ended());
    assert_eq!(Decoder::new(BodyLength::UntilClose).remaining(), None);
    assert_eq!(Decoder::new(BodyLength::UntilClose).end_of_stream(), Ok(()));
}

#[test]
fn an_endless_line_costs_linear_time_and_no_memory() {
    let mut input = b"5;a=\"".to_vec();
    let mut decoder = Decoder::new(BodyLength::Chunked);
    let mut looked = 0;

    // A look at all bytes each time would be 130 million of them.
    let refused = loop {
        input.push(b'b');
        looked += 1;
        match decoder.track(&input) {
            Ok(tracked) => assert_eq!(tracked.used, 0),
            Err(bad) => break bad,
        }
    };

    assert_eq!((refused, looked), (BadBody::CHUNK_EXTENSION, 16 * 1024 - 3));
    assert!(size_of::<Decoder>() <= 128, "{}", size_of::<Decoder>());
}

#[test]
fn content_is_framed_anew() {
    for length in [1_u64, 15, 16, 255, 256, 0xdead_beef, u64::MAX] {
        let mut encoder = Encoder::new(BodyLength::Chunked);
        let head = encoder.before(length);
        assert_eq!(head.as_bytes(), format!("{length:x}\r\n").as_bytes());
        assert!(head.as_bytes().len() <= ChunkHead::BYTES_MAX);
    }

    let mut encoder = Encoder::new(BodyLength::Chunked);
    let mut out = Vec::new();
    for piece in [&b"hello "[..], b"world"] {
        out.extend_from_slice(encoder.before(piece.len() as u64).as_bytes());
        out.extend_from_slice(piece);
        out.extend_from_slice(encoder.after());
    }
    let mut trailers = crate::http1::Fields::default();
    trailers.append("A", b"b");
    encoder.end(Some(&trailers), &mut out);
    assert_eq!(out, b"6\r\nhello \r\n5\r\nworld\r\n0\r\nA: b\r\n\r\n");
    let (content, read, used) = reader::chunked(&out).unwrap();
    assert_eq!(
        (content, read.len(), used),
        (b"hello world".to_vec(), 1, out.len())
    );

    for length in [BodyLength::Sized(5), BodyLength::UntilClose] {
        let mut encoder = Encoder::new(length);
        let mut out = Vec::new();
        assert_eq!(encoder.before(5).as_bytes(), b"");
        encoder.end(Some(&trailers), &mut out);
        assert_eq!((encoder.after(), &out[..]), (&b""[..], &b""[..]));
        assert_eq!(
            encoder.remaining(),
            (length == BodyLength::Sized(5)).then_some(0)
        );
    }
}
