"""The API reference as Markdown: a page for each module and package, from signatures, docstrings and docments comments.

Docstrings here are Markdown, and the meaning of parameters stands in comments, which Sphinx's autodoc reads neither of.
"""

import importlib
import inspect
import pkgutil
import re
from functools import cache
from pathlib import Path
from types import ModuleType

from fastcore.docments import docments
from sphinx.util.inspect import stringify_signature

import siren_fastai
import siren_fastai.all as public

SKIPPED = ("all", "cli")  # the public names are listed on the first page; the commands have a page of their own
LABELS = ("Shapes", "Raises", "Source", "Sources", "Memory")


def write(folder: Path) -> None:
    """Write every page to `folder`, delete pages of modules that are gone, leave what is up to date alone."""
    folder.mkdir(exist_ok=True)
    texts = pages()
    for path in folder.glob("*.md"):
        if path.name not in texts:
            path.unlink()
    for name, text in texts.items():
        path = folder / name
        if not path.exists() or path.read_text() != text:
            path.write_text(text)


def pages() -> dict[str, str]:
    """The text of each page by its file's name."""
    units = [info.name for info in pkgutil.iter_modules(siren_fastai.__path__) if info.name not in SKIPPED]
    return {"index.md": first_page(units)} | {f"{unit}.md": unit_page(unit) for unit in units}


def first_page(units: list[str]) -> str:
    rows = "\n".join(f"| {link(name)} | {summary(name)} |" for name in public.__all__)
    return (
        "# API reference\n\n`from siren_fastai.all import *` gives these names:\n\n"
        f"| name | what it is |\n|---|---|\n{rows}\n\n"
        "The modules, with what else they offer:\n\n```{toctree}\n:maxdepth: 1\n\n" + "\n".join(units) + "\n```\n"
    )


def link(name: str) -> str:
    """A link to where a public name is described: fastai's own names are not described here."""
    module = home(name)
    return f"{{py:obj}}`{name} <{module.__name__}.{name}>`" if module else f"`{name}`"


def home(name: str) -> ModuleType | None:
    """The module of this package that exports what `siren_fastai.all` calls `name`, and defines it if that shows."""
    thing = getattr(public, name)
    for module in modules():
        if name in module.__all__ and getattr(module, name) is thing and is_home(module, name):
            return module
    return None


def summary(name: str) -> str:
    """The first sentence on a public name, for a table."""
    thing, module = getattr(public, name), home(name)
    text = doc_of(thing) if inspect.isroutine(thing) or inspect.isclass(thing) else constant(module, name)
    first = text.split("\n\n")[0].replace("\n", " ").replace("|", "\\|")
    return re.split(r"(?<=[.!?]) (?=[A-Z`])", first)[0]


@cache
def modules() -> list[ModuleType]:
    """All modules of the reference that export names, in alphabetical order."""
    found = []
    for info in pkgutil.walk_packages(siren_fastai.__path__, "siren_fastai."):
        parts = info.name.split(".")
        if parts[1] not in SKIPPED and not parts[-1].startswith("_"):
            found.append(importlib.import_module(info.name))
    return [module for module in found if getattr(module, "__all__", None)]


def unit_page(unit: str) -> str:
    """One page: a module, or all modules of a package."""
    name = f"siren_fastai.{unit}"
    whole = importlib.import_module(name)
    parts = [module for module in modules() if module.__name__.startswith(f"{name}.")]
    head = f"# {unit}\n\n{body(whole.__doc__)}\n"
    if getattr(whole, "__all__", None):
        head += members(whole)
    return head + "".join(section(module) for module in parts)


def section(module: ModuleType) -> str:
    title = module.__name__.removeprefix("siren_fastai.")
    return f"\n## {title}\n\n{body(module.__doc__)}\n{members(module)}"


def members(module: ModuleType) -> str:
    names = [name for name in module.__all__ if is_home(module, name)]
    return f"\n```{{py:module}} {module.__name__}\n```\n" + "".join(member(module, name) for name in names)


def is_home(module: ModuleType, name: str) -> bool:
    """Whether `module` defines the class or function that it exports as `name`; other values are always at home."""
    thing = getattr(module, name)
    return thing.__module__ == module.__name__ if inspect.isclass(thing) or inspect.isfunction(thing) else True


def member(module: ModuleType, name: str) -> str:
    thing = getattr(module, name)
    if inspect.isclass(thing) and issubclass(thing, BaseException):
        return directive("exception", name, body(thing.__doc__))
    if inspect.isclass(thing):
        return directive("class", name + signature(thing), described(thing) + methods(thing), fence=8)
    if inspect.isfunction(thing):
        return directive("function", name + signature(thing), described(thing))
    return directive("data", name, constant(module, name))


def methods(kind: type) -> str:
    """The documented methods and properties that a class defines itself."""
    return "".join(method(kind, name, thing) for name, thing in vars(kind).items() if not name.startswith("_"))


