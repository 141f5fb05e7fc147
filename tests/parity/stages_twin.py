"""Every intermediate result of one step in the PyTorch twin, by name."""

import numpy as np
import torch
from torch import Tensor

from ditta_jax.benchmark.torch_rivals import direct_losses, direct_step
from ditta_jax.benchmark.torch_rivals.direct_decoder import Student
from tests.parity.scene import Scene

FLOAT = {"float32": torch.float32, "float64": torch.float64}
Results = dict[str, np.ndarray]


def twin_student(scene: Scene, dtype: str) -> Student:
    """The scene's student in evaluation mode."""
    student = Student(**scene.architecture)
    state = {key: torch.from_numpy(np.array(value)) for key, value in scene.weights.items()}
    state["decode_head.linear_fuse.bn.num_batches_tracked"] = torch.tensor(0)
    student.load_state_dict(state)
    return student.to(FLOAT[dtype]).eval()


def forward(scene: Scene, dtype: str) -> Results:
    """Encoder to losses in evaluation mode; maps are channels-last as in JAX."""
    student = twin_student(scene, dtype)
    frames = torch.from_numpy(scene.frames).to(FLOAT[dtype])
    results: dict[str, Tensor] = {}
    with torch.no_grad():
        maps = student.backbone(frames)
        for level, x in enumerate(maps, start=1):
            results[f"encoder level {level}"] = x.permute(0, 2, 3, 1)
        head = student.decode_head
        f = head.embed(maps)
        z = head.classify(f)
        fused = head.fuse(f[0], f[1], z[0])
        u = head.proj_feat(f)[1]
        results["decoder embedding"] = f.permute(0, 2, 3, 1)
        results["plain logits"] = z.permute(0, 2, 3, 1)
        results["fused logits"] = fused.permute(1, 2, 0)
        results["projection"] = u.permute(1, 2, 0)
        sizes = (scene.input_size, scene.size)
        results["both upsamplings"] = direct_losses.upsample(z[1], sizes).permute(1, 2, 0)
        plain = direct_losses.probabilities(z[1], sizes)
        both = direct_losses.fuse_branches(plain, direct_losses.probabilities(fused, sizes))
        results["reliability (stage A)"] = direct_losses.reliability(plain)
        results["label (stage A)"] = plain.argmax(0)
        results["label (stage D)"] = both.argmax(0)
        rho = direct_losses.momentum_reliability(plain)
        results["reliability (contrast)"] = rho
        label = torch.from_numpy(scene.label.astype(np.int64))
        results["distillation loss"] = direct_losses.cross_entropy(plain, label)
        ids = torch.from_numpy(scene.object_ids.astype(np.int64))
        loss, prototypes = direct_losses.contrast(u, u, rho, ids, stored(scene, dtype))
        results["contrastive loss"] = loss
        results["prototypes"] = torch.stack([prototypes[o] for o in sorted(prototypes)])
    return {key: value.numpy() for key, value in results.items()}


def step(scene: Scene, dtype: str, first_frame: bool = False) -> Results:
    """One step of the adaptation: losses, gradients and everything that it changes.

    Args:
        scene: the clip.
        dtype: "float32" or "float64".
        first_frame: use the second frame alone, as at t = 0.
    """
    adaptation = direct_step.Adaptation(twin_student(scene, dtype))
    adaptation.prototypes = stored(scene, dtype)
    clip = torch.from_numpy(scene.frames[1:] if first_frame else scene.frames).to(FLOAT[dtype])
    label, ids = (torch.from_numpy(x.astype(np.int64)) for x in (scene.label, scene.object_ids))
    losses = adaptation.step(clip, direct_step.Target(label, ids))
    results: Results = {}
    for name, term in zip(("distill", "fused", "contrast"), losses, strict=True):
        results[f"loss/{name}"] = np.array(np.nan if term is None else term.item())
    for key, parameter in adaptation.live.named_parameters():
        if parameter.requires_grad:
            gradient = parameter.grad
            results[f"gradient/{key}"] = np.zeros(parameter.shape) if gradient is None else gradient
    for name, network in (("live", adaptation.live), ("momentum", adaptation.momentum)):
        for key, value in network.state_dict().items():
            if key.startswith("decode_head") and not key.endswith("num_batches_tracked"):
                results[f"{name}/{key}"] = value
    memory = adaptation.prototypes
    results["prototypes"] = torch.stack([memory[o] for o in sorted(memory)])
    return {key: np.asarray(value) for key, value in results.items()}


def stored(scene: Scene, dtype: str) -> direct_losses.Prototypes:
    """The scene's stored prototypes by object id."""
    table = torch.from_numpy(scene.prototypes).to(FLOAT[dtype])
    return {o + 1: table[o] for o in np.flatnonzero(scene.seen)}
