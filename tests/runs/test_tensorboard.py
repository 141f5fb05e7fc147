import math
import sys

import pytest

from ditta_jax.errors import UserError
from ditta_jax.runs import tensorboard


def test_the_curves_read_back(tmp_path):
    pytest.importorskip("tensorboardX")
    from tensorboardX.proto import event_pb2

    rows = [{"pass": 0, "frame": 0, "total": 2.0, "contrast": math.nan}]
    rows.append({"pass": 0, "frame": 1, "total": 1.5, "contrast": 0.25})
    tensorboard.write_losses(tmp_path, "v", rows)
    (file,) = (tmp_path / "v").iterdir()
    data, found = file.read_bytes(), []
    while data:  # TFRecord: length, its checksum, the event, its checksum
        length = int.from_bytes(data[:8], "little")
        event = event_pb2.Event.FromString(data[12 : 12 + length])
        found += [(event.step, value.tag, value.simple_value) for value in event.summary.value]
        data = data[12 + length + 4 :]
    assert found == [(0, "loss/total", 2.0), (1, "loss/total", 1.5), (1, "loss/contrast", 0.25)]


def test_a_missing_package_is_named(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "tensorboardX", None)
    with pytest.raises(UserError, match="pip install tensorboardX"):
        tensorboard.write_losses(tmp_path, "v", [])
