"""Words that people give to commands, and what is put into them to spoil them."""

from __future__ import annotations

TOKENS = (
    "{{", "}}", ".", "|", " ", "\n", "\0", "\x1b[31m", "é", "\U0001f600", "\ud800", "-", "--", "=",
    ":", "@", "/", "//", "..", "*", "**", "?", "[", "]", "[^a-", "\\", '"', "'", "$", "${", "%",
    "0", "-1", "1e9", "9" * 30, "9" * 5000, "0x1", "1_000", "٣", "NaN", "inf", "h", "d", "GB", "B",
    "a" * 300, "A", "sha256:", "f" * 64, "sha256:" + "f" * 64, "app:1", "latest", "localhost:5000",
    "true", "{{range}}", "{{end}}", "{{if", "with", "printf", "%s", "%-99999999d", "%v", "index",
    "len", "slice", "json", "join", "split", "table", "\t", "(", ")", "`", "/*", "*/", "#", "[[",
    "keep", "protect", '"""', "1979-05-27T07:32:00Z", "{", "}", ",", "FROM", "ENV", "CMD", "&", "^",
    "9223372036854775808", "18446744073709551616", "1e400", "until=", "label=", "before=", "repeat",
)  # fmt: skip
INSTRUCTIONS = (
    "ENV A=b C='d e'", "ENV A b c", 'CMD ["sh", "-c", "x"]', "CMD sh -c x", "EXPOSE 80/tcp 90-95",
    'ENTRYPOINT ["a"]', "LABEL a=b \"c d\"='e'", "USER 0:0", "WORKDIR /a", "WORKDIR b",
    'VOLUME ["/a"]', "VOLUME /a /b", "STOPSIGNAL SIGTERM", "ONBUILD RUN x", "ENV A=${B:-c}$D",
    "HEALTHCHECK --interval=1m30s --retries=3 CMD curl x", "HEALTHCHECK NONE", "EXPOSE 1-65535",
    "env a=$PATH:\\x", "LABEL x=", "MAINTAINER me", 'SHELL ["a"]',
)  # fmt: skip
TEMPLATES = (
    "{{.Repository}}:{{.Tag}} {{.ID}}", "table {{.ID}}\t{{.Size}}", "{{json .}}", "json",
    '{{printf "%-10s|%5d" .Tag 5}}', "{{range $i, $e := .}}{{$i}}{{end}}", "{{len .ID}}",
    '{{if and (eq .Tag "1") .ID}}a{{else if .Tag}}b{{else}}c{{end}}',
    "{{with $x := .ID}}{{$x}}{{end}}",
    "{{slice .ID 1 3}}", "{{index .Config.Env 0}}", "{{.Config.Labels}}", "{{/* a */}}{{- .ID -}}",
    '{{join (split .ID ":") "/"}}', '{{.RootFS.Layers | len | printf "%05d"}}', "{{upper .Tag}}",
    "{{range .RootFS.Layers}}{{.}}{{break}}{{end}}", "{{js .Tag}}{{html .ID}}{{urlquery .ID}}",
    "{{pad .Tag 1 2}}{{truncate .ID 5}}{{println .Size 1 nil}}", '{{not true}}{{or 0 1.5 "x"}}',
)  # fmt: skip
FILTERS = (
    "dangling=true", "label=a=b", "label!=a", "before=app:1", "since=app:1", "until=24h",
    "until=2020-01-01T00:00:00", "reference=app*", "reference=**/a[a-z]?:1", "until=1700000000.5",
    "until=2020-01-01T00:00:00+01:00", "label=", "dangling=1",
)  # fmt: skip
DURATIONS = ("90s", "1h30m", "7d", "0", "none", "0.5h", "100us", "1w")
SIZES = ("50GB", "10%", "1024", "1.5MiB", "0", "1e3", "99.99%")
NAMES = ("app:1", "a/b/c:d", "localhost:5000/a", "registry.example.org/a@sha256:" + "0" * 64,
         "sha256:" + "a" * 64, "app", "base:1", "0123456789ab",
         "app:1@sha256:" + "1" * 64)  # fmt: skip
