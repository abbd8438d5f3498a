//! The order of the modules, and the rules that go with it, as docs/architecture.md tells them.
//!
//! The table in the document is the only one: these tests read it, and every `use` and every path in `src`. What only
//! tests import does not count.

#![allow(clippy::string_slice, reason = "cut where something was found")]

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::path::{Path, PathBuf};

/// A module below `crate`, as its names.
type Module = Vec<String>;

/// What stands in `src`.
#[derive(Clone, Default)]
struct Sources(BTreeMap<Module, Source>);

#[derive(Clone)]
struct Source {
    file: String,
    /// Without comments, texts and tests.
    code: String,
    imports: Vec<Import>,
}

/// A path that a module names.
#[derive(Clone)]
struct Import {
    path: Vec<String>,
    /// The name under which it is passed on, if it is.
    passed_on: Option<String>,
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn rust_files(folder: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            files.extend(rust_files(&path));
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            files.push(path);
        }
    }
    files.sort();
    files
}

impl Sources {
    fn read() -> Self {
        let src = root().join("src");
        let mut sources = Self::default();
        for path in rust_files(&src) {
            let file = path.strip_prefix(&src).unwrap().to_string_lossy().replace('\\', "/");
            sources.add(&file, &std::fs::read_to_string(&path).unwrap());
        }
        // Files that are for tests alone.
        for path in rust_files(&src) {
            let text = std::fs::read_to_string(&path).unwrap().replace('\r', "");
            let file = path.strip_prefix(&src).unwrap().with_extension("");
            let mut module: Module = file.iter().map(|part| part.to_string_lossy().into_owned()).collect();
            module.retain(|part| part != "mod" && part != "lib");
            for rest in text.split("#[cfg(test)]\nmod ").skip(1) {
                let name = rest.split(|c: char| !c.is_alphanumeric() && c != '_').next().unwrap_or_default();
                let of_tests = [module.as_slice(), &[name.to_owned()]].concat();
                sources.0.retain(|other, _| !other.starts_with(&of_tests));
            }
        }
        assert!(sources.0.len() > 100, "{}", sources.0.len());
        sources
    }

    fn add(&mut self, file: &str, text: &str) {
        let stem = file.strip_suffix(".rs").unwrap();
        let stem = stem.strip_suffix("/mod").unwrap_or(stem);
        if stem == "lib" || stem == "main" || stem == "tests" || stem.ends_with("/tests") {
            return;
        }
        let module = stem.split('/').map(str::to_owned).collect();
        let code = code(text);
        let imports = imports(&code);
        self.0.insert(module, Source { file: file.to_owned(), code, imports });
    }

    /// The modules that a module imports from, passed-on names followed to where they are.
    fn imports(&self, module: &Module) -> BTreeSet<Module> {
        let below = self.paths_below(module);
        let outward = self.0[module].imports.iter().chain(&below).filter_map(|import| {
            let target = self.resolve(module, &import.path, 0)?;
            // Passing on what lies below is what the file of a folder is for.
            (import.passed_on.is_none() || !target.starts_with(module)).then_some(target)
        });
        outward.filter(|target| target != module).collect()
    }

    /// Paths that begin with the name of a module below, as `folder::Folder` in the file of `destination`.
    fn paths_below(&self, module: &Module) -> Vec<Import> {
        let (_, code) = statements(&self.0[module].code);
        let below = self.0.keys().filter(|other| other.len() == module.len() + 1 && other.starts_with(module));
        let names = below.filter_map(|other| other.last()).filter(|name| {
            let path = format!("{name}::");
            let mut written = code.match_indices(&path);
            written.any(|(at, _)| !continues(&code, at))
        });
        names.map(|name| Import { path: vec!["self".to_owned(), name.clone()], passed_on: None }).collect()
    }

    fn resolve(&self, from: &Module, path: &[String], depth: usize) -> Option<Module> {
        assert!(depth < 20, "names are passed on in a circle: {path:?}");
        let (mut at, mut rest) = match path.first()?.as_str() {
            "crate" => (Module::new(), &path[1..]),
            "self" => (from.clone(), &path[1..]),
            _ => (from.clone(), path),
        };
        while rest.first().is_some_and(|part| part == "super") {
            at.pop();
            rest = &rest[1..];
        }
        let relative = !matches!(path[0].as_str(), "crate" | "self" | "super");
        let mut deeper = false;
        while let Some(part) = rest.first() {
            let mut below = at.clone();
            below.push(part.clone());
            if !self.0.contains_key(&below) {
                break;
            }
            (at, rest, deeper) = (below, &rest[1..], true);
        }
        if relative && !deeper {
            // Another crate, or something that was imported by a path of its own.
            return None;
        }
        let source = self.0.get(&at)?;
        if let Some(name) = rest.first()
            && let Some(import) = source.imports.iter().find(|import| import.passed_on.as_ref() == Some(name))
            && let Some(further) = self.resolve(&at, &import.path, depth + 1)
        {
            return Some(further);
        }
        Some(at)
    }

