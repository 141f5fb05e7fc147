"""Which runs a comparison is made of, and which words of a variant are refused."""

import pytest

from ditta_jax.comparison.cells import cells_of, variants_of
from ditta_jax.configuration import default_config
from ditta_jax.errors import UserError


def compared(**changes):
    config = default_config()
    config.update(name="c", methods=("tent", "ditta"))
    config.compare.update(percents=(10.0, 12.5), seeds=(3, 4), **changes)
    return config


def test_what_draws_nothing_runs_with_the_first_seed_only():
    cells = cells_of(compared())
    assert [(c.percent, c.seed, c.config.methods) for c in cells] == [
        (10.0, 3, ("frozen", "tent", "ditta")),
        (10.0, 4, ("ditta",)),
        (12.5, 3, ("frozen", "tent", "ditta")),
        (12.5, 4, ("ditta",)),
    ]
    first = cells[0].config
    assert (first.seed, first.warmup.percent) == (3, 10.0)
    assert (first.output, first.name) == ("runs/c/cells", "w10-s3")
    assert first.teacher.cache == "runs/teacher_cache"  # that of all runs


def test_the_frozen_student_runs_again_only_where_a_variant_changes_it():
    texts = ("addon only: tta.train=addon; tta.dropout=0", "small: input.scale=64,64")
    cells = [cell for cell in cells_of(compared(ablations=texts)) if cell.percent == 10.0]
    assert [(c.config.name, c.config.methods) for c in cells if c.variant] == [
        ("addon_only-w10-s3", ("tent", "ditta")),
        ("small-w10-s3", ("frozen", "tent", "ditta")),
        ("small-w10-s4", ("ditta",)),
    ]
    assert cells[2].config.tta.train == "addon" and cells[0].config.tta.train == "decoder"
    assert len({cell.config.name for cell in cells}) == len(cells)


def test_a_variants_values_are_read_as_on_the_command_line():
    (changes,) = variants_of(["a b: loss.terms=plain,fused; tta.lr = 1e-2; tta.save=yes"]).values()
    assert changes == {"loss.terms": ("plain", "fused"), "tta.lr": 1e-2, "tta.save": True}


@pytest.mark.robustness(
    "Settings and command line", "an ablation of compare that is none", "refused before any work"
)
@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("tta.lr=1e-3", "write NAME: KEY=VALUE; KEY=VALUE"),
        ("a:", "write NAME"),
        ("a: tta.lr", "'tta.lr' is no KEY=VALUE"),
        ("a: tta.l=1", "unknown setting 'tta.l'; did you mean 'tta.lr'"),
        ("a: tta.lr=fast", "must be a number"),
        ("a: tta.lr=2", "'tta.lr' must be in"),
        ("a: loss.terms=", "'loss.terms' must be"),
        ("a: seed=1", "seed is the same for all variants"),
        ("a: precision.compute=float64", "precision.compute is the same"),
        ("..: tta.lr=1e-3", "cannot name a folder"),
        ("b: tta.lr=1e-3", "a variant of this name already"),
    ],
)
def test_a_variant_that_is_none_is_refused_in_a_line(text, message, said):
    with pytest.raises(UserError, match=message) as caught:
        variants_of(["b: tta.iters=1", text])
    assert "\n" not in str(caught.value)
    said(str(caught.value))


def test_combinations_that_do_not_exist_are_refused_before_any_work():
    with pytest.raises(UserError, match=r"tent\.optimiser"):
        cells_of(compared(ablations=("a: tent.optimiser=rmsprop",)))