PHRASES: tuple[tuple[str, tuple[str, ...]], ...] = (
    ("images --format %", TEMPLATES), ("inspect --format % app:1", TEMPLATES),
    ("inspect --format % app:1 base:1", TEMPLATES), ("history --format % app:1", TEMPLATES),
    ("lease ls --format %", TEMPLATES), ("trash ls --format %", TEMPLATES),
    ("images --filter %", FILTERS), ("prune -a --dry-run --filter %", FILTERS),
    ("prune -a -f --filter %", FILTERS), ("gc --dry-run --keep 1 --filter %", FILTERS),
    ("gc --dry-run --unused-for %", DURATIONS), ("gc --dry-run --keep 1 --min-age %", DURATIONS),
    ("gc --dry-run --until %", DURATIONS), ("lease add --ttl % a app:1", DURATIONS),
    ("lease add -- % app:1", ("build-1", "a", "x/y")), ("lease add -- a %", NAMES),
    ("lease rm -- %", ("build-1", "a")), ("prune -f --keep %", DURATIONS),
    ("gc --dry-run --max-used-space %", SIZES), ("gc --dry-run --min-free-space %", SIZES),
    ("gc --dry-run --high-water % --low-water 1%", SIZES), ("gc --dry-run --keep %", SIZES),
    ("gc --dry-run --keep 1 --only %", NAMES), ("gc --dry-run --keep 1 --protect %", NAMES),
    ("gc --dry-run --nice % --keep 1", ("1", "19")), ("config set trash.keep %", DURATIONS),
    ("config set % 1", ("trash.keep", "publish")), ("config get %", ("trash.keep", "publish")),
    ("trash empty -- %", ("1", "2")), ("restore -- %", ("1", "app:1")), ("pin -- %", NAMES),
    ("restore --as % 1", NAMES), ("tag -- app:1 %", NAMES), ("tag -- % new:1", NAMES),
    ("rmi -- %", NAMES), ("rmi -f -- % app:1", NAMES), ("rmi --glob --dry-run -- %", NAMES),
    ("inspect -- %", NAMES), ("history -- %", NAMES), ("why -- %", NAMES), ("tree -- %", NAMES),
    ("images -- %", NAMES), ("save -- %", NAMES), ("inspect --platform % app:1", ("linux/amd64",)),
    ("load --compression %", ("zstd:3", "gzip:1", "none")),
    ("images -a --tree --format %", TEMPLATES),
    ("copy -- % new:1", ("oci:x:1", "docker-archive:x", "app:1",
                        "oci-archive:x:y", "docker://a/b")),
    ("copy -- app:1 %", ("new:1", "x:1")), ("--lock-timeout % images", ("1", "0.5")),
    ("__complete -- %", ("rmi", "images", "")), ("verify --key /dev/null -- %", NAMES),
    ("%", ("images", "image ls", "system df", "--help", "gc")),
    ("images %", ("-aq", "--no-trunc=true")),
)  # fmt: skip
POLICIES = (
    'max-used-space = "50GB"\nkeep = 5\nprotect = ["prod/**", "base:*"]\n',
    'protect = "prod/*"\n[[rule]]\nunused-for = "30d"\n[[rule]]\nkeep = 0\nprotect = []\n',
    'keep = 0\nmin-age = "0s"\n', 'high-water = "80%"\nlow-water = "70%"\nonly = "app:*"\n',
    '[[rule]]\nuntil = "2020-01-01"\nfilter = ["label=a=b", "dangling=true"]\n# a comment\n',
    'reserved-space = "1GB"\nmin-free-space = "10%"\nmin-age = "2m"\n[[rule]]\nkeep = 1_0\n',
)  # fmt: skip
