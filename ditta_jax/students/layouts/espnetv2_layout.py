"""The layout of ESPNetv2's segmentation networks as their authors publish them (EdgeNets)."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from ditta_jax.errors import UserError
from ditta_jax.students.espnetv2.config import BRANCHES, ESPNetv2Config
from ditta_jax.students.espnetv2.decoder import SCALES
from ditta_jax.students.layouts.released_layout import RELEASED
from ditta_jax.students.layouts.weight_layout import (
    BATCH_NORM,
    CONV_NO_BIAS,
    POINTWISE,
    POINTWISE_NO_BIAS,
    Layer,
    Layout,
)

_SLOPE = (("weight", "slope", "vector"),)
_CLASSIFIER = "bu_dec_l4.merge_layer.3"
_UNLABELLED = f"{_CLASSIFIER}.unlabelled"
_CITYSCAPES = 19


def _norm_act(there: str, here: str, names: tuple[str, str]) -> Iterator[Layer]:
    yield Layer(f"{there}.{names[0]}", f"{here}.norm", BATCH_NORM)
    if names[1]:
        yield Layer(f"{there}.{names[1]}", f"{here}.act", _SLOPE)


def _conv_norm(
    there: str, here: str, names: tuple[str, str, str] = ("conv", "bn", "act")
) -> Iterator[Layer]:
    yield Layer(f"{there}.{names[0]}", f"{here}.conv.conv", CONV_NO_BIAS)
    yield from _norm_act(there, here, names[1:])


def _pyramid(there: str, here: str) -> Iterator[Layer]:
    """An EESP unit but for its last activation."""
    yield from _conv_norm(f"{there}.proj_1x1", f"{here}.reduce")
    for n in range(BRANCHES):
        yield Layer(f"{there}.spp_dw.{n}.conv", f"{here}.branches.{n}.conv", CONV_NO_BIAS)
    yield from _norm_act(f"{there}.br_after_cat", f"{here}.joined", ("bn", "act"))
    yield from _conv_norm(f"{there}.conv_1x1_exp", f"{here}.expand", ("conv", "bn", ""))


def _encoder(config: ESPNetv2Config) -> Iterator[Layer]:
    yield from _conv_norm("base_net.level1", "encoder.stem")
    for index, depth in enumerate((0, *config.depths)):
        there, here = f"base_net.level{index + 2}", f"encoder.levels.{index}"
        yield from _pyramid(f"{there}_0.eesp", f"{here}.down.pyramid")
        yield from _conv_norm(f"{there}_0.inp_reinf.0", f"{here}.down.image_1")
        yield from _conv_norm(f"{there}_0.inp_reinf.1", f"{here}.down.image_2", ("conv", "bn", ""))
        yield Layer(f"{there}_0.act", f"{here}.down.act", _SLOPE)
        for unit in range(depth):
            yield from _pyramid(f"{there}.{unit}", f"{here}.units.{unit}.pyramid")
            yield Layer(f"{there}.{unit}.module_act", f"{here}.units.{unit}.act", _SLOPE)


def _pooling(there: str, here: str) -> Iterator[Layer]:
    yield from _conv_norm(f"{there}.projection_layer.cbr", f"{here}.reduce", ("0", "1", "2"))
    for n in range(len(SCALES)):
        yield Layer(f"{there}.stages.{n}", f"{here}.scales.{n}.conv", CONV_NO_BIAS)
    yield from _norm_act(f"{there}.merge_layer.0.br", f"{here}.joined", ("0", "1"))
    yield Layer(f"{there}.merge_layer.2.cbr.0", f"{here}.merge.conv", CONV_NO_BIAS)
    yield from _norm_act(f"{there}.merge_layer.2.cbr", f"{here}.merged", ("1", "2"))


def _decoder(config: ESPNetv2Config) -> Iterator[Layer]:
    for index in range(len(config.widths) + 1):
        yield from _pooling(f"bu_dec_l{index + 1}", f"decoder.poolings.{index}")
    for index in range(len(config.widths)):
        there, here = f"bu_dec_l{index + 1}", f"decoder.handed_on.{index}"
        yield Layer(f"{there}.merge_layer.3", f"{here}.conv.conv", CONV_NO_BIAS)
        yield from _norm_act(f"{there}.br.br", here, ("0", "1"))
        there, here = f"merge_enc_dec_l{index + 2}", f"decoder.skips.{index}"
        yield Layer(f"{there}.wt_layer.1", f"{here}.gate", POINTWISE_NO_BIAS)
        yield from _conv_norm(f"{there}.expansion_layer.cbr", f"{here}.own", ("0", "1", "2"))
        yield from _norm_act(f"bu_br_l{index + 2}", f"{here}.sum", ("0", "1"))
    yield Layer(_CLASSIFIER, "decoder.classifier", POINTWISE)


def rows(config: ESPNetv2Config) -> Sequence[Layer]:
    """Every layer of a student of these sizes; DiTTA's additions by the released names."""
    additions = (layer for layer in RELEASED.head if layer.group)
    return (*_encoder(config), *_decoder(config), *additions)