    /// Modules that import each other, directly or by way of others.
    fn circles(&self) -> Vec<Vec<String>> {
        let edges: BTreeMap<&Module, BTreeSet<Module>> =
            self.0.keys().map(|module| (module, self.imports(module))).collect();
        let reach = |from: &Module| {
            let mut seen = BTreeSet::new();
            let mut next: Vec<&Module> = edges[from].iter().collect();
            while let Some(module) = next.pop() {
                if seen.insert(module.clone()) {
                    next.extend(edges[module].iter());
                }
            }
            seen
        };
        let reached: BTreeMap<&Module, BTreeSet<Module>> =
            self.0.keys().map(|module| (module, reach(module))).collect();
        let mut circles: BTreeSet<Vec<String>> = BTreeSet::new();
        for (module, reached_from_it) in &reached {
            if reached_from_it.contains(*module) {
                let with = reached_from_it.iter().filter(|other| reached[other].contains(*module));
                circles.insert(with.map(|other| self.0[other].file.clone()).collect());
            }
        }
        circles.into_iter().collect()
    }

    /// Imports that go up, or sideways on one line of the table.
    fn upward(&self, layers: &[Vec<String>]) -> Vec<String> {
        let line = |module: &str| layers.iter().position(|line| line.iter().any(|name| name == module));
        let mut wrong = BTreeSet::new();
        for (module, source) in &self.0 {
            let Some(own) = line(&module[0]) else {
                wrong.insert(format!("{} is not in the table", module[0]));
                continue;
            };
            for target in self.imports(module).iter().filter(|target| target[0] != module[0]) {
                if line(&target[0]).is_none_or(|other| other >= own) {
                    wrong.insert(format!("{} imports from {}", source.file, target.join("::")));
                }
            }
        }
        wrong.into_iter().collect()
    }
}

/// The text without comments, texts and what is for tests alone.
fn code(text: &str) -> String {
    let text = text.split("\n#[cfg(test)]\nmod ").next().unwrap_or_default();
    let mut out = String::new();
    let mut rest = text;
    while let Some(c) = rest.chars().next() {
        if rest.starts_with("//") {
            rest = rest.find('\n').map_or("", |end| &rest[end..]);
        } else if let Some(raw) = rest.strip_prefix("r#\"") {
            rest = raw.split_once("\"#").map_or("", |(_, after)| after);
        } else if let Some(raw) = rest.strip_prefix("r\"") {
            rest = raw.split_once('"').map_or("", |(_, after)| after);
        } else if c == '"' {
            let mut escaped = false;
            let end = rest[1..].find(|c: char| {
                let ends = c == '"' && !escaped;
                escaped = c == '\\' && !escaped;
                ends
            });
            rest = end.map_or("", |end| &rest[end + 2..]);
            out.push_str("\"\"");
        } else if rest.starts_with("'\"'") || rest.starts_with("b'\"'") || rest.starts_with("'\\\"'") {
            rest = &rest[rest.find('\'').unwrap() + 1..];
            rest = rest.split_once('\'').map_or("", |(_, after)| after);
        } else {
            out.push(c);
            rest = &rest[c.len_utf8()..];
        }
    }
    out
}

/// Is what begins here part of a longer name or path?
fn continues(code: &str, at: usize) -> bool {
    code[..at].chars().next_back().is_some_and(|before| before.is_alphanumeric() || matches!(before, '_' | ':'))
}

/// What every `use` names, and the code without them.
fn statements(code: &str) -> (Vec<Import>, String) {
    let (mut found, mut others) = (Vec::new(), String::new());
    let mut lines = code.lines();
    while let Some(line) = lines.next() {
        let start = line.trim_start();
        let (public, body) = match start.strip_prefix("pub") {
            Some(rest) => {
                let to = rest.strip_prefix('(').and_then(|rest| rest.split_once(')'));
                (true, to.map_or(rest, |(_, rest)| rest).trim_start())
            }
            None => (false, start),
        };
        let Some(first) = body.strip_prefix("use ") else {
            others.push_str(line);
            others.push('\n');
            continue;
        };
        let mut statement = first.to_owned();
        while !statement.contains(';') {
            statement.push_str(lines.next().expect("a use ends"));
        }
        let statement = statement.split(';').next().unwrap_or_default().replace(char::is_whitespace, " ");
        expand(&[], &statement, public, &mut found);
    }
    (found, others)
}

