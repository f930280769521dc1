"""Policy files: what they may say, and each mistake with its line."""

from __future__ import annotations

from pathlib import Path

import pytest

from casstore.errors import UsageError
from casstore.gc.policyfile import BadPolicy, policy_from_file, policy_rules
from casstore.rules.policy import Rule

NOW = 10**18


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "policy.toml"


def rules_of(path: Path, text: str, **overrides: object) -> tuple[Rule, ...]:
    path.write_text(text, encoding="utf-8")
    given = {name.replace("_", "-"): value for name, value in overrides.items()}
    return policy_from_file(str(path), given, now=NOW)


def mistakes(path: Path, text: str, **overrides: object) -> list[str]:
    with pytest.raises(BadPolicy) as caught:
        rules_of(path, text, **overrides)
    return [mistake.removeprefix(f"{path}:") for mistake in caught.value.mistakes]


def test_a_file_without_tables_is_one_rule(path: Path) -> None:
    (rule,) = rules_of(path, 'max-used-space = "50GB"\nkeep = 5\nprotect = ["prod/**", "base:*"]\n')

    assert (str(rule.max_used), rule.keep, rule.protect) == ("50GB", 5, ("prod/**", "base:*"))


def test_what_stands_before_the_tables_holds_for_each_that_says_nothing_else(path: Path) -> None:
    rules = rules_of(
        path,
        'protect = "prod/*"\n[[rule]]\nunused-for = "30d"\n'
        '[[rule]]\nmax-used-space = "50GB"\nprotect = []\n',
    )

    assert [rule.protect for rule in rules] == [("prod/*",), ()]


def test_each_mistake_is_told_with_its_line(path: Path) -> None:
    text = """\
# a policy
max-used-space = "50XB"
protect = [
    "good",
    "[",
]

keeep = 5

[[rule]]
keep = 1

[[rule]]
unused-for = "7"
low-water = "70%"
"""

    assert mistakes(path, text) == [
        '2: max-used-space: a size as 50GB or 10% is needed, not "50XB"',
        '3: protect: "[": syntax error in pattern',
        '8: keeep: there is no setting "keeep"',
        '14: unused-for: a duration as 7d or 1h30m is needed, not "7"',
        "15: low-water: it needs high-water, which says when to start",
    ]


def test_a_rule_without_a_condition_or_a_goal_is_told_by_where_it_begins(path: Path) -> None:
    (mistake,) = mistakes(path, 'min-age = "1h"\n\n[[rule]]\nkeep = 1\n[[rule]]\nonly = "a"\n')

    assert mistake.startswith("5: a rule needs one of max-used-space")


@pytest.mark.parametrize(
    ("text", "mistake"),
    [
        ("keep = \n", "1: Invalid value"),
        ('keep = 1\n\nonly = "a\n', "3: Illegal character '\\n'"),
        ("keep = 1\nkeep = 2\n", "2: Cannot overwrite a value"),
        ("keep = [1,\n", "1: Invalid value"),
        ("x" * 10, "1: Expected '=' after a key in a key/value pair"),
    ],
)
def test_what_is_no_toml_is_told_with_its_line(path: Path, text: str, mistake: str) -> None:
    (said,) = mistakes(path, text)

    assert said.startswith(mistake)


def test_bytes_that_are_no_text_are_told_with_their_line(path: Path) -> None:
    path.write_bytes(b"keep = 1\n# \xff\n")
    with pytest.raises(BadPolicy, match=r":2: not UTF-8"):
        policy_from_file(str(path), {}, now=NOW)


@pytest.mark.parametrize("text", ["rule = 1\n", "[rule]\nkeep = 1\n", "rule = []\n", "rule = [1]"])
def test_rules_are_tables_in_double_brackets(path: Path, text: str) -> None:
    assert mistakes(path, text)[0].startswith("1: rule: ")


def test_an_empty_file_is_refused(path: Path) -> None:
    (mistake,) = mistakes(path, "")

    assert mistake.startswith("1: a rule needs one of")


def test_a_file_that_is_not_there_is_refused(path: Path) -> None:
    with pytest.raises(UsageError, match="no such file or directory"):
        policy_from_file(str(path), {}, now=NOW)


def test_options_take_the_place_of_settings_in_each_rule_that_has_them(path: Path) -> None:
    text = '[[rule]]\nunused-for = "30d"\n[[rule]]\nmax-used-space = "50GB"\nmin-age = "1h"\n'

    first, second = rules_of(path, text, max_used_space="10GB", min_age="0s")

    assert (first.max_used, str(second.max_used)) == (None, "10GB")
    assert (first.min_age, second.min_age) == (120 * 10**9, 0)


def test_an_option_that_no_rule_has_is_a_condition_of_every_rule(path: Path) -> None:
    text = '[[rule]]\nunused-for = "30d"\n[[rule]]\nmax-used-space = "50GB"\n'

    assert [rule.protect for rule in rules_of(path, text, protect=["a"])] == [("a",), ("a",)]


def test_a_goal_that_no_rule_has_goes_to_the_one_rule_there_is(path: Path) -> None:
    (rule,) = rules_of(path, 'unused-for = "30d"\n', max_used_space="1GB")

    assert str(rule.max_used) == "1GB"
    with pytest.raises(BadPolicy, match="which should pursue it"):
        rules_of(path, "[[rule]]\nkeep = 1\n[[rule]]\nkeep = 2\n", max_used_space="1GB")


def test_a_mapping_has_the_same_shape() -> None:
    (rule,) = policy_rules({"keep": 5, "unused-for": "7d"}, now=NOW)

    assert rule.settings() == {"unused-for": "7d", "keep": 5, "min-age": "2m"}
    with pytest.raises(BadPolicy, match="there is no setting"):
        policy_rules({"keeep": 5}, now=NOW)


@pytest.mark.parametrize(
    "text", ["keep = 0x" + "f" * 5000, "keep = 1\nlow-water = 0o" + "7" * 6000]
)
def test_a_number_of_more_digits_than_python_writes_is_a_mistake_like_another(
    path: Path, text: str
) -> None:
    (mistake, *_) = mistakes(path, text)

    assert mistake.endswith('is needed, not "a number of thousands of digits"')


def test_a_number_of_more_digits_than_python_reads_is_told(path: Path) -> None:
    assert mistakes(path, "keep = " + "9" * 5000) == [" a number has too many digits"]


def test_a_line_is_limited_for_keys_with_many_dots_take_long(path: Path) -> None:
    assert mistakes(path, "keep = 1\n" + "a." * 5000 + "a = 1") == [
        "2: exceeds the limit of 8192 characters a line"
    ]


def test_a_name_of_a_setting_is_cut_in_messages(path: Path) -> None:
    (mistake,) = mistakes(path, f'"{"k" * 5000}" = 1\nkeep = 1')

    assert len(mistake) < 250


def test_looking_for_the_line_of_a_mistake_has_an_end(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = "[[rule]]\nkeep = 1\nprotect = [\n" + '"a",\n' * 100 + "]\nkeeep = 1\n"

    assert mistakes(path, text)[0].startswith("105: keeep")
    monkeypatch.setattr("casstore.gc.policyfile.MAX_PARSED", 10_000)
    assert mistakes(path, text)[0].startswith("1: keeep")
