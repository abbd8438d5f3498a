#!/usr/bin/env python3
"""Wraps comments of more than 120 columns in Rust files, which rustfmt leaves alone.

deploy/wrap-comments.py            all files of src, tests, benches and deploy
deploy/wrap-comments.py --check    changes nothing, names the lines, and ends with 1 if there are any
"""

import pathlib
import re
import sys

WIDTH = 120
COMMENT = re.compile(r"^(\s*)(//!|///|//)( ?)(.*)$")
# A paragraph ends before a list item, a table, a heading, a block of code and an empty line.
NEW_PARAGRAPH = re.compile(r"^(\s*([-*] |\d+\. |\||```|#|>)|\s*$)")


def wrapped(lines, first):
    """The paragraph from a long line on, and the number of the line behind it."""
    indent, mark, _, text = COMMENT.match(lines[first]).groups()
    words, end = text.split(), first + 1
    while end < len(lines):
        more = COMMENT.match(lines[end])
        if not more or more.group(1, 2) != (indent, mark) or not more[3] or NEW_PARAGRAPH.match(more[4]):
            break
        words += more[4].split()
        end += 1
    head = re.match(r"\s*", text)[0]
    hang = " " * len(re.match(r"\s*(?:[-*] |\d+\. )?", text)[0])
    out, line = [], f"{indent}{mark} {head}"
    for number, word in enumerate(words):
        if number and len(line) + 1 + len(word) > WIDTH:
            out.append(line)
            line = f"{indent}{mark} {hang}{word}"
        else:
            line += f" {word}" if number else word
    return [*out, line], end


def process(path, check):
    """The numbers of lines that are, or were, too long."""
    lines, long, in_code, at = path.read_text(encoding="utf-8").split("\n"), [], False, 0
    while at < len(lines):
        comment = COMMENT.match(lines[at])
        if not comment:
            in_code = False
        elif comment[4].lstrip().startswith("```"):
            in_code = not in_code
        elif len(lines[at]) > WIDTH and not in_code:
            long.append(at + 1)
            if not check:
                new, end = wrapped(lines, at)
                lines[at:end] = new
                at += len(new) - 1
        at += 1
    if long and not check:
        path.write_text("\n".join(lines), encoding="utf-8")
    return long


def main():
    check = sys.argv[1:] == ["--check"]
    root = pathlib.Path(__file__).resolve().parent.parent
    files = [file for folder in ("src", "tests", "benches", "deploy") for file in sorted((root / folder).rglob("*.rs"))]
    found = [(file, line) for file in files if "target" not in file.parts for line in process(file, check)]
    for file, line in found:
        print(f"{file.relative_to(root)}:{line}: a comment of more than {WIDTH} columns")
    if check and found:
        sys.exit("error: deploy/wrap-comments.py wraps them")


if __name__ == "__main__":
    main()