def student_config(
    layout: Layout,
    arrays: Mapping[str, np.ndarray],
    source: str,
    heads: tuple[int, ...] | None = None,
    written: Mapping[str, Any] | None = None,
) -> ESPNetv2Config:
    """Sizes of the student from the shapes of its weights, like `sizes.student_config`.

    Raises:
        UserError: a key that fixes a size is missing, the sizes do not fit, or heads were given.
    """
    if heads:
        raise UserError(f"--heads: {source} is an ESPNetv2, which has no attention")

    def outputs(name: str) -> int:
        key = f"{name}.weight"
        if key not in arrays or arrays[key].ndim != 4:
            raise UserError(f"{source} does not fit the {layout.name} layout: no kernel {key!r}")
        return len(arrays[key])

    def depth(level: int) -> int:
        units = {key.split(".")[2] for key in arrays if key.startswith(f"base_net.level{level}.")}
        return max((int(unit) for unit in units if unit.isdigit()), default=0) + 1

    images = (f"base_net.level{level}_0.inp_reinf.1.conv" for level in (2, 3, 4))
    seen = {k: v for k, v in (written or {}).items() if k in ("radius", "mean", "std")}
    try:
        return ESPNetv2Config(
            num_classes=outputs(_CLASSIFIER),
            channels=(outputs("base_net.level1.conv"), *map(outputs, images)),
            depths=(depth(3), depth(4)),
            widths=tuple(outputs(f"bu_dec_l{n}.merge_layer.3") for n in (1, 2, 3)),
            embed_dim=outputs("bu_dec_l4.projection_layer.cbr.0"),
            **seen,
        )
    except UserError as error:
        raise UserError(f"{source}: {error}") from None


def _without_unlabelled(arrays: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Cityscapes' 19 classes: the published heads have a twentieth output for what has no label."""
    cut = dict(arrays)
    for own in ("weight", "bias"):
        key = f"{_CLASSIFIER}.{own}"
        if key in arrays and len(arrays[key]) == _CITYSCAPES + 1:
            cut[key], cut[f"{_UNLABELLED}.{own}"] = np.split(arrays[key], [_CITYSCAPES])
    return cut


ESPNETV2 = Layout(
    name="ESPNetv2",
    encoder=("base_net.", "level2_0.eesp.proj_1x1.conv.weight"),
    decoder=("", f"{_CLASSIFIER}.weight"),
    unused=(
        (r".*\.num_batches_tracked", "a counter that torch's BatchNorm does not compute with"),
        (
            r"base_net\.level\d_0\.eesp\.module_act\.weight",
            "an activation that strided units do not apply",
        ),
        (
            rf"{_UNLABELLED}\.(weight|bias)",
            "the 20th output, of pixels without a label in Cityscapes",
        ),
    ),
    config=ESPNetv2Config,
    prepare=_without_unlabelled,
    rows=rows,
    sizes=student_config,
)
