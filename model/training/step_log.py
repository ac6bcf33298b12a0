"""What a run writes down step by step: JSON lines, and curves where TensorBoard is installed."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from importlib.util import find_spec
from pathlib import Path


@contextmanager
def step_log(out_dir: Path, first_step: int) -> Iterator[Callable[[dict[str, float]], None]]:
    """Yield what writes a row to `log.jsonl` and, with the extra `train`, to `tensorboard`.

    Args:
        out_dir: folder of the run.
        first_step: of this part of the run; curves of a part that was cut off end here.
    """
    with ExitStack() as files:
        lines = files.enter_context((out_dir / "log.jsonl").open("a"))
        curves = None
        if find_spec("tensorboard") is not None:
            from torch.utils.tensorboard import SummaryWriter

            folder = str(out_dir / "tensorboard")
            curves = files.enter_context(SummaryWriter(folder, purge_step=first_step))

        def write(row: dict[str, float]) -> None:
            lines.write(json.dumps(row) + "\n")
            lines.flush()
            if curves is not None:
                for name in row.keys() - {"step"}:
                    curves.add_scalar(name, row[name], int(row["step"]))

        yield write
