"""images: the list of images, one row per name."""

from __future__ import annotations

from casstore.cli.options import (
    LIST,
    NO_TRUNC,
    OF_A_LOOK,
    TEXT,
    Args,
    Command,
    Option,
    invalid_value,
)
from casstore.model.digest import SHORT_LENGTH

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from casstore.cli.app import App
    from casstore.cli.imagerows import Row
    from casstore.results.images import ImageSummary

FILTER = Option(
    "filter",
    "Filter output based on conditions provided",
    short="f",
    kind=LIST,
    value="filter",
)

HELP = Command(
    name="images",
    arguments="[REPOSITORY[:TAG]]",
    summary="List images",
    options=(
        Option("all", "Show all images (default hides intermediate images)", short="a"),
        Option("digests", "Show digests"),
        FILTER,
        Option(
            "format",
            "Format output using a custom template:\n"
            "'table':            Print output in table format with column headers (default)\n"
            "'table TEMPLATE':   Print output in table format using the given Go template\n"
            "'json':             Print in JSON format, one object a line\n"
            "'raw':              Print one field a line\n"
            "'TEMPLATE':         Print output using the given Go template",
            kind=TEXT,
        ),
        NO_TRUNC,
        Option("quiet", "Only show image IDs", short="q"),
        Option("tree", "Show the platforms of an index below it"),
    ),
    most=1,
    exits=(
        (0, "also where nothing is listed"),
        (1, "a filter, a pattern or a template is wrong"),
        *OF_A_LOOK,
    ),
    description="""\
Newest first. SIZE is what the image adds to its parent, then all of it (virtual), where it has one.
A ~ before it tells that layers of the image were not read yet: they count as they are stored.

REPOSITORY may be a shell pattern; * and ? do not match a slash. Filters: dangling=true|false,
label=KEY[=VALUE], before=IMAGE, since=IMAGE, reference=PATTERN.

Fields of a template: .Containers .CreatedAt .CreatedSince .CreatedUnix .Digest .ID .Labels
.OwnSizeBytes .Parent .Pinned .Repository .Settled .SharedSize .Size .SizeBytes .Tag .UniqueSize
.VirtualSize""",
    completes="image",
)

LEAST_WITH_DIGESTS = (20, 10, 20, 16, 16)


def run(args: Args, app: App) -> int:
    """List."""
    form = args.text("format") or "table"
    filters = checked_filters(args, FILTER)
    everything = args.flag("all")
    digests, full = args.flag("digests"), args.flag("no-trunc")
    quiet, tree = args.flag("quiet"), args.flag("tree")
    if tree and (form != "table" or digests or quiet):
        raise args.wrong("tree", "it has a table of its own")
    if quiet and form in ("table", "json") and not (filters or any(args.positional) or digests):
        pieces = app.store.image_ids(all=everything, digits=64 if full else SHORT_LENGTH)
        if pieces is not None:
            for ids in pieces:
                app.write("\n".join(ids) + "\n")
            return 0
    patterns = tuple(pattern for pattern in args.positional if pattern)  # as docker, '' is none
    images = app.store.each_image(all=everything, filters=filters, patterns=patterns)
    if tree:
        app.write(_tree(images, app, full=full))
    elif form not in ("table", "json") or (form == "json" and not quiet):
        from casstore.cli.imagerows import render

        # A template that shows digests needs the rows that --digests gives, as in Docker.
        listed = rows(images, digests=digests or ".Digest" in form)
        app.write(render(form, listed, now=app.now(), full=full, quiet=quiet, digests=digests))
    elif quiet:
        for image, *_ in rows(images, digests=digests):
            app.write(_id(image, full) + "\n")
    else:
        for line in _table(images, now=app.now(), digests=digests, full=full):
            app.write(line + "\n")
    return 0


def checked_filters(args: Args, option: Option) -> tuple[str, ...]:
    """The values of --filter, each known to be `name=value`; the store knows the names."""
    filters = tuple(value for value in args.texts(option.name) if value)  # as docker, '' is none
    for value in filters:
        if "=" not in value:
            raise invalid_value(
                args.command, option, value, "bad format of filter (expected name=value)"
            )
    return filters


def rows(images: Iterable[ImageSummary], *, digests: bool) -> Iterator[Row]:
    """One row per tag, in the order in which the names were attached.

    A repository with digests and no tag has one row, TAG `<none>`. With `digests` there is a row
    for each tag with each digest of its repository. An image without names has one row.
    """
    from casstore.cli.render import NONE  # here, as below: `images -q` mostly has no rows

    for image in images:
        if not image.names:
            yield image, NONE, NONE, NONE
            continue
        only = image.names[0]
        if len(image.names) == 1 and "@" not in only:  # nearly all
            repository, _, tag = only.familiar.rpartition(":")
            yield image, repository, tag, NONE
            continue
        tags: dict[str, list[str]] = {}
        known: dict[str, list[str]] = {}
        for name in image.names:
            repository = name.repository
            tags.setdefault(repository, [])
            known.setdefault(repository, [])
            if name.tag is not None:
                tags[repository].append(name.tag)
            elif name.digest is not None:
                known[repository].append(name.digest)
        seen = set()
        for name in image.names:
            repository = name.repository
            shown = _familiar(name.familiar)
            if name.tag is not None:
                for digest in (known[repository] or [NONE]) if digests else [NONE]:
                    yield image, shown, name.tag, digest
            elif not tags[repository] and repository not in seen:
                seen.add(repository)
                for digest in known[repository] if digests else [NONE]:
                    yield image, shown, NONE, digest


def _familiar(name: str) -> str:
    return name.partition("@")[0] if "@" in name else name.rpartition(":")[0]


def _id(image: ImageSummary, full: bool) -> str:  # noqa: FBT001 - one caller each way
    return image.id.hex if full else image.id.short


def _tree(images: Iterable[ImageSummary], app: App, *, full: bool) -> str:
    """A row for each name, and under an index a row for each of its platforms."""
    from casstore.cli.render import NONE, age, image_size, table

    lines = []
    for image, repository, tag, _ in rows(images, digests=False):
        name = NONE if repository == NONE else f"{repository}:{tag}"
        size = image_size(image.size, image.size, settled=image.settled)
        lines.append([name, _id(image, full), age(image.created, app.now()), size])
        platforms = app.store.platforms(image.id)
        for number, one in enumerate(platforms, 1):
            branch = "└─" if number == len(platforms) else "├─"
            own = one.id.hex if full else one.id.short
            lines.append([f"{branch} {one.platform}", own, "", image_size(one.size, one.size)])
    return table(["IMAGE", "IMAGE ID", "CREATED", "SIZE"], lines) + "\n"


def _table(images: Iterable[ImageSummary], *, now: int, digests: bool, full: bool) -> Iterator[str]:
    from casstore.cli.render import age, image_size, table_lines

    header = ["REPOSITORY", "TAG", "IMAGE ID", "CREATED", "SIZE"]
    if digests:
        header.insert(2, "DIGEST")
    lines = (
        [
            repository,
            tag,
            *([digest] if digests else ()),
            _id(image, full),
            age(image.created, now),
            image_size(image.own_size, image.size, settled=image.settled),
        ]
        for image, repository, tag, digest in rows(images, digests=digests)
    )
    return table_lines(header, lines, LEAST_WITH_DIGESTS if digests else ())
