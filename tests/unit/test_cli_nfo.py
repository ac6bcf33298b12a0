"""A caption becomes the plot of a Kodi file, without harm to what others have written there."""

from xml.etree import ElementTree

import pytest

from cli.items import ItemFailed
from cli.nfo import with_plot


def parsed(text):
    return {element.tag: element.text for element in ElementTree.fromstring(text.encode())}


def test_a_new_file_has_title_and_plot():
    text = with_plot(None, "clip & co", "a < b")
    assert text.startswith('<?xml version="1.0" encoding="UTF-8" standalone="yes"?>\n<movie>')
    assert parsed(text) == {"title": "clip & co", "plot": "a < b"}


def test_what_else_is_in_the_file_stays():
    text = with_plot("<episodedetails><season>2</season><plot/></episodedetails>", "x", "new")
    assert text.splitlines()[1] == "<episodedetails>"
    assert parsed(text) == {"season": "2", "plot": "new"}


def test_a_plot_of_our_own_is_written_anew():
    assert parsed(with_plot(with_plot(None, "x", "old"), "x", "new"))["plot"] == "new"


def test_a_plot_of_somebody_else_stays():
    theirs = "<movie><plot>by hand</plot></movie>"
    assert with_plot(theirs, "x", "new") == theirs


def test_a_file_that_is_no_xml_is_refused():
    with pytest.raises(ItemFailed, match="is left as it is") as failed:
        with_plot("https://example.org/title", "x", "new")
    assert not failed.value.is_final
