//! On what a fault acts: requests, or the bytes of connections.

use super::FaultSpec;
use crate::{
    matcher::Per,
    phase::Phase,
    read::Problem,
    stream::{Direction, Layer},
};

impl FaultSpec {
    /// Whether it acts on the requests of `http` routes.
    #[must_use]
    pub fn acts_on_requests(&self) -> bool {
        self.layer != Some(Layer::Stream) && self.fault.layers().contains(&Layer::Request)
    }

    /// Whether it is asked about each request: it acts on requests, and not at the listener before there are any.
    #[must_use]
    pub fn is_asked_about_requests(&self) -> bool {
        self.acts_on_requests() && self.fault.at_listener().is_none()
    }

    /// Whether it acts on connections: of `tcp` routes, and of `http` routes if its layer says so.
    #[must_use]
    pub fn acts_on_streams(&self) -> bool {
        self.check_stream().is_ok()
    }

    /// Which bytes of a connection it acts on.
    #[must_use]
    pub fn stream_direction(&self) -> Direction {
        self.direction.unwrap_or(Direction::Downstream)
    }

    /// Checks that it can act on an `http` route: on its requests, unless its layer says on its connections.
    ///
    /// # Errors
    /// As [`check_request`](Self::check_request) and [`check_stream`](Self::check_stream).
    pub fn check_http(&self) -> Result<(), Problem> {
        match self.layer {
            Some(Layer::Stream) => self.check_stream(),
            Some(Layer::Request) | None => self.check_request(),
        }
    }

    /// Checks that it can act on the requests of `http` routes.
    ///
    /// # Errors
    /// What does not go with that, with its place in the fault, or no place when it is the kind itself.
    pub fn check_request(&self) -> Result<(), Problem> {
        let name = self.fault.name();
        if !self.fault.layers().contains(&Layer::Request) {
            let detail = format!(
                "`{name}` acts on connections as it is written; on those of an http route with layer \"stream\""
            );
            return Err(Problem::here(detail));
        }
        if self.direction.is_some() {
            let detail = "goes with the bytes of a connection: write layer \"stream\" as well";
            return Err(Problem::at("direction", detail));
        }
        Ok(())
    }

    /// Checks that it can act on connections.
    ///
    /// # Errors
    /// What does not go with that, with its place in the fault, or no place when it is the kind itself.
    pub fn check_stream(&self) -> Result<(), Problem> {
        let name = self.fault.name();
        if !self.fault.layers().contains(&Layer::Stream) {
            return Err(Problem::here(match self.fault.condition() {
                None => format!("`{name}` acts on requests"),
                Some(condition) => format!("`{name}` acts on a request only {condition}"),
            }));
        }
        if self.layer == Some(Layer::Request) {
            let detail = "a connection of a tcp route has no requests; write \"stream\"";
            return Err(Problem::at("layer", detail));
        }
        if self.fault.phase() == Phase::Connect && self.direction.is_some() {
            let detail = "goes with bytes, and a connection is held before there are any";
            return Err(Problem::at("direction", detail));
        }
        self.fault
            .check_stream()
            .map_err(|problem| problem.under(name))?;
        if let Some(key) = self.matching.first_of_request() {
            let detail = "needs a request; a connection is matched by `client` alone";
            return Err(Problem::at(key, detail).under("match"));
        }
        match self.per {
            Per::Request | Per::Connection | Per::Client => Ok(()),
            Per::Header(_) | Per::Cookie(_) | Per::Trace => {
                let detail = "needs a request; a connection is drawn for by itself or by `client`";
                Err(Problem::at("per", detail))
            }
        }
    }

    /// Checks what is said of the layer, whatever the routes.
    pub(super) fn check_layer(&self) -> Result<(), Problem> {
        let (at, check) = match (self.layer, self.direction) {
            (Some(Layer::Stream), _) => ("layer", self.check_stream()),
            (Some(Layer::Request), None) => ("layer", self.check_request()),
            (_, Some(_)) => ("direction", self.check_stream()),
            (None, None) => return Ok(()),
        };
        check.map_err(|problem| match problem.pointer.as_str() {
            "" => Problem::at(at, problem.detail),
            _ => problem,
        })
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    #[expect(clippy::needless_pass_by_value, reason = "a json!() reads better bare")]
    fn read(value: Value) -> Result<FaultSpec, (String, String)> {
        FaultSpec::read(&value).map_err(|mut problems| {
            let first = problems.remove(0);
            (first.pointer, first.detail)
        })
    }

    #[test]
    fn left_out_a_kind_acts_in_every_layer_it_has() {
        let both = read(json!({ "route": "*", "latency": "1s" })).unwrap();
        let requests = read(json!({ "route": "*", "abort": 503 })).unwrap();
        let one = read(json!({ "route": "*", "latency": "1s", "layer": "stream" })).unwrap();

        let acts = |spec: &FaultSpec| (spec.acts_on_requests(), spec.acts_on_streams());
        assert_eq!(acts(&both), (true, true));
        assert_eq!(acts(&requests), (true, false));
        assert_eq!(acts(&one), (false, true));
        assert_eq!(both.stream_direction(), Direction::Downstream);
    }

    #[test]
    fn what_a_stream_cannot_do_is_refused_with_its_place_when_a_stream_is_asked_for() {
        for (key, value, pointer) in [
            ("abort", json!(503), "/layer"),
            (
                "latency",
                json!({ "value": "1s", "mode": "floor" }),
                "/latency/mode",
            ),
            (
                "latency",
                json!({ "value": "1s", "side": "response" }),
                "/latency/side",
            ),
            ("reset", json!({ "at": "response_head" }), "/reset/at"),
        ] {
            let wrong = read(json!({ "route": "db", key: value, "layer": "stream" }));
            assert_eq!(wrong.unwrap_err().0, pointer, "{key}");
        }
        for (key, value, pointer) in [
            ("match", json!({ "path": "/" }), "/match/path"),
            ("per", json!("trace"), "/per"),
            ("layer", json!("request"), "/layer"),
        ] {
            let mut wrong = json!({ "route": "db", "reset": {}, "direction": "upstream" });
            wrong[key] = value;
            assert_eq!(read(wrong).unwrap_err().0, pointer, "{key}");
        }
        let misspelt = read(json!({ "route": "db", "reset": {}, "direction": "upsteam" }));
        assert_eq!(
            misspelt.unwrap_err().1,
            "unknown direction `upsteam`; did you mean `upstream`?"
        );
    }

    #[test]
    fn layer_and_direction_read_back_as_they_were_written() {
        let fault =
            json!({ "route": "db", "reset": {}, "layer": "stream", "direction": "upstream" });
        let spec = FaultSpec::read(&fault).unwrap();

        let written = spec.to_value();

        assert_eq!(
            (&written["layer"], &written["direction"]),
            (&json!("stream"), &json!("upstream"))
        );
        assert_eq!(FaultSpec::read(&written), Ok(spec));
    }
}
