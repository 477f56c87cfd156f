"""SD-MAE's inference in PyTorch (Ristea et al., CVPR 2024), written for speed: the engine's peer.

Shapes: B batch, H x W pixels, P patch side, h = H/P, w = W/P, L = h*w tokens, K kept tokens, D a
block's width. Work that is the same for all frames is done once, when the weights are loaded: batch
norms are folded into the depthwise convolutions before them, and the prediction heads give their
values in the order of the frames here.

Frames are kept as rows of patches (`ring`): [slots, L, 3*P*P], values (row, column, B/G/R) as
(v - 127.5) / 127.5. A frame is brought into that form once, and read by three samples.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

LAYER_NORM_EPS = 1e-6
BATCH_NORM_EPS = 1e-5

#: How the depthwise 3x3 convolutions are computed: by PyTorch's convolution, in either memory
#: format, or as nine shifted products, which are many small kernels unless a compiler fuses them.
FORMS = ("channels-first", "channels-last", "taps")


def load_weights(path: str) -> dict[str, Tensor]:
    """The float32 tensors of a checkpoint's `model`, by their names. Runs no code of the file."""
    checkpoint = torch.load(path, map_location="cpu", weights_only=True)
    if not isinstance(checkpoint, dict) or not isinstance(checkpoint.get("model"), dict):
        raise ValueError(f"{path}: the file has no dictionary \"model\"")
    return {name: tensor.float() for name, tensor in checkpoint["model"].items() if tensor.is_floating_point()}


