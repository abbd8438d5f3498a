//! The documentation agrees with the program and with itself. (Blocks of TOML are tested beside the configuration, the
//! table of events beside the event log, exit codes beside them.)

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use clap::CommandFactory;

/// Pages are short enough to be read; README.md fits on three screens.
const README_LINES: usize = 120;
const PAGE_LINES: usize = 200;

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// README.md, CONTRIBUTING.md and the pages below docs/, with their paths from the root.
fn pages() -> Vec<(PathBuf, String)> {
    let mut names = vec![PathBuf::from("README.md"), PathBuf::from("CONTRIBUTING.md")];
    let docs = fs::read_dir(root().join("docs")).unwrap();
    names.extend(docs.map(|entry| Path::new("docs").join(entry.unwrap().file_name())));
    names.retain(|name| name.extension().is_some_and(|extension| extension == "md"));
    names.sort_unstable();
    assert!(names.len() > 10, "{names:?}");
    names.into_iter().map(|name| (name.clone(), fs::read_to_string(root().join(name)).unwrap())).collect()
}

/// The lines of a page outside its blocks, and those inside with the language of their block.
fn lines(text: &str) -> Vec<(Option<&str>, &str)> {
    let mut inside = None;
    let mut lines = Vec::new();
    for line in text.lines() {
        match line.trim_start().strip_prefix("```") {
            Some(_) if inside.is_some() => inside = None,
            Some(language) => inside = Some(language),
            None => lines.push((inside, line.trim_start())),
        }
    }
    assert!(inside.is_none(), "a block has no end");
    lines
}

#[test]
fn pages_are_short() {
    for (page, text) in pages() {
        let most = if page == Path::new("README.md") { README_LINES } else { PAGE_LINES };
        let lines = text.lines().count();
        assert!(lines <= most, "{} has {lines} lines, at most {most} are allowed: move text to a page", page.display());
    }
}

/// `[text](target)` outside blocks.
fn links(text: &str) -> Vec<String> {
    let prose: Vec<&str> = lines(text).into_iter().filter(|(block, _)| block.is_none()).map(|(_, line)| line).collect();
    let prose = prose.join("\n");
    prose.split("](").skip(1).filter_map(|rest| rest.split_once(')')).map(|(target, _)| target.to_owned()).collect()
}

/// The anchors of a page's headings, as GitHub makes them.
fn anchors(text: &str) -> BTreeSet<String> {
    let headings = lines(text).into_iter().filter(|(block, line)| block.is_none() && line.starts_with('#'));
    let anchor = |heading: &str| -> String {
        let kept = heading.to_lowercase();
        let kept = kept.chars().filter(|c| c.is_alphanumeric() || matches!(c, ' ' | '-' | '_'));
        kept.map(|c| if c == ' ' { '-' } else { c }).collect()
    };
    headings.map(|(_, line)| anchor(line.trim_start_matches('#').trim())).collect()
}

#[test]
fn links_between_pages_lead_somewhere() {
    let mut followed = 0;
    for (page, text) in pages() {
        for link in links(&text) {
            if link.starts_with("https://") {
                continue;
            }
            let (file, anchor) =
                link.split_once('#').map_or((link.as_str(), None), |(file, anchor)| (file, Some(anchor)));
            let target = if file.is_empty() { page.clone() } else { page.parent().unwrap().join(file) };
            let target = root().join(target);
            assert!(target.exists(), "{}: {link} does not exist", page.display());
            if let Some(anchor) = anchor {
                let text = fs::read_to_string(&target).unwrap();
                assert!(anchors(&text).contains(anchor), "{}: {link} has no such heading", page.display());
            }
            followed += 1;
        }
    }
    assert!(followed > 30, "{followed}");
}

#[test]
fn readme_links_every_page() {
    let linked = links(&fs::read_to_string(root().join("README.md")).unwrap());
    for (page, _) in pages().into_iter().filter(|(page, _)| page.starts_with("docs")) {
        let page = page.to_string_lossy().replace('\\', "/");
        assert!(linked.contains(&page), "README.md has no link to {page}");
    }
}

