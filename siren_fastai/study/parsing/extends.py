"""`$extends`: a study file whose values are merged over those of another."""

from collections.abc import Callable

from siren_fastai.study.parsing.document import Document, read_document

__all__ = ["extended"]

MAX_BASES = 8


def extended(
    document: Document,
    base: Callable[[str], str] | None,  # the text of what `$extends` names
) -> Document:
    """Return `document` merged over what its `$extends` names, which may extend another in turn.

    Mappings, `matrix` among them, are merged key by key; all else is replaced. The base's keys come first.
    Raises: ValueError, with the line, for a base that cannot be read, and a chain that is circular or longer than 8.
    """
    chain = [document.name]
    while True:
        if not isinstance(document.values, dict):
            raise document.error((), "expected keys and values, such as `matrix:`")
        if "$extends" not in document.values:
            return document
        name = document.values["$extends"]
        if not isinstance(name, str) or not name:
            raise document.error(
                ("$extends",), f"expected the name of a study or a file beside this one, got {name!r:.60}"
            )
        if base is None:
            raise document.error(("$extends",), f"{name!r:.60} cannot be looked up: this text was not read from a file")
        if name in chain or len(chain) > MAX_BASES:
            problem = "goes in a circle" if name in chain else f"has more than {MAX_BASES} files"
            raise document.error(("$extends",), f"the chain {' > '.join([*chain, name])} {problem}")
        chain.append(name)
        try:
            text = base(name)
        except (OSError, ValueError) as error:
            raise document.error(("$extends",), str(error)) from None
        del document.values["$extends"], document.places["$extends",]
        document = document.over(read_document(text, name))
