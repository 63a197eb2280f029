//! `refuse`: nobody listens.

use serde_json::{Value, json};

use super::{AtListener, CommonFields, Draw, FaultKind, Param, Phase, params};
use crate::{injection::Injection, read::Problem, stream::Layer};

/// Closes the listening sockets of a route: new connections are refused by the kernel, as if no process were
/// there. Open connections stay. When the fault ends the route listens again at the same address.
///
/// As no request is ever seen, it goes with nothing that looks at requests. The kernel tells nobody of the connections
/// it refuses, so `matched` and `injected` count how often a route stopped listening for it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refuse;

impl FaultKind for Refuse {
    const NAME: &'static str = "refuse";
    const SUMMARY: &'static str = "refuses new connections; open ones stay";
    const PHASE: Phase = Phase::Connect;
    const PARAMS: &'static [Param] = &[];
    const EXAMPLE: &'static str = "{}";

    const LAYERS: &'static [Layer] = &[Layer::Request, Layer::Stream];

    type State = ();

    fn read(value: &Value) -> Result<Self, Problem> {
        params::<Self>(value).map(|_| Self)
    }

    fn to_value(&self) -> Value {
        json!({})
    }

    fn at_listener(&self) -> Option<AtListener> {
        Some(AtListener::Refuse)
    }

    fn check(&self, common: &CommonFields<'_>) -> Result<(), Problem> {
        common.check_listener("are refused", "reset")
    }

    /// The listeners do it; there is no request.
    fn inject(&self, _draw: &mut Draw<'_, ()>, _into: &mut Injection) {}
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::spec::FaultSpec;

    #[test]
    fn what_looks_at_requests_is_refused_with_its_place() {
        for (key, value) in [
            ("percent", json!(50)),
            ("match", json!({ "path": "/" })),
            ("per", json!("client")),
            ("skip_first", json!(1)),
            ("limit", json!(1)),
        ] {
            let mut spec = json!({ "route": "web", "refuse": {} });
            spec[key] = value;
            let problems = FaultSpec::read(&spec).unwrap_err();
            assert_eq!(problems[0].pointer, format!("/{key}"));
        }
    }
}
