import numpy as np
import pytest

from ditta_jax.data.class_tables import class_names
from ditta_jax.errors import UserError
from ditta_jax.runs.scoring import scoring_of


def test_the_students_own_classes():
    scoring = scoring_of("", ("a", "b"))
    assert scoring.classes == ("a", "b")
    counted = scoring.start((8,))
    counted.update(np.zeros((2, 2), np.uint8), np.zeros((2, 2), np.uint8))
    assert counted.finish().result()["mIoU"] == 1 and len(counted.finish().confusion) == 2


def test_vspw_scored_as_cityscapes():
    classes = class_names("vspw")
    scoring = scoring_of("vspw_to_cityscapes", classes)
    assert len(scoring.classes) == 20 and scoring.truth_classes == 19
    prediction = np.array([[classes.index("car"), classes.index("sofa")]], np.uint8)
    assert [scoring.classes[c] for c in scoring.table[prediction][0]] == [
        "car",
        "(no counterpart)",
    ]
    counted = scoring.start(())
    counted.update(prediction, np.array([[13, 13]], np.uint8))
    assert counted.finish().class_iou()[13] == 0.5


def test_other_classes_than_the_tables():
    with pytest.raises(UserError, match="the student has 2 classes, the table is of 124"):
        scoring_of("vspw_to_cityscapes", ("x", "y"))
