"""ESPNetv2's segmentation network in plain torch functions of a state dict, slow and obvious.

Source: Mehta et al., "ESPNetv2", CVPR 2019; what the paper leaves open follows from names and
shapes of the published weights and from their accuracy on CamVid.
"""

import math

import torch
from torch.nn import functional as F

EPS = 1e-5
DILATIONS = {
    "level2_0": (1, 2, 3, 4),
    "level3_0": (1, 2, 3, 4),
    "level3": (1, 2, 3, 4),
    "level4_0": (1, 2, 3, 4),
    "level4": (1, 1, 2, 3),
}
SCALES = (2.0, 1.5, 1.0, 0.5, 0.1)


class Network:
    """The network of a state dict; its maps are half as large as the image."""

    def __init__(self, state):
        self.state = state

    def has(self, name):
        return any(key.startswith(name + ".") for key in self.state)

    def conv(self, name, x, stride=1, dilation=1):
        weight, bias = self.state[f"{name}.weight"], self.state.get(f"{name}.bias")
        padding = (weight.shape[-1] - 1) // 2 * dilation
        groups = x.shape[1] // weight.shape[1]
        return F.conv2d(x, weight, bias, stride, padding, dilation, groups)

    def norm(self, name, x):
        own = [self.state[f"{name}.{n}"] for n in ("running_mean", "running_var", "weight", "bias")]
        return F.batch_norm(x, *own, eps=EPS)

    def act(self, name, x):
        return F.prelu(x, self.state[f"{name}.weight"])

    def block(self, name, x, dilations, stride=1):
        """Depth-wise dilated pyramid of grouped projections, summed hierarchically (EESP)."""
        p = self.conv(f"{name}.proj_1x1.conv", x)
        p = self.act(f"{name}.proj_1x1.act", self.norm(f"{name}.proj_1x1.bn", p))
        total, branches = None, []
        for index, dilation in enumerate(dilations):
            own = self.conv(f"{name}.spp_dw.{index}.conv", p, stride, dilation)
            total = own if total is None else total + own
            branches.append(total)
        y = torch.cat(branches, 1)
        y = self.act(f"{name}.br_after_cat.act", self.norm(f"{name}.br_after_cat.bn", y))
        y = self.norm(f"{name}.conv_1x1_exp.bn", self.conv(f"{name}.conv_1x1_exp.conv", y))
        return y if stride > 1 else self.act(f"{name}.module_act", x + y)

    def down(self, name, x, image, dilations):
        """Strided block beside average pooling, and the shrunken image added."""
        pooled = F.avg_pool2d(x, 3, 2, 1)
        y = torch.cat([pooled, self.block(f"{name}.eesp", x, dilations, stride=2)], 1)
        while image.shape[-1] > y.shape[-1]:
            image = F.avg_pool2d(image, 3, 2, 1)
        r = self.norm(f"{name}.inp_reinf.0.bn", self.conv(f"{name}.inp_reinf.0.conv", image))
        r = self.act(f"{name}.inp_reinf.0.act", r)
        r = self.norm(f"{name}.inp_reinf.1.bn", self.conv(f"{name}.inp_reinf.1.conv", r))
        return self.act(f"{name}.act", y + r)

    def encode(self, image):
        x = self.norm("base_net.level1.bn", self.conv("base_net.level1.conv", image, 2))
        x = self.act("base_net.level1.act", x)
        levels = [x]
        for level in ("level2", "level3", "level4"):
            x = self.down(f"base_net.{level}_0", x, image, DILATIONS[f"{level}_0"])
            index = 0
            while self.has(f"base_net.{level}.{index}"):
                x = self.block(f"base_net.{level}.{index}", x, DILATIONS[level])
                index += 1
            levels.append(x)
        return levels

    def pyramid(self, name, x):
        """Efficient pyramid pooling: depth-wise convolutions at five scales, merged; before the
        last convolution."""
        x = self.conv(f"{name}.projection_layer.cbr.0", x)
        x = self.act(
            f"{name}.projection_layer.cbr.2", self.norm(f"{name}.projection_layer.cbr.1", x)
        )
        size, maps = x.shape[-2:], []
        for index, scale in enumerate(SCALES):
            own = tuple(max(math.ceil(n * scale), 5) for n in size)
            if scale > 1:
                y = F.interpolate(x, own, mode="bilinear", align_corners=True)
                y = F.adaptive_avg_pool2d(self.conv(f"{name}.stages.{index}", y), size)
            elif scale < 1:
                y = self.conv(f"{name}.stages.{index}", F.adaptive_avg_pool2d(x, own))
                y = F.interpolate(y, size, mode="bilinear", align_corners=True)
            else:
                y = self.conv(f"{name}.stages.{index}", x)
            maps.append(y)
        y = torch.cat(maps, 1)
        y = self.act(f"{name}.merge_layer.0.br.1", self.norm(f"{name}.merge_layer.0.br.0", y))
        b, _, h, w = y.shape
        y = y.view(b, len(SCALES), -1, h, w).transpose(1, 2).reshape(b, -1, h, w)
        y = self.norm(f"{name}.merge_layer.2.cbr.1", self.conv(f"{name}.merge_layer.2.cbr.0", y))
        return self.act(f"{name}.merge_layer.2.cbr.2", y)

    def merged(self, number, x, skip):
        """The coarser map, twice as large, plus what the encoder has at that size."""
        x = F.interpolate(x, scale_factor=2, mode="bilinear", align_corners=True)
        name = f"merge_enc_dec_l{number}"
        gate = torch.sigmoid(self.conv(f"{name}.wt_layer.1", F.adaptive_avg_pool2d(skip, 1)))
        own = self.conv(f"{name}.expansion_layer.cbr.0", skip)
        own = self.norm(f"{name}.expansion_layer.cbr.1", own)
        own = self.act(f"{name}.expansion_layer.cbr.2", own)
        return self.act(f"bu_br_l{number}.1", self.norm(f"bu_br_l{number}.0", x + own * gate))

    def forward(self, image):
        levels = self.encode(image)
        x = levels[-1]
        for number, skip in zip((1, 2, 3), levels[-2::-1], strict=True):
            name = f"bu_dec_l{number}"
            x = self.conv(f"{name}.merge_layer.3", self.pyramid(name, x))
            x = self.act(f"{name}.br.br.1", self.norm(f"{name}.br.br.0", x))
            x = self.merged(number + 1, x, skip)
        f = self.pyramid("bu_dec_l4", x)
        return f, self.conv("bu_dec_l4.merge_layer.3", f)
