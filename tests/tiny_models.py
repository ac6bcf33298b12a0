"""Real model classes at sizes where a forward pass takes milliseconds, with random weights."""

import torch
from diffusers import AutoencoderKLWan, FlowMatchEulerDiscreteScheduler
from transformers import UMT5Config, UMT5EncoderModel

from model import UniViGUPipeline, UniViGUTransformer
from model.training.components import new_tokenizer
from model.training.moving_shapes import vocabulary

WIDTHS = {
    "num_attention_heads": 2,
    "attention_head_dim": 24,
    "in_channels": 4,
    "out_channels": 4,
    "text_dim": 16,
    "freq_dim": 32,
    "ffn_dim": 64,
    "num_layers": 2,
    "rope_max_seq_len": 32,
}
CAPTIONS = {"caption_vocab_size": 66, "caption_length": 10, "condition_length": 12}
MEAN, STD = [0.5, -1.0, 2.0, 0.25], [2.0, 0.5, 1.5, 3.0]
SERVING = {
    "sizes": [[32, 32]],
    "num_frames": 5,
    "num_inference_steps": 2,
    "understand_steps": 2,
    "guidance_scale": 3.0,
}


def tiny_transformer(**config):
    """Return a transformer whose every output depends on every input."""
    torch.manual_seed(0)
    transformer = UniViGUTransformer(**(WIDTHS | CAPTIONS | config)).eval()
    torch.nn.init.normal_(transformer.text_proj_out.weight, std=0.3)
    return transformer


def tiny_vae(residual=True, mean=MEAN, std=STD):
    """Return an autoencoder of Wan2.2's layout, or of Wan2.1's where `residual` is false."""
    torch.manual_seed(1)
    layout = {"dim_mult": [1, 2, 2, 2], "temperal_downsample": [False, True, True]}
    if residual:
        layout = {"dim_mult": [1, 2, 2], "temperal_downsample": [True, True], "patch_size": 2}
        layout |= {"is_residual": True, "in_channels": 12, "out_channels": 12}
    return AutoencoderKLWan(
        base_dim=8,
        decoder_base_dim=8,
        z_dim=4,
        num_res_blocks=1,
        latents_mean=mean,
        latents_std=std,
        **layout,
    ).eval()


def tiny_text_encoder(num_layers=2):
    """Return a random UMT5 encoder for the words of the demo world."""
    torch.manual_seed(2)
    return UMT5EncoderModel(
        UMT5Config(
            vocab_size=66,
            d_model=16,
            d_kv=8,
            d_ff=32,
            num_layers=num_layers,
            num_heads=2,
            dropout_rate=0.0,
            pad_token_id=0,
            eos_token_id=1,
            tie_word_embeddings=False,
        )
    ).eval()


def tiny_tokenizer():
    """Return the demo world's tokenizer."""
    return new_tokenizer(vocabulary())


def tiny_pipeline(caption_tokenizer=None, serving=SERVING, **config):
    """Return a float32 pipeline for clips of 32 x 32 pixels."""
    return UniViGUPipeline(
        transformer=tiny_transformer(**config),
        vae=tiny_vae(),
        text_encoder=tiny_text_encoder(),
        tokenizer=tiny_tokenizer(),
        scheduler=FlowMatchEulerDiscreteScheduler(shift=3.0),
        caption_tokenizer=caption_tokenizer,
        serving=serving,
    )


def seeded(seed=0):
    """Return a CPU generator."""
    return torch.Generator().manual_seed(seed)


def inputs(transformer, batch=2, frames=3, side=4, seed=0):
    """Return random arguments of a transformer's forward, with a caption stream."""
    config, generator = transformer.config, seeded(seed)
    patch_t, patch_h, patch_w = config.patch_size
    shape = (batch, config.in_channels, frames * patch_t, side * patch_h, side * patch_w)
    return {
        "hidden_states": torch.randn(shape, generator=generator),
        "timestep": torch.rand(batch, generator=generator) * 1000,
        "encoder_hidden_states": torch.randn(
            batch, config.condition_length, config.text_dim, generator=generator
        ),
        "caption_ids": torch.randint(
            config.caption_vocab_size, (batch, config.caption_length), generator=generator
        ),
        "caption_timestep": torch.rand(batch, generator=generator) * 1000,
    }


def without_caption(arguments):
    """Return forward arguments without their caption stream."""
    return {k: v for k, v in arguments.items() if not k.startswith("caption")}


def clip(frames=5, side=32, seed=0):
    """Return a random uint8 video (frames, side, side, 3)."""
    return torch.randint(
        256, (frames, side, side, 3), dtype=torch.uint8, generator=seeded(seed)
    ).numpy()
