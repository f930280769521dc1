from __future__ import annotations

import pytest

from casstore.cli.helppages import help_page
from casstore.cli.options import LIST, TEXT, Args, Command, Option, WrongUsage, parse

COMMAND = Command(
    name="thing",
    arguments="IMAGE [IMAGE...]",
    summary="Do a thing",
    options=(
        Option("all", "Everything", short="a"),
        Option("quiet", "Only IDs", short="q"),
        Option("human", "For people", short="H", default="true"),
        Option("filter", "Filter", short="f", kind=LIST, value="filter"),
        Option("format", "Form", kind=TEXT, choices=("json", "table")),
        Option("output", "Where to", short="o", kind=TEXT),
    ),
)


def parsed(*words: str) -> Args:
    args = parse(COMMAND, words)
    assert args is not None
    return args


def refused(*words: str, command: Command = COMMAND) -> str:
    with pytest.raises(WrongUsage) as caught:
        parse(command, words)
    return str(caught.value)


def test_short_flags_can_be_bundled() -> None:
    args = parsed("-aq")
    assert args.flag("all")
    assert args.flag("quiet")


@pytest.mark.parametrize(
    "words",
    [("-o", "x"), ("-ox",), ("-o=x",), ("--output", "x"), ("--output=x",), ("-ao", "x"), ("-aox",)],
)
def test_a_value_may_follow_its_option_in_every_form(words: tuple[str, ...]) -> None:
    assert parsed(*words).text("output") == "x"


def test_a_value_may_look_like_an_option() -> None:
    assert parsed("-o", "--all").text("output") == "--all"


def test_a_value_may_be_empty() -> None:
    assert parsed("--output=").text("output") == ""
    assert parsed("-o=").text("output") == ""


def test_options_may_stand_after_and_between_arguments() -> None:
    args = parsed("one", "-a", "two", "--filter", "x=1", "three")
    assert args.positional == ("one", "two", "three")
    assert args.flag("all")


def test_two_dashes_end_the_options() -> None:
    assert parsed("-a", "--", "-q", "--", "x").positional == ("-q", "--", "x")


def test_a_single_dash_is_an_argument() -> None:
    assert parsed("-").positional == ("-",)


@pytest.mark.parametrize("word", ["--all=false", "--all=0", "-a=F", "-a=false"])
def test_a_flag_can_be_switched_off(word: str) -> None:
    assert not parsed("-a", word).flag("all")


def test_a_flag_may_be_on_unless_switched_off() -> None:
    assert parsed().flag("human")
    assert not parsed("-H=false").flag("human")


def test_an_option_may_be_repeated_and_keeps_its_order() -> None:
    assert parsed("-f", "a=1", "--filter=b=2", "-fc=3").texts("filter") == ("a=1", "b=2", "c=3")


def test_the_last_of_several_values_counts() -> None:
    assert parsed("-o", "x", "-o", "y").text("output") == "y"


@pytest.mark.parametrize("word", ["--help", "-h"])
def test_help_wins_over_missing_arguments(word: str) -> None:
    assert parse(COMMAND._replace(least=1), (word,)) is None


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--nosuch",), "unknown flag: --nosuch"),
        (("--al",), "unknown flag: --al"),
        (("-x",), "unknown shorthand flag: 'x' in -x"),
        (("-axq",), "unknown shorthand flag: 'x' in -axq"),
        (("--output",), "flag needs an argument: --output"),
        (("-ao",), "flag needs an argument: 'o' in -ao"),
        (
            ("--all=yes",),
            'invalid argument "yes" for "-a, --all" flag: not true or false',
        ),
        (
            ("--format", "xml"),
            'invalid argument "xml" for "--format" flag: must be one of json, table',
        ),
        (("--\x1b[31m",), "unknown flag: --\\x1b[31m"),
    ],
)
def test_a_wrong_option_is_named_in_dockers_words(words: tuple[str, ...], message: str) -> None:
    assert refused(*words) == message


@pytest.mark.parametrize(
    ("least", "most", "given", "message"),
    [
        (1, None, 0, "requires at least 1 argument"),
        (2, None, 1, "requires at least 2 arguments"),
        (2, 2, 1, "requires 2 arguments"),
        (2, 2, 3, "requires 2 arguments"),
        (0, 1, 2, "requires at most 1 argument"),
        (0, 0, 1, "accepts no arguments"),
    ],
)
def test_a_wrong_number_of_arguments_is_told(
    least: int, most: int | None, given: int, message: str
) -> None:
    command = COMMAND._replace(least=least, most=most)
    assert refused(*["x"] * given, command=command) == f"'casstore thing' {message}"


def test_options_stop_at_the_first_argument_where_order_matters() -> None:
    args = parse(COMMAND._replace(in_order=True), ("-a", "rmi", "-q", "--"))
    assert args is not None
    assert args.positional == ("rmi", "-q", "--")
    assert not args.flag("quiet")


def test_what_follows_two_dashes_can_be_kept_apart() -> None:
    args = parse(COMMAND._replace(splits=True), ("x", "--", "ls", "-l"))
    assert args is not None
    assert (args.positional, args.rest) == (("x",), ("ls", "-l"))


def test_a_help_page_lists_options_by_long_name_and_its_statuses() -> None:
    command = Command(
        name="thing",
        arguments="IMAGE",
        summary="Do a thing",
        options=(
            Option("zero", "Z", short="z"),
            Option("form", "One\ntwo", kind=TEXT, value="word"),
            Option("extra", "E", own=True),
        ),
        exits=((0, "done"), (12, "damaged")),
    )
    assert help_page(command) == (
        "Usage:  casstore thing [OPTIONS] IMAGE\n"
        "\n"
        "Do a thing\n"
        "\n"
        "Options:\n"
        "      --form word   One\n"
        "                    two\n"
        "      --help        Print usage\n"
        "  -z, --zero        Z\n"
        "\n"
        "Options of casstore:\n"
        "      --extra   E\n"
        "\n"
        "Exit status:\n"
        "  0    done\n"
        "  12   damaged"
    )
