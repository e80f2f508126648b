"""Markdown as a code host shows it: headings with their anchors, links with where they lead, mathematics as it arrives.

`faults` is what the tests of documents ask: which links of a page lead nowhere. A link whose text is a name in
backticks, such as [`Linear.forward`](../scratch/linear.py), is followed into the file: the name is defined there.
"""

import ast
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import NamedTuple
from urllib.parse import unquote

from markdown_it import MarkdownIt
from markdown_it.token import Token

from experiments.lecture.catalogue import ENTRIES

MATH = re.compile(r"\$\$[^$]+\$\$|\$[^$]+\$")
"""A formula on a line of its own, or within one."""


class Heading(NamedTuple):
    """A heading, or a line that begins in bold and stands for one (level 0)."""

    level: int
    text: str


class Link(NamedTuple):
    """A link: its text, whether that is code, and its target; an image's text is what it says instead."""

    text: str
    code: bool
    target: str


class Page(NamedTuple):
    """What the tests ask about a document."""

    headings: list[Heading]
    anchors: list[str]
    links: list[Link]
    text: str


def parse(markdown: str) -> Page:
    """Read a document as GitHub's Markdown does."""
    page = Page([], [], [], "")
    counts: dict[str, int] = {}
    shown = []
    before: Token | None = None
    for token in MarkdownIt("commonmark").enable("table").parse(markdown):
        if token.type == "html_block":
            page.anchors.extend(_identities(token.content))
        if token.type == "inline":
            children = token.children or []
            text = _text(children)
            shown.append(text)
            page.links.extend(_links(children))
            for child in children:
                if child.type == "html_inline":
                    page.anchors.extend(_identities(child.content))
            if before is not None and before.type == "heading_open":
                page.headings.append(Heading(int(before.tag[1]), text))
                page.anchors.append(_anchor(text, counts))
            elif bold := _bold(children):
                page.headings.append(Heading(0, bold))
        before = token
    return page._replace(text="\n".join(shown))


def _text(children: list[Token]) -> str:
    """What is read: without the marks for emphasis, code and links; an escape is what it stands for."""
    breaks = {"softbreak": "\n", "hardbreak": "\n"}
    return "".join(
        breaks.get(child.type, child.content if child.type in ("text", "code_inline", "text_special") else "")
        for child in children
    )


def _bold(children: list[Token]) -> str:
    """The text in bold that a paragraph or an item begins with, or nothing."""
    full = [child for child in children if child.content or child.type != "text"]
    if not full or full[0].type != "strong_open":
        return ""
    return _text(full[: [child.type for child in full].index("strong_close")])


def _links(children: list[Token]) -> Iterator[Link]:
    begun = 0
    for index, child in enumerate(children):
        if child.type == "link_open":
            begun = index
        elif child.type == "link_close":
            inside = children[begun + 1 : index]
            code = [part.type for part in inside] == ["code_inline"]
            yield Link(_text(inside), code, unquote(str(children[begun].attrs["href"])))
        elif child.type == "image":
            yield Link(child.content, False, unquote(str(child.attrs["src"])))


def _identities(html: str) -> list[str]:
    return re.findall(r"<a (?:id|name)=[\"']([^\"']+)", html)


def _anchor(heading: str, counts: dict[str, int]) -> str:
    """GitHub's: small letters, no punctuation, Chinese or other, hyphens for spaces, -1, -2 … for repetitions."""
    anchor = re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-")
    seen = counts.get(anchor, 0)
    counts[anchor] = seen + 1
    return f"{anchor}-{seen}" if seen else anchor


@cache
def anchors(file: Path) -> frozenset[str]:
    """Where links into a document may lead."""
    return frozenset(parse(file.read_text("utf-8")).anchors)


@cache
def definitions(file: Path) -> frozenset[str]:
    """Names that a Python file defines at its top, and `Class.name` within its classes."""
    return frozenset(_defined(ast.parse(file.read_text("utf-8")).body))


def _defined(body: list[ast.stmt], prefix: str = "") -> Iterator[str]:
    for node in body:
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield prefix + node.name
        elif isinstance(node, ast.ClassDef):
            yield prefix + node.name
            yield from _defined(node.body, f"{prefix}{node.name}.")
        elif isinstance(node, ast.Assign | ast.AnnAssign):
            targets = node.targets if isinstance(node, ast.Assign) else [node.target]
            yield from (prefix + target.id for target in targets if isinstance(target, ast.Name))


def faults(document: Path, links: list[Link] | None = None) -> list[str]:
    """Those links of a document, or of the given ones, that lead nowhere: each with what is missing."""
    found = []
    for link in parse(document.read_text("utf-8")).links if links is None else links:
        if re.match(r"[a-z]+:", link.target):
            continue  # another site
        path, _, anchor = link.target.partition("#")
        file = (document.parent / path).resolve() if path else document
        if fault := _fault(link, file, anchor):
            found.append(f"[{link.text}]({link.target}): {fault}")
    return found


def _fault(link: Link, file: Path, anchor: str) -> str:
    if not file.exists():
        return "there is no such file"
    if anchor and anchor not in anchors(file):
        return "there is no such heading or anchor"
    if not link.code or file.suffix != ".py":
        return ""
    command, _, name = link.text.rpartition(" ")
    if command == "twice lecture":
        own = name in ENTRIES and file.as_posix().endswith(f"/{ENTRIES[name].module.replace('.', '/')}.py")
        return "" if own else "this is not the experiment's module"
    if file.as_posix().endswith(f"/{link.text}") or link.text in definitions(file):
        return ""
    return "the file does not define this name"
