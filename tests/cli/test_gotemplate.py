from __future__ import annotations

import pytest

from casstore.cli.gotemplate import Template
from casstore.cli.gotokens import TemplateError
from casstore.cli.jsontext import NilMap, NilSlice, Struct

DATA = Struct(
    {
        "Id": "sha256:abc",
        "Size": 32,
        "Tags": ["a:1", "b:2"],
        "Empty": [],
        "Nil": None,
        "NilList": NilSlice(),
        "NilMap": NilMap(),
        "Yes": True,
        "Ratio": 0.5,
        "Name": "web app",
        "Config": Struct({"Labels": {"z": "1", "a": "2"}, "Cmd": ["sh", "-c"]}),
        "Bad": "x\x1b[31my\x7f",
    }
)


@pytest.mark.parametrize(
    ("template", "output"),
    [
        ("plain", "plain"),
        ("{{.Id}}", "sha256:abc"),
        ("{{ .Config.Labels.z }}", "1"),
        ("{{.Config.Labels.nope}}", "<no value>"),
        ("{{.Tags}} {{.Size}} {{.Yes}} {{.Ratio}}", "[a:1 b:2] 32 true 0.5"),
        ("{{.Empty}}{{.NilList}}{{.NilMap}}", "[][]map[]"),
        ("{{.Nil}}", "<no value>"),
        ("{{.Config}}", "{map[a:2 z:1] [sh -c]}"),
        ("{{json .Config}}", '{"Labels":{"a":"2","z":"1"},"Cmd":["sh","-c"]}'),
        ("{{json .NilList}}{{json .NilMap}}{{.Nil | json}}", "nullnullnull"),
        ('{{.Id | printf "%s!" | upper}}', "SHA256:ABC!"),
        ("{{if .Empty}}a{{else if .Yes}}b{{else}}c{{end}}", "b"),
        ("{{if not .Yes}}a{{else}}c{{end}}", "c"),
        ("{{if and .Yes (eq .Size 32)}}ok{{end}}", "ok"),
        ('{{or .Empty .Nil "last"}}', "last"),
        ("{{and .Empty .Config.Nope}}", "[]"),
        ("{{range .Tags}}<{{.}}>{{end}}", "<a:1><b:2>"),
        ("{{range $i, $t := .Tags}}{{$i}}={{$t}},{{end}}", "0=a:1,1=b:2,"),
        ("{{range $k, $v := .Config.Labels}}{{$k}}{{$v}}{{end}}", "a2z1"),
        ("{{range .Empty}}x{{else}}none{{end}}", "none"),
        ('{{range .Tags}}{{if eq . "b:2"}}{{break}}{{end}}{{.}}{{end}}', "a:1"),
        ('{{range .Tags}}{{if eq . "a:1"}}{{continue}}{{end}}{{.}}{{end}}', "b:2"),
        ("{{range .Tags}}{{$.Size}}{{end}}", "3232"),
        ("{{range .Tags}}{{end}}{{with .Config}}{{end}}{{.Size}}", "32"),
        ("{{.Size -}} a {{.Size}} b", "32a 32 b"),
        ("{{with .Config}}{{index .Cmd 1}}{{end}}", "-c"),
        ("{{with .Nil}}x{{else}}nothing{{end}}", "nothing"),
        ("{{$x := 1}}{{range .Tags}}{{$x = len .}}{{end}}{{$x}}", "3"),
        ("{{len .Tags}} {{len .Name}}", "2 7"),
        ('{{index .Tags 0}} {{index .Config.Labels "z"}}', "a:1 1"),
        ('[{{index .Config.Labels "nope"}}]', "[]"),
        ("{{(index .Tags 0) | len}}", "3"),
        ("{{ne .Size 1}} {{lt 1 2}} {{le 2 2}} {{gt 1 2}} {{ge 2 2}}", "true true true false true"),
        ("{{eq .Size 1 32}}", "true"),
        ('{{print 1 2 "a" "b" 3}}', "1 2ab3"),
        ('{{println 1 "a"}}', "1 a\n"),
        (
            '{{printf "%-6s|%5d|%q|%v|%05d|%x" "ab" 7 "c\\"" .Tags 42 255}}',
            'ab    |    7|"c\\""|[a:1 b:2]|00042|ff',
        ),
        ('{{printf "%d" "x"}} {{printf "%s"}}', "%!d(string=x) %!s(MISSING)"),
        ('{{join .Tags ", "}}', "a:1, b:2"),
        ('{{split .Id ":"}}', "[sha256 abc]"),
        ('{{title .Name}} {{lower "AB"}}', "Web App ab"),
        ('{{truncate .Id 6}} {{truncate "ab" 6}}', "sha256 ab"),
        ("[{{pad .Name 1 2}}]", "[ web app  ]"),
        ("{{slice .Id 0 6}}", "sha256"),
        ("a  {{- .Size -}}  b", "a32b"),
        ("a {{/* note */}} b{{- /* x */ -}} c", "a  bc"),
        ("{{`raw \\n`}}{{\"\\u00e4\\x41\\t\"}}{{'a'}}", "raw \\näA\t97"),
        ("{{-3}} {{0x10}} {{1e3}} {{true}}", "-3 16 1000 true"),
        ('{{"}}"}}', "}}"),
    ],
)
def test_templates_give_what_go_gives(template: str, output: str) -> None:
    assert Template(template).render(DATA) == output


