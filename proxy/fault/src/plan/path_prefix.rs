//! The beginning of a path, compared in one step.

use crate::matcher::MatchSpec;

/// What every path begins with that a fault's `match` fits, as far as it fits into 16 bytes.
///
/// A route may have a thousand faults of which a request meets none; this tells so without looking at them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct PathPrefix {
    bytes: u128,
    mask: u128,
}

/// The first 16 bytes of a request's path.
#[derive(Debug, Clone, Copy)]
pub(super) struct PathStart(u128);

const WIDTH: usize = 16;

fn pack(bytes: &[u8]) -> u128 {
    let mut packed = [0; WIDTH];
    let kept = bytes.len().min(WIDTH);
    packed[..kept].copy_from_slice(&bytes[..kept]);
    u128::from_le_bytes(packed)
}

impl PathStart {
    pub(super) fn of(path: &str) -> Self {
        Self(pack(path.as_bytes()))
    }
}

impl PathPrefix {
    pub(super) fn of(matching: &MatchSpec) -> Self {
        let prefix = matching.path_prefix();
        Self {
            bytes: pack(prefix),
            mask: pack(&[0xff; WIDTH][..prefix.len().min(WIDTH)]),
        }
    }

    /// Whether a path may fit. A shorter path than the beginning does not: no path has a zero byte.
    pub(super) fn may_fit(self, path: PathStart) -> bool {
        path.0 & self.mask == self.bytes
    }
}

#[cfg(test)]
mod tests {
    use http::HeaderMap;
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;
    use crate::subject::Subject;

    proptest! {
        #[test]
        fn what_fits_is_never_passed_over(
            patterns in prop::collection::vec("/[ab*/]{0,20}", 1..3),
            path in "/[ab/]{0,24}",
        ) {
            let matching = MatchSpec::read(&json!({ "path": patterns })).unwrap();
            let fits = matching.matches(&Subject {
                route: "web",
                method: "GET",
                path: &path,
                query: None,
                host: Some("h"),
                fields: &HeaderMap::new(),
                peer: ([127, 0, 0, 1], 1).into(),
                connection: 0,
                request: 0,
            });

            let may = PathPrefix::of(&matching).may_fit(PathStart::of(&path));

            prop_assert!(may || !fits);
        }
    }

    #[test]
    fn a_literal_beginning_tells_paths_apart_and_an_expression_none() {
        let of = |path: &str| PathPrefix::of(&MatchSpec::read(&json!({ "path": path })).unwrap());
        let may = |pattern: &str, path: &str| of(pattern).may_fit(PathStart::of(path));

        assert!(may("/v1/*", "/v1/a"));
        assert!(!may("/v1/*", "/v2/a"));
        assert!(!may("/v1/*", "/v"));
        assert!(may("/a/long/path/of/more", "/a/long/path/of/less"));
        assert!(may("re:^/v1", "/v2"));
        assert!(may("*", "/"));
    }
}
