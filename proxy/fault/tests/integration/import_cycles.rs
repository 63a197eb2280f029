//! No files import each other in a ring of more than two (a law of ARCHITECTURE.md).
//!
//! The graph is read from the sources: every `use` and every path in the code that begins with `crate`, `self`, `super`,
//! a child module or an imported name. A re-export counts as the file that defines the name, wherever it is taken from.
//! Tests, comments and texts do not count.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::{Path, PathBuf},
};

/// The source folders that are held to the law, from this crate's own folder. `../src` (the proxy) belongs here too, as
/// soon as its files are split.
const FOLDERS: &[&str] = &["src"];

/// The most files of a ring.
const RING_MAX: usize = 2;

#[test]
fn no_ring_of_imports_is_longer_than_two_files() {
    for folder in FOLDERS {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join(folder);
        let sources = Sources::read(&folder);
        assert!(sources.0.len() > 10, "{} has no sources", folder.display());

        let rings = sources.rings();

        assert!(
            rings.is_empty(),
            "{}:\n{}",
            folder.display(),
            rings.join("\n")
        );
    }
}

#[test]
fn a_ring_through_a_re_export_and_a_parent_is_found() {
    let ring = [
        (
            "a",
            "mod inner;\npub use self::inner::Inner;\nuse crate::b::B;",
        ),
        (
            "a/inner",
            "pub struct Inner;\nfn c() -> crate::c::C { super::made_in_a() }",
        ),
        ("b", "use crate::a::Inner;\npub struct B;"),
        ("c", "pub struct C;\nfn f() { let _ = crate::b::B; }"),
        ("lib", "mod a;\nmod b;\nmod c;\npub use a::Inner;"),
    ];

    let found = Sources::of(ring).rings();

    assert_eq!(found.len(), 1);
    for file in ["a.rs", "a/inner.rs", "b.rs", "c.rs"] {
        assert!(found[0].contains(file), "{found:?}");
    }
    assert!(!found[0].contains("lib.rs"), "{found:?}");
}

#[test]
fn a_pair_a_name_of_the_parent_that_is_defined_elsewhere_and_what_is_no_code_are_no_ring() {
    let fine = [
        (
            "a",
            "mod inner;\nuse crate::b::{self, Y as Why};\npub use inner::Inner;\nfn f(_: b::Z, _: Why) {}",
        ),
        // `X` is defined in `b`, whatever it is taken from.
        ("a/inner", "use super::Why;\npub struct Inner;"),
        (
            "b",
            "// use crate::a::Inner;\n/* crate::a::Inner */\npub struct Y;\npub struct Z(&'static str);\n\
            fn t() { let _ = (\"crate::a\", r#\"crate::a\"#, 'c', '\\''); }\nfn l<'a>(_: &'a u8) -> impl Fn() + use<'a> { || () }\n\
            #[cfg(test)]\n#[expect(clippy::x, reason = \"{\")]\nmod tests { use crate::a::Inner; }",
        ),
        ("d", "use crate::e::E;\npub struct D;"),
        ("e", "use crate::d::D;\npub struct E;"),
    ];

    assert_eq!(Sources::of(fine).rings(), Vec::<String>::new());
}

/// A module's path inside of its crate; empty for the root.
type ModulePath = Vec<String>;

/// All files of a crate, by module.
struct Sources(BTreeMap<ModulePath, Source>);

/// What one file names.
#[derive(Default)]
struct Source {
    /// Names that `use` brings in, with their paths; `*` for all of a module.
    imports: Vec<(String, Vec<String>)>,
    /// Paths of at least two segments elsewhere in the code.
    paths: Vec<Vec<String>>,
}

impl Sources {
    fn read(folder: &Path) -> Self {
        let mut files = BTreeMap::new();
        let mut folders = vec![folder.to_owned()];
        while let Some(next) = folders.pop() {
            for entry in fs::read_dir(&next).unwrap() {
                let path: PathBuf = entry.unwrap().path();
                let stem = path.file_stem().unwrap().to_str().unwrap();
                if stem == "tests" {
                    continue;
                }
                if path.is_dir() {
                    folders.push(path);
                } else if path.extension().is_some_and(|end| end == "rs") {
                    let inside = path.strip_prefix(folder).unwrap().with_extension("");
                    let module = module(inside.to_str().unwrap());
                    files.insert(module, Source::parse(&fs::read_to_string(&path).unwrap()));
                }
            }
        }
        Self(files)
    }

    fn of<const N: usize>(files: [(&str, &str); N]) -> Self {
        Self(
            files
                .map(|(path, text)| (module(path), Source::parse(text)))
                .into(),
        )
    }