/// The command lines of a page: see CONTRIBUTING.md, "Documentation".
fn command_lines(text: &str) -> Vec<String> {
    let mut found = Vec::new();
    let mut prose = String::new();
    for (block, line) in lines(text) {
        let line = match block {
            None => {
                prose.push_str(line);
                prose.push(' ');
                continue;
            }
            Some("sh" | "bat" | "powershell") => line.trim_start_matches('('),
            Some("text") => line.strip_prefix("> ").unwrap_or_default(),
            Some(_) => continue,
        };
        found.extend(Some(line).filter(|line| line.starts_with("afterbackup ")).map(str::to_owned));
    }
    let code = prose.split('`').skip(1).step_by(2);
    found.extend(code.filter(|code| code.starts_with("afterbackup ")).map(str::to_owned));
    for line in &mut found {
        let end = [" #", " |"].iter().filter_map(|end| line.find(end)).min().unwrap_or(line.len());
        line.truncate(end);
    }
    found
}

/// The words of a command line; quotes keep blanks.
fn words(line: &str) -> Vec<String> {
    let mut words = vec![String::new()];
    let mut quote = None;
    for c in line.trim().chars() {
        match (c, quote) {
            ('\'' | '"', None) => quote = Some(c),
            (_, Some(open)) if c == open => quote = None,
            (' ', None) => words.push(String::new()),
            _ => words.last_mut().unwrap().push(c),
        }
    }
    assert!(quote.is_none(), "{line}: a quote has no end");
    words.retain(|word| !word.is_empty());
    words
}

#[test]
fn every_command_line_of_the_documentation_is_accepted() {
    let mut parsed = 0;
    for (page, text) in pages() {
        for line in command_lines(&text) {
            let result = afterbackup::cli::Cli::command().try_get_matches_from(words(&line));
            if let Err(error) = result {
                panic!("{}: {line}\n{error}", page.display());
            }
            parsed += 1;
        }
    }
    assert!(parsed > 25, "{parsed}");
}

#[test]
fn a_command_line_that_the_program_refuses_is_noticed() {
    let page = "Run `afterbackup\nlst` now.\n```sh\nafterbackup fetch latest --two x   # no\n```\n```text\nafterbackup 1\n> afterbackup 2 | more\n```\n";
    let lines = command_lines(page);
    assert_eq!(
        lines.iter().map(|line| line.trim()).collect::<Vec<_>>(),
        ["afterbackup fetch latest --two x", "afterbackup 2", "afterbackup lst"]
    );
    for line in lines {
        assert!(afterbackup::cli::Cli::command().try_get_matches_from(words(&line)).is_err(), "{line}");
    }
}

#[test]
fn readme_has_every_command() {
    let readme = fs::read_to_string(root().join("README.md")).unwrap();
    let (_, table) = readme.split_once("| command | purpose |\n").unwrap();
    let table: Vec<&str> = table.lines().take_while(|line| line.starts_with('|')).collect();
    let first_column = table.iter().filter_map(|line| line.split('|').nth(1));
    let written: BTreeSet<&str> = first_column.flat_map(|cell| cell.split('`').skip(1).step_by(2)).collect();
    let command = afterbackup::cli::Cli::command();
    let visible: Vec<&clap::Command> =
        command.get_subcommands().filter(|sub| !sub.is_hide_set() && sub.get_name() != "help").collect();
    let names: BTreeSet<&str> = visible.iter().map(|sub| sub.get_name()).collect();
    let aliases: BTreeSet<&str> = visible.iter().flat_map(|sub| sub.get_visible_aliases()).collect();
    assert!(
        written.is_superset(&names) && written.iter().all(|name| names.contains(name) || aliases.contains(name)),
        "{written:?} {names:?}"
    );
}
