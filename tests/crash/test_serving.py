"""A served store whose server is killed: here for some seconds, in `tools/torture serve` longer."""

from __future__ import annotations

from pathlib import Path

from tests.crash.serving import serve_and_kill


def test_what_clients_were_answered_is_there_after_the_server_was_killed(tmp_path: Path) -> None:
    result = serve_and_kill(tmp_path, seconds=5, clients=3, seed=1)

    assert result.wrong == []
    assert result.kills > 0
    assert result.done["push_own"] > 0
