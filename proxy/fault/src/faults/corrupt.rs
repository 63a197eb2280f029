//! `corrupt`: the answer's body is damaged.

use std::sync::Arc;

use serde_json::{Value, json};

use super::{Accepts, Draw, FaultKind, Param, Phase, params, written};
use crate::{
    edits::{Field, FieldEdit},
    injection::{Change, Corruption, How, Injection, Shape},
    read::{Object, Problem, one_of, whole},
    stream::{Chance, Layer, Stage},
    units::{show_size, byte_count},
};

/// Damages the answer's body, or what its head says of it. The length never changes.
///
/// A compressed body is damaged as it is on the wire: the client's decoder meets the damage.
#[derive(Debug, Clone, PartialEq)]
pub struct Corrupt {
    way: Way,
    /// The change that it makes, if no chance is needed for each request.
    change: Option<Arc<Change>>,
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum Way {
    Flip { rate: f64, offset: u64 },
    Random { rate: f64, offset: u64 },
    Json { depth: u64 },
    Gzip,
    Encoding,
}

/// Behind the header of a gzip member (RFC 1952 §2.3), so that the decoder begins its work.
const GZIP_OFFSET: u64 = 10;
/// Dense enough for small bodies: every eighth byte.
const GZIP_RATE: f64 = 0.125;

impl Way {
    /// What is done to the bytes, and from which one on; `None` when they stay.
    fn damage(self) -> Option<(How, u64)> {
        match self {
            Self::Flip { rate, offset } => Some((How::Flip(rate), offset)),
            Self::Random { rate, offset } => Some((How::Random(rate), offset)),
            Self::Json { depth } => Some((How::Json(depth), 0)),
            Self::Gzip => Some((How::Flip(GZIP_RATE), GZIP_OFFSET)),
            Self::Encoding => None,
        }
    }
}

impl Corrupt {
    fn way(object: &Object<'_>) -> Result<Way, Problem> {
        let ways = ["flip", "random", "json", "gzip", "encoding"];
        let how = object.optional("how", one_of("damage", &ways))?;
        let how = how.unwrap_or("flip");
        let allowed: &[&str] = match how {
            "flip" | "random" => &["rate", "offset"],
            "json" => &["depth"],
            _ => &[],
        };
        for key in ["rate", "offset", "depth"] {
            if object.has(key) && !allowed.contains(&key) {
                return Err(Problem::at(key, format!("does not go with how \"{how}\"")));
            }
        }
        let rate = object.optional("rate", |value| match value.as_f64() {
            Some(rate) if rate > 0.0 && rate <= 1.0 => Ok(rate),
            _ => Err(Problem::here("must be a number above 0 and up to 1")),
        })?;
        let rate = rate.unwrap_or(1e-4);
        let offset = object.optional("offset", byte_count)?.unwrap_or(0);
        let depth = object.optional("depth", whole(1, 1_000))?.unwrap_or(1);
        Ok(match how {
            "random" => Way::Random { rate, offset },
            "json" => Way::Json { depth },
            "gzip" => Way::Gzip,
            "encoding" => Way::Encoding,
            _ => Way::Flip { rate, offset },
        })
    }
}

impl FaultKind for Corrupt {
    const NAME: &'static str = "corrupt";
    const SUMMARY: &'static str = "damages the answer's body";
    const PHASE: Phase = Phase::ResponseBody;
    const PARAMS: &'static [Param] = &[
        Param::new("how", Accepts::Words(&["flip", "random", "json", "gzip", "encoding"]), "flip", "turn a bit, replace a byte, break JSON syntax, damage a compressed stream behind its header, or name a wrong charset"),
        Param::new("rate", Accepts::Above(0, 1), "0.0001", "the chance of each byte, with flip and random"),
        Param::new("offset", Accepts::Size, "0B", "bytes that are spared first, with flip and random"),
        Param::new("depth", Accepts::Whole(1, 1000), "1", "how many brackets deep the syntax breaks, with json"),
    ];
    const EXAMPLE: &'static str = r#"{"how":"flip","rate":0.5}"#;

    const LAYERS: &'static [Layer] = &[Layer::Request, Layer::Stream];
    const STREAM: &'static str = "the bytes of its `direction` are damaged from when the fault meets the connection";

    type State = ();

    fn read(value: &Value) -> Result<Self, Problem> {
        let way = Self::way(&params::<Self>(value)?)?;
        let wrong_charset = || Change {
            // UTF-16 read as anything else, or anything else read as UTF-16, is never what was meant.
            edits: Arc::new([FieldEdit::Set(Field::new("content-type", "text/plain; charset=utf-16"))]),
            ..Change::default()
        };
        Ok(Self {
            way,
            change: (way == Way::Encoding).then(|| Arc::new(wrong_charset())),
        })
    }

    fn to_value(&self) -> Value {
        let (how, rate, offset, depth) = match self.way {
            Way::Flip { rate, offset } => ("flip", Some(rate), Some(offset), None),
            Way::Random { rate, offset } => ("random", Some(rate), Some(offset), None),
            Way::Json { depth } => ("json", None, None, Some(depth)),
            Way::Gzip => ("gzip", None, None, None),
            Way::Encoding => ("encoding", None, None, None),
        };
        written([
            ("how", Some(json!(how))),
            ("rate", rate.map(|rate| json!(rate))),
            ("offset", offset.map(|offset| json!(show_size(offset)))),
            ("depth", depth.map(|depth| json!(depth))),
        ])
    }

    fn check_stream(&self) -> Result<(), Problem> {
        match self.way {
            Way::Encoding => Err(Problem::at("how", "\"encoding\" is said in a response's head, and a connection has none")),
            _ => Ok(()),
        }
    }

    fn stage(&self, chance: Chance<'_>, _state: &Self::State) -> Option<Stage> {
        let (how, offset) = self.way.damage()?;
        Some(Stage::Damage(chance.damage(how, offset)))
    }

    fn inject(&self, draw: &mut Draw<'_, ()>, into: &mut Injection) {
        if let Some(change) = &self.change {
            into.change_answer(change);
        }
        let Some((how, offset)) = self.way.damage() else {
            return;
        };
        into.shape(Shape::Corrupt(Corruption::new(how, offset, draw.roll.clone())));
    }
}
