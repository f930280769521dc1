"""--format of every listing: a template per record, a table of templates, or JSON lines."""

from __future__ import annotations

from casstore.cli.gotemplate import Template
from casstore.cli.jsontext import Struct, json_text
from casstore.cli.render import table

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping


TABLE = "table"
RAW = "raw"


def render_records(
    form: str, headers: Mapping[str, str], records: Iterable[Struct], raw: str = RAW
) -> str:
    r"""The output for `records`.

    Args:
        form: `json`, `raw`, `table TEMPLATE` or `TEMPLATE`; as Docker has it, `\t` and `\n` may be
            written out in it, blanks around it do not count, and `table{{.ID}}` is a table too.
        headers: for each field its column's title.
        records: one for each line.
        raw: the template that `raw` stands for; most listings have none.

    Raises:
        TemplateError: the template is wrong, or names a field that is not there.
    """
    if form == "json":
        return "".join(json_text(record) + "\n" for record in records)
    if form == RAW:
        form = raw
    text = form.removeprefix(TABLE).strip(" ").replace("\\t", "\t").replace("\\n", "\n")
    template = Template(text)
    if not form.startswith(TABLE):
        return "".join(template.render(record) + "\n" for record in records)
    header = template.render(Struct(headers), header=True).split("\t")
    lines = [template.render(record).split("\t") for record in records]
    return table(header, [_as_wide(line, len(header)) for line in lines]) + "\n"


def _as_wide(line: list[str], width: int) -> list[str]:
    # a tab in a value would add a column that has no title, an {{if}} may leave one out
    line = line + [""] * (width - len(line))
    return [*line[: width - 1], " ".join(line[width - 1 :])]
