"""The browser and its pages, for the tests of this folder."""

from browser_house import chromium, open_page

__all__ = ["chromium", "open_page"]