    /// One line for each ring that is too long: its files, and how they name each other.
    fn rings(&self) -> Vec<String> {
        let edges = self.edges();
        let reached: BTreeMap<&ModulePath, BTreeSet<&ModulePath>> = edges
            .keys()
            .map(|from| (from, reach(from, &edges)))
            .collect();
        let mut done = BTreeSet::new();
        let mut rings = Vec::new();
        for (from, there) in &reached {
            let back = |to: &&&ModulePath| reached.get(**to).is_some_and(|all| all.contains(from));
            let ring: BTreeSet<&ModulePath> = there.iter().filter(back).copied().collect();
            if ring.len() > RING_MAX && done.insert(ring.clone()) {
                let inside = |from: &&ModulePath| {
                    let to = edges[*from]
                        .intersection(&ring.iter().map(|&to| to.clone()).collect())
                        .map(file)
                        .collect::<Vec<_>>();
                    format!("{} -> {}", file(from), to.join(", "))
                };
                let lines: Vec<String> = ring.iter().map(inside).collect();
                rings.push(format!(
                    "a ring of {} files:\n  {}",
                    ring.len(),
                    lines.join("\n  ")
                ));
            }
        }
        rings
    }

    /// Which files each file names, itself aside.
    fn edges(&self) -> BTreeMap<ModulePath, BTreeSet<ModulePath>> {
        let named = |(from, source): (&ModulePath, &Source)| {
            let imported = source.imports.iter().map(|(_, path)| path);
            let all = imported.chain(&source.paths);
            let mut to: BTreeSet<ModulePath> = all
                .filter_map(|path| self.defining(from, path, 0))
                .collect();
            to.remove(from);
            (from.clone(), to)
        };
        self.0.iter().map(named).collect()
    }

    /// The file in which a path, seen from `from`, is defined; `None` when that is another crate.
    fn defining(&self, from: &ModulePath, path: &[String], depth: usize) -> Option<ModulePath> {
        if depth > 16 {
            return None; // An import of another crate that has the crate's own name.
        }
        let (first, mut rest) = path.split_first()?;
        let mut at = from.clone();
        match first.as_str() {
            "crate" => at.clear(),
            "self" => {}
            "super" => {
                at.pop()?;
            }
            name => match self.child(from, name) {
                Some(child) => at = child,
                None => return self.imported(from, name, rest, depth),
            },
        }
        while let Some((next, behind)) = rest.split_first() {
            match self.child(&at, next) {
                _ if next == "super" => {
                    at.pop()?;
                }
                Some(child) => at = child,
                None if next == "self" || next == "*" => return Some(at),
                None => return self.imported(&at, next, behind, depth).or(Some(at)),
            }
            rest = behind;
        }
        Some(at)
    }

    /// The file that defines what `module` imports as `name`.
    fn imported(
        &self,
        module: &ModulePath,
        name: &str,
        rest: &[String],
        depth: usize,
    ) -> Option<ModulePath> {
        let imports = &self.0.get(module)?.imports;
        let (_, path) = imports.iter().find(|(alias, _)| alias == name)?;
        let whole: Vec<String> = path.iter().chain(rest).cloned().collect();
        self.defining(module, &whole, depth + 1)
    }

    fn child(&self, module: &ModulePath, name: &str) -> Option<ModulePath> {
        let mut child = module.clone();
        child.push(name.to_owned());
        self.0.contains_key(&child).then_some(child)
    }
}

fn reach<'e>(
    from: &'e ModulePath,
    edges: &'e BTreeMap<ModulePath, BTreeSet<ModulePath>>,
) -> BTreeSet<&'e ModulePath> {
    let mut reached = BTreeSet::new();
    let mut next = vec![from];
    while let Some(at) = next.pop() {
        for to in edges.get(at).into_iter().flatten() {
            if reached.insert(to) {
                next.push(to);
            }
        }
    }
    reached
}

fn module(path: &str) -> ModulePath {
    match path {
        "lib" | "main" => Vec::new(),
        path => path.split('/').map(str::to_owned).collect(),
    }
}

fn file(module: &ModulePath) -> String {
    match module.as_slice() {
        [] => "lib.rs".to_owned(),
        names => format!("{}.rs", names.join("/")),
    }
}

impl Source {
    fn parse(text: &str) -> Self {
        let tokens = without_tests(&tokens(text));
        let mut source = Self::default();
        let mut at = 0;
        while at < tokens.len() {
            // `use<'a>` names what a return type captures.
            if tokens[at] == "use" && tokens.get(at + 1).is_some_and(|next| next != "<") {
                at = source.take_use(&tokens, at + 1, &[]);
            } else if is_word(&tokens[at]) {
                let mut path = vec![tokens[at].clone()];
                while tokens.get(at + 1).is_some_and(|token| token == "::")
                    && tokens.get(at + 2).is_some_and(|token| is_word(token))
                {
                    path.push(tokens[at + 2].clone());
                    at += 2;
                }
                if path.len() > 1 {
                    source.paths.push(path);
                }
                at += 1;
            } else {
                at += 1;
            }
        }
        source
    }

