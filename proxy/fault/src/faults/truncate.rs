//! `truncate`: the answer's body ends early.

use serde_json::{Value, json};

use super::{Accepts, Draw, FaultKind, Param, Phase, params, written};
use crate::{
    injection::{Break, Cut, CutAt, CutFraming, Injection, ResetScope, Shape},
    read::{Problem, one_of},
    units::{show_size, byte_count},
};

/// Ends the answer's body early, after so many bytes or a part of it.
///
/// The head stays as it is, so a client that looks notices; with `ending` "clean" the answer is framed anew and
/// looks complete. Where the length is unknown (chunked) a fraction is taken of the first piece that comes.
/// Answers without content pass as they are. With `framing` a client can be shown either framing, whichever the upstream
/// uses: clients may notice the early end of one and not of the other.
#[derive(Debug, Clone, PartialEq)]
pub struct Truncate {
    at: CutAt,
    ending: Break,
    framing: CutFraming,
}

const FRAMINGS: [CutFraming; 3] = [CutFraming::AsItCame, CutFraming::ContentLength, CutFraming::Chunked];

impl FaultKind for Truncate {
    const NAME: &'static str = "truncate";
    const SUMMARY: &'static str = "ends the answer's body early";
    const PHASE: Phase = Phase::ResponseBody;
    const PARAMS: &'static [Param] = &[
        Param::new("after_bytes", Accepts::Size, "", "bytes of the body that arrive"),
        Param::new("fraction", Accepts::Below(0, 1), "0.5", "the part of the body that arrives, instead of after_bytes"),
        Param::new("framing", Accepts::Words(&["as_it_came", "content_length", "chunked"]), "as_it_came", "how the client is told the length; up to 1 MiB of unknown length is read to tell it; HTTP/1.0 has no chunks"),
        Param::new("ending", Accepts::Words(&["fin", "rst", "clean"]), "fin", "close, reset, or frame the answer anew so that it looks complete"),
    ];
    const EXAMPLE: &'static str = r#"{"fraction":0.5,"ending":"fin"}"#;

    type State = ();

    fn read(value: &Value) -> Result<Self, Problem> {
        let object = params::<Self>(value)?;
        let after = object.optional("after_bytes", byte_count)?;
        let fraction = object.optional("fraction", |value| match value.as_f64() {
            Some(part) if (0.0..1.0).contains(&part) => Ok(part),
            _ => Err(Problem::here("must be a number from 0 to below 1")),
        })?;
        let at = match (after, fraction) {
            (Some(_), Some(_)) => {
                return Err(Problem::at("fraction", "does not go with `after_bytes`"));
            }
            (Some(after), None) => CutAt::Bytes(after),
            (None, fraction) => CutAt::Fraction(fraction.unwrap_or(0.5)),
        };
        let ending = object.optional("ending", one_of("ending", &["fin", "rst", "clean"]))?;
        let words = FRAMINGS.map(CutFraming::name);
        let framing = object.optional("framing", one_of("framing", &words))?;
        let framing = FRAMINGS.into_iter().find(|it| Some(it.name()) == framing);
        let ending = match ending {
            Some("rst") => Break::Reset(ResetScope::AUTO),
            Some("clean") => Break::Clean,
            _ => Break::Fin,
        };
        Ok(Self { at, ending, framing: framing.unwrap_or_default() })
    }

    fn to_value(&self) -> Value {
        let (after, fraction) = match self.at {
            CutAt::Bytes(after) => (Some(json!(show_size(after))), None),
            CutAt::Fraction(part) => (None, Some(json!(part))),
        };
        written([
            ("after_bytes", after),
            ("fraction", fraction),
            ("ending", Some(json!(self.ending.name()))),
            ("framing", (self.framing != CutFraming::AsItCame).then(|| json!(self.framing.name()))),
        ])
    }

    fn ends(&self) -> bool {
        true
    }

    fn inject(&self, _draw: &mut Draw<'_, ()>, into: &mut Injection) {
        into.shape(Shape::Cut(Cut {
            at: self.at,
            how: self.ending,
            framing: self.framing,
        }));
    }
}
