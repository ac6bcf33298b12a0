"""Where the bars and the results go when some of the streams are terminals."""

import json
import os
import pty
import subprocess
import sys

from cli_house import environment


def caption_nothing(folder, **streams):
    """Caption a file that is not there, which needs no model."""
    return subprocess.run(
        [sys.executable, "-m", "cli.main", "caption", str(folder / "nothing.mp4"), "--json"],
        env=environment(folder, TERM="xterm"),
        timeout=60,
        **streams,
    )


def test_results_stay_in_the_pipe_while_the_bar_is_on_the_terminal(tmp_path):
    screen, terminal = pty.openpty()
    try:
        run = caption_nothing(tmp_path, stdout=subprocess.PIPE, stderr=terminal)
        shown = os.read(screen, 1 << 16).decode()
    finally:
        os.close(screen)
        os.close(terminal)
    assert run.returncode == 1
    assert json.loads(run.stdout)["error"] == "there is no such file"
    assert "videos" in shown
    assert "nothing.mp4" not in shown


def test_no_bar_is_drawn_into_a_file(tmp_path):
    run = caption_nothing(tmp_path, capture_output=True)
    assert run.stderr == b""
    assert len(run.stdout.splitlines()) == 1