    /// Takes one tree of a `use`, and gives the place behind it.
    fn take_use(&mut self, tokens: &[String], mut at: usize, prefix: &[String]) -> usize {
        let mut path = prefix.to_vec();
        loop {
            match tokens.get(at).map_or(";", String::as_str) {
                "::" => at += 1,
                "{" => {
                    at += 1;
                    while tokens.get(at).is_some_and(|token| token != "}") {
                        let next = self.take_use(tokens, at, &path);
                        // What is no name, such as a `$` of a macro, and a comma are passed over.
                        let is_passed_over = next == at || tokens[next] == ",";
                        at = next + usize::from(is_passed_over);
                    }
                    return at + 1;
                }
                "as" => {
                    self.imports.push((tokens[at + 1].clone(), path));
                    return at + 2;
                }
                word if is_word(word) || word == "*" => {
                    path.push(word.to_owned());
                    at += 1;
                }
                _ => {
                    let mut names = path.iter().rev();
                    let name = names
                        .find(|name| *name != "self")
                        .cloned()
                        .unwrap_or_default();
                    self.imports.push((name, path));
                    return at;
                }
            }
        }
    }
}

fn is_word(token: &str) -> bool {
    token.starts_with(|c: char| c.is_alphabetic() || c == '_')
}

/// Words, `::` and single marks; no comments, texts, characters or lifetimes.
fn tokens(text: &str) -> Vec<String> {
    let mut tokens = Vec::new();
    let mut rest = text;
    while let Some(first) = rest.chars().next() {
        let taken = if rest.starts_with("//") {
            rest.find('\n').unwrap_or(rest.len())
        } else if rest.starts_with("/*") {
            rest.find("*/").map_or(rest.len(), |end| end + 2)
        } else if let Some(length) = raw_text(rest) {
            length
        } else if first == '"' {
            quoted(rest, '"')
        } else if first == '\'' {
            // A lifetime has no second quote behind its first character.
            let second = rest.chars().nth(2);
            if rest[1..].starts_with('\\') || second == Some('\'') {
                quoted(rest, '\'')
            } else {
                1 + word_length(&rest[1..])
            }
        } else if rest.starts_with("::") {
            tokens.push("::".to_owned());
            2
        } else if is_word(rest) {
            let length = word_length(rest);
            tokens.push(rest[..length].to_owned());
            length
        } else {
            if !first.is_whitespace() {
                tokens.push(first.to_string());
            }
            first.len_utf8()
        };
        rest = &rest[taken..];
    }
    tokens
}

fn word_length(text: &str) -> usize {
    text.find(|c: char| !c.is_alphanumeric() && c != '_')
        .unwrap_or(text.len())
}

/// The length of a text in quotes with escapes.
fn quoted(text: &str, quote: char) -> usize {
    let mut escaped = false;
    for (at, c) in text.char_indices().skip(1) {
        match c {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            c if c == quote => return at + 1,
            _ => {}
        }
    }
    text.len()
}

/// The length of a raw text such as `r#"…"#`.
fn raw_text(text: &str) -> Option<usize> {
    let behind = text.strip_prefix("br").or_else(|| text.strip_prefix('r'))?;
    let marks = behind.len() - behind.trim_start_matches('#').len();
    let content = behind[marks..].strip_prefix('"')?;
    let end = format!("\"{}", "#".repeat(marks));
    let length = content
        .find(&end)
        .map_or(content.len(), |at| at + end.len());
    Some(text.len() - content.len() + length)
}

/// Leaves out what is compiled for tests only: the item behind `#[cfg(test)]`.
fn without_tests(tokens: &[String]) -> Vec<String> {
    const ONLY_TESTS: [&str; 7] = ["#", "[", "cfg", "(", "test", ")", "]"];
    let mut kept = Vec::new();
    let mut at = 0;
    while at < tokens.len() {
        if !tokens[at..]
            .iter()
            .map(String::as_str)
            .take(7)
            .eq(ONLY_TESTS)
        {
            kept.push(tokens[at].clone());
            at += 1;
            continue;
        }
        at += ONLY_TESTS.len();
        // To the end of the item: a `;`, or the end of its first block.
        let mut depth = 0_usize;
        while let Some(token) = tokens.get(at) {
            at += 1;
            match token.as_str() {
                "{" | "(" | "[" => depth += 1,
                ")" | "]" => depth -= 1,
                "}" if depth == 1 => break,
                "}" => depth -= 1,
                ";" if depth == 0 => break,
                _ => {}
            }
        }
    }
    kept
}
