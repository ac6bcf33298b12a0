"""Writes a caption as the plot of a Kodi `.nfo` file, which other programs may have begun."""

from __future__ import annotations

from xml.etree import ElementTree

from cli.items import ItemFailed

#: marks a plot as ours, which may be written anew; readers of these files pass attributes over
_MARK = ("source", "univigu")


def with_plot(existing: str | None, title: str, plot: str) -> str:
    """Return the file with the plot in it; what else is there stays.

    A plot that somebody else has written stays, too.

    Args:
        existing: what the file has now; None where there is none.
        title: of a new file.
        plot: the caption.

    Raises:
        ItemFailed: if the file is not XML.
    """
    root = _parse(existing) if existing is not None else _new(title)
    element = root.find("plot")
    if element is None:
        element = ElementTree.SubElement(root, "plot")
    name, value = _MARK
    if (element.text or "").strip() and element.get(name) != value:
        return existing or ""
    element.text = plot
    element.set(name, value)
    ElementTree.indent(root)
    body = ElementTree.tostring(root, encoding="unicode")
    return f'<?xml version="1.0" encoding="UTF-8" standalone="yes"?>\n{body}\n'


def _new(title: str) -> ElementTree.Element:
    root = ElementTree.Element("movie")
    ElementTree.SubElement(root, "title").text = title
    return root


def _parse(text: str) -> ElementTree.Element:
    try:
        return ElementTree.fromstring(text.encode())
    except ElementTree.ParseError as error:
        message = f"its .nfo is no XML ({error}), and is left as it is"
        raise ItemFailed(message, is_final=False) from error
