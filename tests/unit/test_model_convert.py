"""Stock Wan folders and the released file become Uni-ViGU checkpoints."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from diffusers import UniPCMultistepScheduler, WanTransformer3DModel
from safetensors.torch import load_file, save_file

from model import UniViGUPipeline, UniViGUTransformer
from model.convert import convert
from model.released import our_name

REFERENCE = Path(__file__).parents[1] / "data" / "released-tiny"
WEIGHTS = Path("transformer") / "diffusion_pytorch_model.safetensors"


@pytest.fixture(scope="module")
def ready(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("ready")
    convert(REFERENCE / "wan", out, released=REFERENCE / "released.pth", caption_length=12)
    return out


@pytest.fixture(scope="module")
def io() -> dict[str, torch.Tensor]:
    return load_file(REFERENCE / "io.safetensors")


@pytest.mark.parametrize("masked", [False, True])
def test_converted_reference_reproduces_the_authors_outputs(
    ready: Path, io: dict[str, torch.Tensor], masked: bool
) -> None:
    model = UniViGUTransformer.from_pretrained(ready / "transformer").eval()
    mask = io["text_mask"] if masked else None
    with torch.no_grad():
        velocity, logits = model(io["x_v"], io["time_v"], io["cond"], io["x_t"], io["time_t"], mask)
    suffix = "_masked" if masked else ""
    torch.testing.assert_close(velocity, io["video_velocity" + suffix], atol=1e-4, rtol=0)
    torch.testing.assert_close(logits, io["text_logits" + suffix], atol=1e-4, rtol=0)


def test_converting_twice_gives_the_same_bytes(ready: Path, tmp_path: Path) -> None:
    convert(REFERENCE / "wan", tmp_path, released=REFERENCE / "released.pth", caption_length=12)
    for path in sorted(p for p in ready.rglob("*") if p.is_file()):
        assert (tmp_path / path.relative_to(ready)).read_bytes() == path.read_bytes(), path


def test_an_untrained_conversion_keeps_wan_and_starts_the_text_side_from_it(
    tmp_path: Path,
) -> None:
    convert(REFERENCE / "wan", tmp_path)
    stock = load_file(REFERENCE / "wan" / WEIGHTS)
    made = load_file(tmp_path / WEIGHTS)
    assert all(torch.equal(made[name], tensor) for name, tensor in stock.items())
    ffn = "blocks.1.{}.net.2.weight"
    assert torch.equal(made[ffn.format("ffn_text")], stock[ffn.format("ffn")])
    assert torch.equal(
        made["caption_time_proj.weight"], stock["condition_embedder.time_proj.weight"]
    )
    assert made["text_proj_out.weight"].abs().max() == 0
    assert made["caption_embedding.weight"].shape[0] == 256_384


def test_missing_parts_are_left_out_and_listed(tmp_path: Path) -> None:
    report = convert(REFERENCE / "wan", tmp_path, released=REFERENCE / "released.pth")
    assert report.left_out == ["vae", "text_encoder", "tokenizer", "scheduler"]
    assert str(WEIGHTS) in report.written
    assert sorted(p.name for p in tmp_path.iterdir()) == ["model_index.json", "transformer"]


def test_a_whole_wan_folder_becomes_a_pipeline(tiny_checkpoint: Path, tmp_path: Path) -> None:
    wan = tmp_path / "wan"
    config = json.loads((tiny_checkpoint / "transformer" / "config.json").read_text())
    names = ("num_attention_heads", "attention_head_dim", "ffn_dim", "num_layers", "text_dim")
    stock = WanTransformer3DModel(**{name: config[name] for name in names}, freq_dim=128)
    stock.save_pretrained(wan / "transformer")
    for part in ("vae", "text_encoder", "tokenizer"):
        shutil.copytree(tiny_checkpoint / part, wan / part)
    UniPCMultistepScheduler(
        prediction_type="flow_prediction", use_flow_sigmas=True, flow_shift=3.0
    ).save_pretrained(wan / "scheduler")
    index = json.loads((tiny_checkpoint / "model_index.json").read_text())
    (wan / "model_index.json").write_text(json.dumps({"tokenizer": index["tokenizer"]}))
    report = convert(wan, tmp_path / "out", caption_length=8)
    assert report.left_out == []
    pipeline = UniViGUPipeline.from_pretrained(tmp_path / "out")
    made = pipeline.generate(
        "a red circle", seed=0, height=32, width=32, num_frames=5, num_inference_steps=2
    )
    assert made.frames.shape == (5, 32, 32, 3)
    assert pipeline.transformer.config.caption_vocab_size == 66


def test_the_sources_dtype_is_kept_and_dtype_casts_every_part(
    ready: Path, tiny_checkpoint: Path, tmp_path: Path
) -> None:
    assert {t.dtype for t in load_file(ready / WEIGHTS).values()} == {torch.float32}
    wan = tmp_path / "wan"
    shutil.copytree(REFERENCE / "wan", wan)
    shutil.copytree(tiny_checkpoint / "vae", wan / "vae")
    convert(wan, tmp_path / "out", released=REFERENCE / "released.pth", dtype="fp16")
    for path in (tmp_path / "out").rglob("*.safetensors"):
        assert {t.dtype for t in load_file(path).values()} == {torch.float16}, path


def test_shards_load_like_one_file(ready: Path, tmp_path: Path) -> None:
    convert(
        REFERENCE / "wan",
        tmp_path,
        released=REFERENCE / "released.pth",
        caption_length=12,
        max_shard_bytes=100_000,
    )
    assert len(list((tmp_path / "transformer").glob("*.safetensors"))) > 3
    sharded = UniViGUTransformer.from_pretrained(tmp_path / "transformer").state_dict()
    assert all(torch.equal(sharded[n], t) for n, t in load_file(ready / WEIGHTS).items())


def test_training_wrappers_are_stripped_from_keys(
    io: dict[str, torch.Tensor], ready: Path, tmp_path: Path
) -> None:
    content = torch.load(REFERENCE / "released.pth", weights_only=True)
    wrapped = {
        key.replace("blocks.0.", "blocks.0._fsdp_wrapped_module._orig_mod."): tensor
        for key, tensor in content["model"].items()
    }
    torch.save(content | {"model": wrapped}, tmp_path / "wrapped.pth")
    convert(
        REFERENCE / "wan", tmp_path / "out", released=tmp_path / "wrapped.pth", caption_length=12
    )
    assert (tmp_path / "out" / WEIGHTS).read_bytes() == (ready / WEIGHTS).read_bytes()


def test_derived_rotary_frequencies_are_ignored() -> None:
    assert our_name("rotary_emb_text.inv_freq") is None


def _broken(tmp_path: Path, change: dict[str, torch.Tensor | None]) -> Path:
    content = torch.load(REFERENCE / "released.pth", weights_only=True)
    model = {**content["model"], **change}
    content["model"] = {key: tensor for key, tensor in model.items() if tensor is not None}
    torch.save(content, tmp_path / "broken.pth")
    return tmp_path / "broken.pth"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            {"blocks.1.ffn_t.net.2.bias": None},
            r"the key blocks\.1\.ffn_text\.net\.2\.bias is missing",
        ),
        ({"vocab_embed.weight": None}, r"the key of caption_embedding\.weight is missing"),
        ({"blocks.7.norm2.bias": torch.zeros(48)}, r"the key blocks\.7\.norm2\.bias is not part"),
        ({"scale_shift_table_v": torch.zeros(1, 2, 40)}, r"is \(1, 2, 40\), must be \(1, 2, 48\)"),
    ],
)
def test_a_wrong_released_file_is_refused_with_the_key(
    tmp_path: Path, change: dict[str, torch.Tensor | None], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        convert(REFERENCE / "wan", tmp_path / "out", released=_broken(tmp_path, change))
    assert not (tmp_path / "out").exists()


def test_a_truncated_released_file_is_refused_with_its_size(tmp_path: Path) -> None:
    whole = (REFERENCE / "released.pth").read_bytes()
    (tmp_path / "cut.pth").write_bytes(whole[:300_000])
    with pytest.raises(ValueError, match=r"cut\.pth: cannot read its 300000 bytes"):
        convert(REFERENCE / "wan", tmp_path / "out", released=tmp_path / "cut.pth")


def test_a_truncated_wan_file_is_refused_with_its_size(tmp_path: Path) -> None:
    shutil.copytree(REFERENCE / "wan", tmp_path / "wan")
    path = tmp_path / "wan" / WEIGHTS
    path.write_bytes(path.read_bytes()[:200_000])
    with pytest.raises(ValueError, match="200000 bytes are not a complete safetensors file"):
        convert(tmp_path / "wan", tmp_path / "out")


def test_a_pickle_that_runs_code_is_refused(tmp_path: Path) -> None:
    torch.save({"model": Path("surprise")}, tmp_path / "code.pth")
    with pytest.raises(ValueError, match=r"code\.pth: cannot read"):
        convert(REFERENCE / "wan", tmp_path / "out", released=tmp_path / "code.pth")


def test_a_folder_that_is_no_wan_checkpoint_is_refused(
    tiny_checkpoint: Path, tmp_path: Path
) -> None:
    with pytest.raises(ValueError, match=r"there is no transformer/config\.json"):
        convert(tmp_path, tmp_path / "out")
    with pytest.raises(ValueError, match="'UniViGUTransformer', must be 'WanTransformer3DModel'"):
        convert(tiny_checkpoint, tmp_path / "out")


_MEASURE = """
import resource, sys
from pathlib import Path
from model.convert import convert
rss = lambda: resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
before = rss()
convert(Path(sys.argv[1]), Path(sys.argv[2]), dtype="bf16", max_shard_bytes=16 << 20)
print(rss() - before)
"""


def test_peak_memory_stays_below_one_and_a_fifth_of_the_file(tmp_path: Path) -> None:
    wan = tmp_path / "wan" / "transformer"
    wan.mkdir(parents=True)
    stock = WanTransformer3DModel(
        num_attention_heads=8, attention_head_dim=64, ffn_dim=4096, num_layers=8, text_dim=64
    )
    stock.save_config(wan)
    save_file(stock.state_dict(), wan / WEIGHTS.name)
    encoder = tmp_path / "wan" / "text_encoder"
    encoder.mkdir()
    (encoder / "config.json").write_text('{"vocab_size": 64}')
    save_file({"unused": torch.zeros(1)}, encoder / "model.safetensors")
    size = (wan / WEIGHTS.name).stat().st_size
    assert size > 150 << 20
    command = [sys.executable, "-W", "ignore", "-c", _MEASURE, tmp_path / "wan", tmp_path / "out"]
    answer = subprocess.run(command, capture_output=True, text=True, check=True)
    assert int(answer.stdout) <= 1.2 * size