fn imports(code: &str) -> Vec<Import> {
    let (mut found, others) = statements(code);
    // Paths that are written out where they are used.
    for keyword in ["crate::", "super::", "self::"] {
        for (at, _) in others.match_indices(keyword).filter(|(at, _)| !continues(&others, *at)) {
            let path: String =
                others[at..].chars().take_while(|c| c.is_alphanumeric() || *c == '_' || *c == ':').collect();
            let path = path.split("::").filter(|part| !part.is_empty()).map(str::to_owned).collect();
            found.push(Import { path, passed_on: None });
        }
    }
    found
}

fn expand(before: &[String], tree: &str, public: bool, found: &mut Vec<Import>) {
    let tree = tree.trim();
    if let Some((head, group)) = tree.split_once('{') {
        let mut path = before.to_vec();
        path.extend(head.split("::").map(|part| part.trim().to_owned()).filter(|part| !part.is_empty()));
        let group = group.trim_end().strip_suffix('}').expect("a group ends");
        let (mut depth, mut start) = (0, 0);
        for (at, c) in group.char_indices().chain([(group.len(), ',')]) {
            match c {
                '{' => depth += 1,
                '}' => depth -= 1,
                ',' if depth == 0 => {
                    expand(&path, &group[start..at], public, found);
                    start = (at + 1).min(group.len());
                }
                _ => {}
            }
        }
        return;
    }
    if tree.is_empty() {
        return;
    }
    let (tree, alias) = tree.split_once(" as ").map_or((tree, None), |(tree, alias)| (tree, Some(alias.trim())));
    let mut path = before.to_vec();
    path.extend(tree.split("::").map(|part| part.trim().to_owned()));
    if path.last().is_some_and(|last| last == "self" || last == "*") && path.len() > 1 {
        path.pop();
    }
    let name = alias.map_or_else(|| path.last().cloned().unwrap_or_default(), str::to_owned);
    found.push(Import { path, passed_on: public.then_some(name) });
}

fn document() -> String {
    std::fs::read_to_string(root().join("docs").join("architecture.md")).unwrap().replace('\r', "")
}

/// The lines of a block of the document.
fn block(language: &str) -> Vec<String> {
    let document = document();
    let (_, table) = document.split_once(&format!("```{language}\n")).expect("the block is there");
    let (table, _) = table.split_once("```").unwrap();
    table.lines().map(str::to_owned).collect()
}

/// The table of the document, lowest first: the words of each line before two spaces, without its number.
fn layers() -> Vec<Vec<String>> {
    let names =
        |line: &String| line.split("  ").next().unwrap_or_default().split_whitespace().map(str::to_owned).collect();
    block("layers").iter().map(names).collect()
}

fn list(lines: &[impl std::fmt::Debug]) -> String {
    lines.iter().fold(String::new(), |mut text, line| {
        writeln!(text, "  {line:?}").unwrap();
        text
    })
}

#[test]
fn every_module_imports_only_from_layers_below_its_own() {
    let sources = Sources::read();
    let layers = layers();
    let upward = sources.upward(&layers);
    assert!(upward.is_empty(), "the order is in docs/architecture.md:\n{}", list(&upward));
}

#[test]
fn no_modules_import_each_other() {
    let circles = Sources::read().circles();
    assert!(circles.is_empty(), "{}", list(&circles));
}

/// Longer files hold more than one subject.
const MOST_LINES: usize = 500;

/// How many lines a file has, without its tests.
fn lines_of(text: &str) -> usize {
    let mut end = text.len();
    for mark in ["\n#[cfg(test)]\nmod ", "\n#[cfg(test)]\npub(super) mod ", "\n#[cfg(test)]\npub(crate) mod "] {
        // A module of another file has no braces.
        let is_inside = |at: &usize| text[at + mark.len()..].lines().next().is_some_and(|line| line.ends_with('{'));
        let inside = text.match_indices(mark).map(|(at, _)| at).find(is_inside);
        end = end.min(inside.unwrap_or(end));
    }
    text[..end].lines().count()
}

#[test]
fn no_file_has_more_than_one_subject() {
    let sources = Sources::read();
    let long: Vec<String> = sources
        .0
        .values()
        .map(|source| {
            (lines_of(&std::fs::read_to_string(root().join("src").join(&source.file)).unwrap()), &source.file)
        })
        .filter(|(lines, _)| *lines > MOST_LINES)
        .map(|(lines, file)| format!("{file}: {lines} lines"))
        .collect();
    assert!(long.is_empty(), "more than {MOST_LINES} lines without tests, split them by subject:\n{}", list(&long));
    assert_eq!(lines_of("a\nb\n#[cfg(test)]\nmod other;\nc\n#[cfg(test)]\nmod tests {\n}\n"), 5);
}

