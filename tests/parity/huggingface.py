"""Random SegFormers of `transformers`, as folders on disk and as functions of an image."""

from pathlib import Path

import numpy as np
import torch

SIZES = {
    "B0": ((32, 64, 160, 256), (2, 2, 2, 2), 256),
    "B5": ((64, 128, 320, 512), (3, 6, 40, 3), 768),
    "tiny": ((8, 12, 20, 32), (1, 2, 1, 1), 24),
}


def random_segformer(size: str, classes: int, seed: int):
    """A SegFormer in evaluation mode with every weight away from its initial value."""
    from transformers import SegformerConfig, SegformerForSemanticSegmentation

    channels, depths, width = SIZES[size]
    torch.manual_seed(seed)
    config = SegformerConfig(
        hidden_sizes=list(channels),
        depths=list(depths),
        decoder_hidden_size=width,
        id2label={i: f"class {i}" for i in range(classes)},
    )
    model = SegformerForSemanticSegmentation(config).eval()
    with torch.no_grad():
        for name, value in model.state_dict().items():
            if value.is_floating_point() and value.ndim == 1:
                noise = torch.rand_like(value)
                value.add_(noise if name.endswith("running_var") else 0.3 * noise - 0.15)
            elif value.ndim > 1:  # the default σ of 0.02 would leave hardly any signal
                value.mul_(1.5)
    return model


def save(model, folder: Path) -> Path:
    """Write a model as a folder with `model.safetensors` and `config.json`."""
    model.save_pretrained(folder)
    return folder


def features_and_logits(model, images: np.ndarray) -> tuple[list[np.ndarray], np.ndarray]:
    """Maps of the four levels and logits, channels-last.

    Args:
        model: SegFormer.
        images: normalised, `[n, H_i, W_i, 3]`.
    """
    pixels = torch.from_numpy(images.transpose(0, 3, 1, 2).copy()).to(model.dtype)
    with torch.no_grad():
        output = model(pixels, output_hidden_states=True)
    maps = [x.permute(0, 2, 3, 1).numpy() for x in output.hidden_states[-4:]]
    return maps, output.logits.permute(0, 2, 3, 1).numpy()
