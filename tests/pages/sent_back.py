"""What a browser sends when a form is submitted as it came."""

from __future__ import annotations

from html.parser import HTMLParser


def fields_of(page: str, form: str) -> dict[str, str]:
    """The fields of the form with this id, by name."""
    reader = _Reader(form)
    reader.feed(page)
    return {name: text.removeprefix("\r\n").replace("\n", "\r\n") for name, text in reader.found.items()}


class _Reader(HTMLParser):
    def __init__(self, form: str) -> None:
        super().__init__()
        self.form = form
        self.found: dict[str, str] = {}
        self.inside = False
        self.area = self.select = ""

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        has = dict(attributes)
        if tag == "form":
            self.inside = has.get("id") == self.form
        elif tag == "template":
            self.inside = False
        elif self.inside:
            self._take(tag, has, has.get("name") or "")

    def handle_endtag(self, tag: str) -> None:
        if tag == "template":
            self.inside = True
        if tag == "form":
            self.inside = False
        if tag == "textarea":
            self.area = ""

    def handle_data(self, data: str) -> None:
        if self.area:
            self.found[self.area] += data

    def _take(self, tag: str, has: dict[str, str | None], name: str) -> None:
        if tag == "textarea":
            self.area, self.found[name] = name, ""
        elif tag == "select":
            self.select = name
        elif tag == "option" and ("selected" in has or self.select not in self.found):
            self.found[self.select] = has.get("value") or ""
        elif tag == "input" and (has.get("type") != "checkbox" or "checked" in has):
            self.found[name] = has.get("value") or ""