class Block(nn.Module):
    """A transformer block on [B, 1 + rows*cols, D], with the cls token first."""

    def __init__(self, weights: dict[str, Tensor], name: str, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.width = weights[f"{name}.norm1.weight"].numel()
        if self.width % heads:
            raise ValueError(f"{name}: width {self.width} does not divide into {heads} heads")
        for norm in ("norm1", "norm2"):
            self.register_buffer(f"{norm}_weight", weights[f"{name}.{norm}.weight"])
            self.register_buffer(f"{norm}_bias", weights[f"{name}.{norm}.bias"])
        kernels, shifts, projections, biases = [], [], [], []
        for p in "qkv":
            conv = f"{name}.attn.conv_proj_{p}"
            scale = weights[f"{conv}.bn.weight"] / torch.sqrt(weights[f"{conv}.bn.running_var"] + BATCH_NORM_EPS)
            kernels.append(weights[f"{conv}.conv.weight"] * scale[:, None, None, None])
            shifts.append(weights[f"{conv}.bn.bias"] - weights[f"{conv}.bn.running_mean"] * scale)
            projections.append(weights[f"{name}.attn.proj_{p}.weight"].t())
            biases.append(weights[f"{name}.attn.proj_{p}.bias"])
        self.register_buffer("kernels", torch.stack(kernels))  # [3, D, 1, 3, 3]
        # [3, 9, D]
        self.register_buffer("taps", self.kernels.flatten(2).transpose(1, 2).contiguous())
        self.register_buffer("shifts", torch.stack(shifts))  # [3, D]
        # [3, D in, D out]
        self.register_buffer("qkv_weight", torch.stack(projections).contiguous())
        self.register_buffer("qkv_bias", torch.stack(biases)[:, None])  # [3, 1, D]
        self.register_buffer("proj_weight", weights[f"{name}.attn.proj.weight"])
        self.register_buffer("proj_bias", weights[f"{name}.attn.proj.bias"])
        for layer in ("0", "3"):
            self.register_buffer(f"mlp{layer}_weight", weights[f"{name}.mlp.net.{layer}.weight"].flatten(1))
            self.register_buffer(f"mlp{layer}_bias", weights[f"{name}.mlp.net.{layer}.bias"])

    def convolved(self, y: Tensor, rows: int, cols: int, form: str) -> Tensor:
        """Inputs of the projections to q, k and v: [3, B, N, D], with the cls token unchanged."""
        cls, image = y[:, :1], y[:, 1:].unflatten(1, (rows, cols))
        if form == "taps":
            padded = F.pad(image, (0, 0, 1, 1, 1, 1))
            windows = [padded[:, i : i + rows, j : j + cols] for i in range(3) for j in range(3)]
            sums = [sum((windows[t] * self.taps[p, t] for t in range(9)), self.shifts[p]) for p in range(3)]
            return torch.stack([torch.cat((cls, part.flatten(1, 2)), 1) for part in sums])
        memory_format = torch.channels_last if form == "channels-last" else torch.contiguous_format
        planes = image.permute(0, 3, 1, 2).contiguous(memory_format=memory_format)
        images = [F.conv2d(planes, self.kernels[p], self.shifts[p], padding=1, groups=self.width) for p in range(3)]
        joined = images[0].new_empty(3, *y.shape)
        joined[:, :, :1] = cls
        for p in range(3):
            joined[p, :, 1:] = images[p].flatten(2).transpose(1, 2)
        return joined

    def forward(self, x: Tensor, rows: int, cols: int, form: str) -> Tensor:
        batch, count, width = x.shape
        y = F.layer_norm(x, (width,), self.norm1_weight, self.norm1_bias, LAYER_NORM_EPS)
        inputs = self.convolved(y, rows, cols, form).view(3, batch * count, width)
        qkv = torch.baddbmm(self.qkv_bias, inputs, self.qkv_weight)
        q, k, v = qkv.view(3, batch, count, self.heads, width // self.heads).transpose(2, 3).unbind(0)
        # The method scales by the width of the block, not of the head.
        mixed = F.scaled_dot_product_attention(q, k, v, scale=width**-0.5)
        x = x + F.linear(mixed.transpose(1, 2).reshape(batch, count, width), self.proj_weight, self.proj_bias)
        y = F.layer_norm(x, (width,), self.norm2_weight, self.norm2_bias, LAYER_NORM_EPS)
        hidden = F.gelu(F.linear(y, self.mlp0_weight, self.mlp0_bias))
        out = F.linear(hidden, self.mlp3_weight, self.mlp3_bias)
        # The cls token has no MLP: its residual adds the MLP's input. It is one token in hundreds,
        # so it is computed anyway, and replaced.
        out[:, 0] = y[:, 0]
        return x + out


class SdMae(nn.Module):
    """The network for one input size and batch.

    weights: from load_weights; heads: attention heads of every block, which no tensor says; height,
    width: H and W in pixels; mask_ratio: share of the tokens that is removed.
    """

    def __init__(self, weights: dict[str, Tensor], heads: int, height: int, width: int, mask_ratio: float) -> None:
        super().__init__()
        embed = weights["patch_embed.proj.weight"]
        self.patch = patch = embed.shape[-1]
        if height % patch or width % patch:
            raise ValueError(f"size {height}x{width} does not divide into patches of {patch}")
        if embed.shape[1] != 9:
            raise ValueError(f"the network takes {embed.shape[1]} channels, not 9 (three frames of B, G, R)")
        self.rows, self.cols = height // patch, width // patch
        self.tokens = self.rows * self.cols
        self.keep = int(self.tokens * (1 - mask_ratio))
        self.kept_cols = int(self.cols * (1 - mask_ratio))
        if self.rows * self.kept_cols != self.keep:
            raise ValueError(f"mask ratio {mask_ratio}: {self.keep} tokens do not form a grid of {self.rows} rows")

        def buffers(**tensors: Tensor) -> None:
            for name, tensor in tensors.items():
                self.register_buffer(name, tensor.contiguous())

        # (frame, row, column, channel), like three rows of the ring one after the other.
        by_rows = embed.unflatten(1, (3, 3)).permute(0, 1, 3, 4, 2).flatten(1)
        buffers(embed_weight=by_rows, embed_bias=weights["patch_embed.proj.bias"])
        for norm, name in (("embed_norm", "patch_embed.norm"), ("norm", "norm"), ("teacher_norm", "decoder_norm")):
            buffers(**{f"{norm}_weight": weights[f"{name}.weight"], f"{norm}_bias": weights[f"{name}.bias"]})
        buffers(cls_token=weights["cls_token"], mask_token=weights["mask_token"])
        buffers(decoder_weight=weights["decoder_embed.weight"], decoder_bias=weights["decoder_embed.bias"])
        self.blocks = nn.ModuleList(Block(weights, name, heads) for name in numbered(weights, "blocks"))
        self.decoder_blocks = nn.ModuleList(Block(weights, name, heads) for name in numbered(weights, "decoder_blocks"))
        if "decoder_student_pred.weight" not in weights:
            raise ValueError("the model has no student, but the full model is measured")
        self.student_block = Block(weights, "decoder_student_block", heads)
        name = "decoder_student_norm"
        buffers(student_norm_weight=weights[f"{name}.weight"], student_norm_bias=weights[f"{name}.bias"])

        # A head's values are (row, column, channel of 4). Here all B, G, R come first, as in a row
        # of the ring, then the anomaly channel. Its target is -1 everywhere; with 1 added to its
        # biases the target is 0.
        values = 4 * patch * patch
        order = torch.arange(values).view(-1, 4)
        self.order = torch.cat((order[:, :3].flatten(), order[:, 3]))
        one = (self.order % 4 == 3).float()
        for head, name in (("teacher", "decoder_pred"), ("student", "decoder_student_pred")):
            weight, bias = weights[f"{name}.weight"], weights[f"{name}.bias"]
            buffers(**{f"{head}_head_weight": weight[self.order], f"{head}_head_bias": bias[self.order] + one})

    def random_masks(self, batch: int) -> Tensor:
        """Kept tokens in a random order, [B, K], drawn on the device."""
        noise = torch.rand(batch, self.tokens, device=self.cls_token.device)
        return noise.argsort(1)[:, : self.keep]

    def motion_masks(self, ring: Tensor, slots: Tensor) -> Tensor:
        """The tokens that move least, [B, K]; slots: of frames t-1 and t+1, [B, 2]."""
        before, after = ring[slots[:, 0]], ring[slots[:, 1]]
        return (before - after).abs().amax(2).argsort(dim=1, stable=True)[:, : self.keep]

    def encode(self, ring: Tensor, slots: Tensor, ids_keep: Tensor, form: str) -> Tensor:
        """The encoder's output, [B, 1 + K, D].

        ring: [slots, L, 3*P*P]; slots: of a sample's three frames, [B, 3]; ids_keep: [B, K], in the
        order of the encoder's grid.
        """
        batch = ids_keep.shape[0]
        rows = (slots[:, None] * self.tokens + ids_keep[:, :, None]).flatten()
        patches = ring.flatten(0, 1).index_select(0, rows).view(batch, self.keep, -1)
        x = F.linear(patches, self.embed_weight, self.embed_bias)
        x = F.layer_norm(x, (x.shape[2],), self.embed_norm_weight, self.embed_norm_bias, LAYER_NORM_EPS)
        x = torch.cat((self.cls_token.to(x.dtype).expand(batch, -1, -1), x), 1)
        for block in self.blocks:
            x = block(x, self.rows, self.kept_cols, form)
        return F.layer_norm(x, (x.shape[2],), self.norm_weight, self.norm_bias, LAYER_NORM_EPS)

    def decode(self, latent: Tensor, ids_keep: Tensor, form: str) -> tuple[Tensor, Tensor]:
        """The inputs of the heads, teacher's and student's: [B, L, D] each."""
        x = F.linear(latent, self.decoder_weight, self.decoder_bias)
        batch, _, width = x.shape
        places = F.pad(ids_keep + 1, (1, 0))  # the cls token's is 0
        full = self.mask_token.to(x.dtype).expand(batch, self.tokens + 1, -1).clone()
        x = full.scatter_(1, places[:, :, None].expand(-1, -1, width), x)
        student = None
        for block in self.decoder_blocks:
            x = block(x, self.rows, self.cols, form)
            if student is None:
                student = self.student_block(x, self.rows, self.cols, form)
        x, student = x[:, 1:], student[:, 1:]
        x = F.layer_norm(x, (width,), self.teacher_norm_weight, self.teacher_norm_bias, LAYER_NORM_EPS)
        return x, F.layer_norm(student, (width,), self.student_norm_weight, self.student_norm_bias, LAYER_NORM_EPS)

    def heads(self, teacher: Tensor, student: Tensor) -> tuple[Tensor, Tensor]:
        """Predictions [B, L, 4*P*P] each, in this class's order; the anomaly channel plus 1."""
        return (
            F.linear(teacher, self.teacher_head_weight, self.teacher_head_bias),
            F.linear(student, self.student_head_weight, self.student_head_bias),
        )

    def predictions(self, teacher: Tensor, student: Tensor) -> tuple[Tensor, ...]:
        """Predictions of teacher and student from decode's output: [B, L, 4*P*P] each.

        The values are in the method's order.
        """
        back = self.order.argsort().to(teacher.device)
        anomaly = torch.arange(back.numel(), device=teacher.device) % 4 == 3
        return tuple(head[:, :, back] - anomaly.to(head.dtype) for head in self.heads(teacher, student))

    def errors(self, ring: Tensor, slots: Tensor, teacher: Tensor, student: Tensor, norm: str) -> Tensor:
        """A token's mean errors, teacher to student and target to teacher: [B, L, 2], float32."""
        by_teacher, by_student = self.heads(teacher, student)
        target = ring[slots[:, 1]]
        differences = [by_teacher - by_student, by_teacher]
        # The target of the anomaly channel is 0 already.
        by_teacher[:, :, : target.shape[2]] -= target
        order = 2 if norm == "L2" else 1
        sums = torch.stack([torch.linalg.vector_norm(d, order, 2, dtype=torch.float32) for d in differences], 2)
        return (sums * sums if norm == "L2" else sums) / by_teacher.shape[2]

    def scores(self, errors: Tensor, ids_keep: Tensor, masked_only: bool) -> Tensor:
        """Mean errors of frames, [B, 2]; masked_only: over removed tokens only."""
        if not masked_only:
            return errors.mean(1)
        removed = torch.ones(errors.shape[:2], device=errors.device).scatter_(1, ids_keep, 0.0)
        return (errors * removed[:, :, None]).sum(1) / (self.tokens - self.keep)

    def ring(self, slots: int, dtype: torch.dtype) -> Tensor:
        """An empty ring of frames, [slots, L, 3*P*P]."""
        return torch.zeros(slots, self.tokens, 3 * self.patch**2, dtype=dtype, device=self.cls_token.device)

    def take_frames(self, ring: Tensor, frames: Tensor) -> None:
        """Writes frames, uint8 [n, H, W, 3], into the first n slots of a ring."""
        count, patch = frames.shape[0], self.patch
        by_patch = frames.view(count, self.rows, patch, self.cols, patch * 3).transpose(2, 3)
        place = ring[:count]
        place.view(count, self.rows, self.cols, patch, patch * 3).copy_(by_patch)
        place.sub_(127.5).div_(127.5)


def numbered(weights: dict[str, Tensor], parent: str) -> list[str]:
    """The names of a parent's blocks, in order."""
    count = len({name.split(".")[1] for name in weights if name.startswith(f"{parent}.")})
    return [f"{parent}.{i}" for i in range(count)]
