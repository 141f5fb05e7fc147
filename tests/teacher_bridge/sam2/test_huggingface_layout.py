"""The same random weights in `transformers`' SAM 2 video model and in `sam2`'s, masks compared."""

import pytest

from ditta_jax.errors import UserError

torch = pytest.importorskip("torch")
pytest.importorskip("sam2")
transformers = pytest.importorskip("transformers")

from teacher_bridge.sam2.batch import Prompt  # noqa: E402
from teacher_bridge.sam2.huggingface_layout import is_huggingface, to_package_layout  # noqa: E402
from teacher_bridge.sam2.predictor import build_predictor, read_weights  # noqa: E402

SIDE, LENGTH = 192, 6


@pytest.fixture(scope="module")
def huggingface():
    """A small model of SAM 2.1's architecture: that of the nano teacher with what it leaves out."""
    trunk = transformers.Sam2HieraDetConfig(
        hidden_size=32,
        image_size=[SIDE, SIDE],
        window_positional_embedding_background_size=[6, 6],
        blocks_per_stage=[1, 2, 3, 1],
        embed_dim_per_stage=[32, 64, 128, 256],
        num_attention_heads_per_stage=[1, 2, 4, 8],
        window_size_per_stage=[8, 4, 12, 6],
        global_attention_blocks=[4, 5],
    )
    vision = transformers.Sam2VisionConfig(
        backbone_config=trunk.to_dict(),
        backbone_channel_list=[256, 128, 64, 32],
        backbone_feature_sizes=[[48, 48], [24, 24], [12, 12]],
        fpn_hidden_size=128,
        fpn_top_down_levels=[0, 1, 2, 3],
    )
    config = transformers.Sam2VideoConfig(
        vision_config=vision.to_dict(),
        prompt_encoder_config={"hidden_size": 128, "image_size": SIDE},
        mask_decoder_config={"hidden_size": 128, "iou_head_hidden_dim": 256, "mlp_dim": 2048},
        image_size=SIDE,
        num_maskmem=4,
        max_object_pointers_in_encoder=4,
        memory_attention_hidden_size=128,
        memory_attention_num_layers=2,
        memory_attention_feed_forward_hidden_size=256,
        memory_attention_rope_feat_sizes=[12, 12],
        memory_encoder_hidden_size=128,
        memory_encoder_output_channels=64,
        mask_downsampler_embed_dim=128,
        memory_fuser_num_layers=1,
        memory_fuser_embed_dim=128,
        memory_fuser_intermediate_dim=512,
        memory_fuser_layer_scale_init_value=0.1,
        multimask_output_in_sam=False,
    )
    torch.manual_seed(0)
    model = transformers.Sam2VideoModel(config).eval()
    with torch.no_grad():
        for parameter in model.parameters():  # no zeros, no ones: every tensor has its say
            parameter.add_(0.05 * torch.randn_like(parameter))
        model.mask_decoder.pred_obj_score_head.proj_out.bias.fill_(10.0)  # there is an object
        embedding = model.shared_image_embedding.positional_embedding
        model.prompt_encoder.shared_embedding.positional_embedding.copy_(embedding)
    return model


@pytest.fixture
def predictor(huggingface, tmp_path):
    from importlib.resources import files

    text = (files("teacher_bridge") / "nano" / "sam2_nano.yaml").read_text()
    for line, other in (
        (
            "add_tpos_enc_to_obj_ptrs: false",
            "add_tpos_enc_to_obj_ptrs: true\n  use_signed_tpos_enc_to_obj_ptrs: true",
        ),
        ("rope_theta: 100.0", "rope_theta: 10000.0"),  # as released; transformers' default
        ("proj_tpos_enc_in_obj_ptrs: false", "proj_tpos_enc_in_obj_ptrs: true"),
        ("kv_in_dim: 32", "kv_in_dim: 64"),  # fixed in transformers
        ("out_dim: 32", "out_dim: 64"),
        ("num_pos_feats: 32", "num_pos_feats: 64"),
        (": 96\n", ": 128\n"),  # a multiple of 64
    ):
        assert line in text
        text = text.replace(line, other)
    config = tmp_path / "small.yaml"
    config.write_text(text)
    huggingface.save_pretrained(tmp_path / "checkpoint")
    return build_predictor(str(config), str(tmp_path / "checkpoint"), "cpu")


def test_the_same_weights_give_the_same_masks(huggingface, predictor):
    # More frames than memories of them: the first ones are forgotten before the end.
    frames = torch.randn(LENGTH, 3, SIDE, SIDE, generator=torch.Generator().manual_seed(1))
    session = transformers.Sam2VideoInferenceSession(
        video=frames, video_height=SIDE, video_width=SIDE, dtype=torch.float32
    )
    place = session.obj_id_to_idx(1)
    inputs = {
        "point_coords": torch.tensor([[[[100.0, 80.0]]]]),
        "point_labels": torch.tensor([[[1]]], dtype=torch.int32),
    }
    session.add_point_inputs(place, 0, inputs)
    session.obj_with_new_inputs = [1]
    with torch.inference_mode():
        theirs = [huggingface(session, frame_idx=t).pred_masks for t in range(LENGTH)]

    class Frames:
        size = (SIDE, SIDE)

        def __len__(self):
            return LENGTH

        def __getitem__(self, t):
            return frames[t]

    state = predictor.start(Frames())
    prompts = [Prompt((100.0, 80.0))]
    ours = [logits for _, logits in predictor.walk(state, 0, prompts, reverse=False)]
    for t, (one, other) in enumerate(zip(ours, theirs, strict=True)):
        at_full = torch.nn.functional.interpolate(other, (SIDE, SIDE), mode="bilinear")
        assert one.std() > 0.01
        assert (one - at_full).abs().max() <= 1e-4 * one.std(), t
        # Random weights' masks cover all or nothing, so the border is laid where it cuts in two.
        mask, same = (logits > at_full.median() for logits in (one, at_full))
        assert 0.4 < same.float().mean() < 0.6
        assert (mask & same).sum() >= 0.999 * (mask | same).sum(), t


def test_every_tensor_of_a_full_model_has_its_place():
    with torch.device("meta"):
        model = transformers.Sam2VideoModel(transformers.Sam2VideoConfig())
    state = model.state_dict()
    converted = to_package_layout(state)
    assert is_huggingface(state) and not is_huggingface(converted)
    assert len(converted) == 471  # of sam2.1_hiera_t


def test_folders_without_weights_are_named(tmp_path):
    with pytest.raises(UserError, match="model.safetensors: no such file"):
        read_weights(tmp_path)