#[test]
fn imports_that_are_turned_round_are_found() {
    let sources = Sources::read();
    let layers = layers();
    for (file, line, words) in [
        ("clock.rs", "use crate::cli::Exit;", "clock.rs imports from cli"),
        ("name.rs", "use crate::{cancel, engine::run};", "name.rs imports from engine::run"),
        ("retention/mod.rs", "fn f() { crate::destination::open(); }", "retention/mod.rs imports from destination"),
    ] {
        let mut turned = sources.clone();
        turned.add(file, line);
        let upward = turned.upward(&layers);
        assert!(upward.iter().any(|one| one.starts_with(words)), "{words}: {upward:?}");
    }
    let mut turned = sources;
    turned.add("engine/outcome.rs", "use super::run;");
    assert!(turned.circles().concat().contains(&"engine/outcome.rs".to_owned()));
}

#[test]
fn names_that_are_passed_on_are_followed() {
    let mut sources = Sources::default();
    sources.add("a/mod.rs", "mod b;\nmod c;\npub use b::{B as Bee, Other};\npub(crate) use self::c::C;");
    sources.add(
        "a/b.rs",
        "//! use super::c::C;\nconst TEXT: &str = \"crate::a::c::C\";\n#[cfg(test)]\nmod tests { use super::c; }",
    );
    sources.add("a/c.rs", "use super::{Bee, Deep};\nfn f() { let _ = '\"'; super::b::f() }");
    sources.add("d.rs", "use crate::a::{\n    C,\n    b::{self, B},\n};");
    let imports = |module: &[&str]| -> Vec<String> {
        let module = module.iter().map(|part| (*part).to_owned()).collect();
        sources.imports(&module).into_iter().map(|target| target.join("::")).collect()
    };
    assert!(imports(&["a"]).is_empty() && imports(&["a", "b"]).is_empty());
    assert_eq!(imports(&["a", "c"]), ["a", "a::b"]);
    assert_eq!(imports(&["d"]), ["a::b", "a::c"]);
    assert!(sources.circles().is_empty());
}

/// A row of the table of rules: what must not occur, and whether it does so in these places only or not in them.
struct Rule {
    words: Vec<String>,
    places: Vec<String>,
    /// The places are those where it must not occur.
    not_there: bool,
}

impl Rule {
    fn read_all() -> Vec<Self> {
        let quoted = |cell: &str| cell.split('`').skip(1).step_by(2).map(str::to_owned).collect();
        let document = document();
        let (_, table) = document.split_once("| in the code | only in | because |\n|---|---|---|\n").unwrap();
        let rows = table.lines().take_while(|line| line.starts_with('|'));
        let rules = rows.map(|row| {
            let cells: Vec<&str> = row.split('|').map(str::trim).collect();
            Self { words: quoted(cells[1]), places: quoted(cells[2]), not_there: cells[2].starts_with("not in") }
        });
        rules.collect()
    }

    fn broken_by(&self, source: &Source) -> Option<String> {
        let there = self.places.iter().any(|place| source.file.starts_with(place.as_str()));
        let word = self.words.iter().find(|word| source.code.contains(word.as_str()))?;
        (there == self.not_there).then(|| format!("{} has `{word}`", source.file))
    }
}

#[test]
fn what_belongs_to_one_place_occurs_there_alone() {
    let sources = Sources::read();
    let rules = Rule::read_all();
    assert!(rules.len() >= 8 && rules.iter().all(|rule| !rule.words.is_empty()));
    let broken: Vec<String> =
        rules.iter().flat_map(|rule| sources.0.values().filter_map(|source| rule.broken_by(source))).collect();
    assert!(broken.is_empty(), "see the rules in docs/architecture.md:\n{}", list(&broken));
    for place in rules.iter().flat_map(|rule| &rule.places) {
        assert!(root().join("src").join(place).exists(), "docs/architecture.md has {place}, src has not");
    }
}

#[test]
fn code_in_the_wrong_place_is_found() {
    let mut sources = Sources::default();
    sources.add("engine/run.rs", "fn f() { jiff::Timestamp::now(); }");
    sources.add("retention/plan.rs", "use std::fs;");
    sources.add("clock.rs", "// println!\nfn f() { let _ = \"unsafe \"; jiff::Timestamp::now(); }");
    let rules = Rule::read_all();
    let broken = |file: &str| {
        let source = sources.0.values().find(|source| source.file == file).unwrap();
        rules.iter().filter_map(|rule| rule.broken_by(source)).collect::<Vec<_>>()
    };
    assert_eq!(broken("engine/run.rs"), ["engine/run.rs has `Timestamp::now(`"]);
    assert_eq!(broken("retention/plan.rs"), ["retention/plan.rs has `std::fs`"]);
    assert!(broken("clock.rs").is_empty());
}