def method(kind: type, name: str, thing) -> str:
    """A method or property of a class; nothing for other attributes, and for methods without a docstring."""
    function = thing.fget if isinstance(thing, property) else getattr(thing, "__func__", thing)
    if not inspect.isfunction(function) or not function.__doc__:
        return ""
    if isinstance(thing, property):
        return directive("property", name, body(function.__doc__))
    plain = function is thing
    option = "" if plain else f":{type(thing).__name__}:\n"
    return directive("method", name + signature(getattr(kind, name), bound=plain), described(function), option)


def directive(kind: str, title: str, text: str, option: str = "", fence: int = 6) -> str:
    return f"\n{'`' * fence}{{py:{kind}}} {title}\n{option}\n{text}\n{'`' * fence}\n"


class Name(str):
    """A default value shown by its name."""

    __repr__ = str.__str__


def signature(thing, bound: bool = False) -> str:
    """The parameters as they are called: without `self` if `bound`, functions among the defaults by name."""
    try:
        found = inspect.signature(thing)
    except ValueError:  # a subclass of a built-in type that is called as that is
        return ""
    parameters = [
        value.replace(default=Name(value.default.__name__)) if inspect.isroutine(value.default) else value
        for value in list(found.parameters.values())[bound:]
    ]
    found = found.replace(parameters=parameters)
    return stringify_signature(found, show_return_annotation=not inspect.isclass(thing), unqualified_typehints=True)


def described(thing) -> str:
    """The docstring, with the comments on parameters as its fields."""
    comments = {name: text for name, text in docments(thing).items() if text}
    return body(doc_of(thing), comments, tuple(docments(thing)))


def doc_of(thing) -> str:
    return inspect.cleandoc(thing.__doc__ or "")


def body(text: str, comments: dict[str, str] | None = None, parameters: tuple[str, ...] = ()) -> str:
    """A docstring as Markdown: its "Raises: ..." and "parameter: ..." lines become fields.

    comments: what to say of each parameter, before what the docstring says of it.
    """
    fields = {name: " ".join(comment.split()) for name, comment in (comments or {}).items()}
    paragraphs = []
    for paragraph in inspect.cleandoc(text).split("\n\n"):
        for label, lines in entries(paragraph, parameters):
            if label is None:
                paragraphs.append("\n".join(lines))
            else:
                meaning = " ".join(line.strip() for line in lines).removeprefix(f"{label}: ")
                fields[label] = "; ".join(part for part in (fields.get(label), meaning) if part)
    return link_papers(escape_stars("\n\n".join(paragraphs + [field_list(fields)]))) + "\n"


def entries(paragraph: str, parameters: tuple[str, ...]) -> list[tuple[str | None, list[str]]]:
    """The paragraph's lines, split where a label or parameter starts a line; prose has the label None.

    What follows "Raises: " up to the next entry belongs to it; what follows "parameter: " if it is indented. Otherwise
    the line is prose that happens to start with a parameter.
    """
    found = [(None, [])]
    for line in paragraph.split("\n"):
        label, colon, _ = line.partition(": ")
        if colon and (label in LABELS or label in parameters):
            found.append((label, [line]))
        else:
            found[-1][1].append(line)
    prose = [label in parameters and not all(x.startswith("    ") for x in lines[1:]) for label, lines in found]
    return [(None if plain else label, lines) for plain, (label, lines) in zip(prose, found, strict=True) if lines]


def field_list(fields: dict[str, str]) -> str:
    """Parameters as a list under one heading, then what is returned and the labels."""
    headings = {"return": "Returns"} | {label: label for label in LABELS}
    given = [f"    - `{name}`: {text}" for name, text in fields.items() if name not in headings]
    others = [f":{heading}: {fields[name]}" for name, heading in headings.items() if name in fields]
    return "\n".join(([":Parameters:", *given] if given else []) + others)


def escape_stars(text: str) -> str:
    """`(*size, c)` and `'0.*'` keep their stars: only pairs of stars around words are emphasis, outside code."""
    kept = r"`[^`]*`|(?<!\S)\*\w[^*]*\w\*(?!\w)|\*\*[\w`][^*]*[\w`]\*\*"
    return re.sub(rf"({kept})|\*", lambda match: match[1] or r"\*", text)


def link_papers(text: str) -> str:
    return re.sub(r"arXiv:(\d{4}\.\d{4,5})", r"[arXiv:\1](https://arxiv.org/abs/\1)", text)


def constant(module: ModuleType, name: str) -> str:
    """The comment on a constant's line, and its value or keys."""
    value = getattr(module, name)
    comment = re.search(rf"^{name}\b.*?  # (.*)$", inspect.getsource(module), flags=re.M)
    keys = ", ".join(f"`{key!r}`" for key in value) if isinstance(value, dict) else ""
    shown = f"A dict with the keys {keys}." if keys else f"`{value!r}`"
    return f"{comment[1][0].upper()}{comment[1][1:]}\n\n{shown}" if comment else shown