def test_values_cannot_drive_the_terminal() -> None:
    assert Template("{{.Bad}}").render(DATA) == "x\\x1b[31my\\x7f"
    assert Template("{{json .Bad}}").render(DATA) == '"x\\u001b[31my\\u007f"'


@pytest.mark.parametrize(
    ("template", "message"),
    [
        ("{{.Nope}}", ':1:2: executing "" at <.Nope>: map has no entry for key "Nope"'),
        ("a\n {{.Id.X}}", ':2:6: executing "" at <.Id.X>: can\'t evaluate field X in type string'),
        ("{{.Nil.X}}", ':1:6: executing "" at <.Nil.X>: nil pointer evaluating interface {}.X'),
        ("{{", ":1: unclosed action"),
        ("{{.Id", ":1: unclosed action"),
        ("{{if .Id}}", ":1: unexpected EOF"),
        ("{{end}}", ":1: unexpected {{end}}"),
        ("{{range .Tags}}{{else}}{{else}}{{end}}", ":1: unexpected {{else}}"),
        ("{{nope .Id}}", ':1: function "nope" not defined'),
        ("{{$x}}", ':1: undefined variable "$x"'),
        ("{{if .Id}}{{$y := 1}}{{end}}{{$y}}", ':1: undefined variable "$y"'),
        ("{{}}", ":1: missing value for command"),
        ("{{.Id | 3}}", ":1: only a function can stand after a pipe"),
        ("{{.Id | .Size}}", "at <.Size>: Size is not a method but has arguments"),
        ("{{.Id .Size}}", "at <.Id>: Id is not a method but has arguments"),
        ("{{3 .Size}}", ':1: unexpected "Size" in operand'),
        ('{{"abc}}', ":1: unterminated quoted string"),
        ('{{"\\q"}}', ":1: invalid escape in string"),
        ("{{(1}}", ":1: unclosed left paren"),
        ("{{/* x }}", ":1: unclosed comment"),
        ("{{break}}", ":1: {{break}} outside {{range}}"),
        ('{{define "x"}}', ":1: unexpected EOF"),
        ('{{if .Id}}{{define "x"}}{{end}}{{end}}', ":1: unexpected {{define}}"),
        ("{{define x}}{{end}}", ':1: unexpected "x" in define clause'),
        ('{{define "x"}}{{$y}}{{end}}', ':1: undefined variable "$y"'),
        (
            '{{range .Tags}}{{block "x" .}}{{break}}{{end}}{{end}}',
            ":1: {{break}} outside {{range}}",
        ),
        ('{{template "x"}}', ':1:2: executing "" at <{{template "x"}}>: template "x" not defined'),
        ("{{call .Id}}", "at <call .Id>: error calling call: non-function of type string"),
        ("{{1x}}", ':1: bad number syntax: "1x"'),
        (
            "{{upper .Size}}",
            "at <upper .Size>: error calling upper: wrong type for value; expected string; got int",
        ),
        ("{{upper}}", "at <upper>: wrong number of args for upper: want 1 got 0"),
        ("{{index .Tags 9}}", "at <index .Tags 9>: error calling index: index out of range: 9"),
        ('{{eq .Size "x"}}', "error calling eq: incompatible types for comparison"),
        ("{{range .Id}}{{end}}", "at <.Id>: range can't iterate over sha256:abc"),
        ("{{pad .Id 99999999999 1}}", "error calling pad: 99999999999 is out of range"),
    ],
)
def test_a_wrong_template_is_one_clear_line(template: str, message: str) -> None:
    with pytest.raises(TemplateError) as caught:
        Template(template).render(DATA)
    text = str(caught.value)
    assert text.startswith("template parsing error: template: :")
    assert text.endswith(message)
    assert "\n" not in text


def test_endless_output_is_refused() -> None:
    with pytest.raises(TemplateError, match="too long"):
        Template('{{range 100000}}{{pad "x" 9999 1}}{{end}}').render(DATA)


def test_columns_keep_their_titles_under_functions() -> None:
    headers = Struct({"ID": "IMAGE ID", "Tag": "TAG"})
    template = Template("{{lower .ID}}\t{{json .Tag}}\t{{truncate .ID 2}}")
    assert template.render(headers, header=True) == "IMAGE ID\tTAG\tIMAGE ID"
