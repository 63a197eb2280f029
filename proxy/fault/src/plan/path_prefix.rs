//! The beginning of a path, compared in one step, and faults found by it.

use smallvec::SmallVec;

use crate::matcher::MatchSpec;

/// What every path begins with that a fault's `match` fits, as far as it fits into 16 bytes.
///
/// A route may have a thousand faults of which a request meets none; this tells so without looking at them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct PathPrefix {
    /// Of the bytes that are there. There is one for each length.
    mask: u128,
    bytes: u128,
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

    /// The beginning of this path that is as long. A shorter path has none: no path has a zero byte.
    fn as_long_of(self, path: PathStart) -> Self {
        Self {
            mask: self.mask,
            bytes: path.0 & self.mask,
        }
    }
}

/// Beginnings of paths, each with a number, to be found without looking at all of them.
#[derive(Debug, Default)]
pub(super) struct PathIndex {
    /// Sorted by length, then bytes, then number.
    prefixes: Vec<(PathPrefix, usize)>,
}

impl PathIndex {
    /// Of these, which are numbered in their order.
    pub(super) fn of(prefixes: impl Iterator<Item = PathPrefix>) -> Self {
        let mut prefixes: Vec<_> = prefixes.zip(0..).collect();
        prefixes.sort_unstable();
        Self { prefixes }
    }

    /// The numbers of those with which the path begins, in order: one search for each length that there is.
    pub(super) fn fitting(&self, path: PathStart) -> SmallVec<[usize; 8]> {
        let mut fitting = SmallVec::new();
        let mut rest = &self.prefixes[..];
        while let Some((shortest, _)) = rest.first() {
            let wanted = shortest.as_long_of(path);
            let first = rest.partition_point(|(prefix, _)| *prefix < wanted);
            let found = rest[first..].iter();
            let found = found.take_while(|(prefix, _)| *prefix == wanted);
            fitting.extend(found.map(|(_, number)| *number));
            let longer = rest.partition_point(|(prefix, _)| prefix.mask <= wanted.mask);
            rest = &rest[longer..];
        }
        fitting.sort_unstable();
        fitting
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
                is_http2: false,
            });

            let prefix = PathPrefix::of(&matching);
            let may = prefix.as_long_of(PathStart::of(&path)) == prefix;

            prop_assert!(may || !fits);
        }

        #[test]
        fn all_that_fit_are_found_in_order(
            patterns in prop::collection::vec("/[ab*/]{0,20}", 0..40),
            path in "/[ab/]{0,24}",
        ) {
            let prefixes: Vec<PathPrefix> = patterns
                .iter()
                .map(|pattern| PathPrefix::of(&MatchSpec::read(&json!({ "path": pattern })).unwrap()))
                .collect();
            let path = PathStart::of(&path);
            let fit = |number: &usize| prefixes[*number].as_long_of(path) == prefixes[*number];
            let expected: Vec<usize> = (0..prefixes.len()).filter(fit).collect();

            let found = PathIndex::of(prefixes.iter().copied()).fitting(path);

            prop_assert_eq!(found.as_slice(), expected);
        }
    }

    #[test]
    fn a_literal_beginning_tells_paths_apart_and_an_expression_none() {
        let of = |path: &str| PathPrefix::of(&MatchSpec::read(&json!({ "path": path })).unwrap());
        let may = |pattern, path| {
            !PathIndex::of([of(pattern)].into_iter())
                .fitting(PathStart::of(path))
                .is_empty()
        };

        assert!(may("/v1/*", "/v1/a"));
        assert!(!may("/v1/*", "/v2/a"));
        assert!(!may("/v1/*", "/v"));
        assert!(may("/a/long/path/of/more", "/a/long/path/of/less"));
        assert!(may("re:^/v1", "/v2"));
        assert!(may("*", "/"));
    }
}
