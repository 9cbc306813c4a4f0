"""Writes gguf/*.gguf and gguf/expected.json: tiny random models as llama.cpp's converter writes them.

    PYTHONPATH=/usr/share/llama.cpp/llama.cpp-tools python3 test/golden/gguf_models.py

Needs torch, transformers, gguf and llama.cpp's `conversion` package (where its convert_hf_to_gguf.py finds it). For
each family: config.json and the SHA-256 of every tensor as f32, as Transformers saves them. For quantised files: the
values that gguf-py, which is not our code, expands them to.
"""

import hashlib
import json
import sys
import tempfile
from pathlib import Path

import gguf
import numpy as np
import torch
from conversion import get_model_class
from conversion.base import ModelBase
from gguf.quants import dequantize, quantize
from safetensors import safe_open
from transformers import AutoConfig, AutoModelForCausalLM

OUT = Path(__file__).resolve().parent / "gguf"
TYPES = gguf.GGMLQuantizationType

SMALL = dict(
    vocab_size=12, hidden_size=16, intermediate_size=24, num_hidden_layers=2, num_attention_heads=2,
    num_key_value_heads=1, max_position_embeddings=64, bos_token_id=1, eos_token_id=2, pad_token_id=0,
)
LONG = {"rope_type": "longrope", "long_factor": [1.5, 2.25, 3.1, 4.7], "short_factor": [1.0, 1.05, 1.1, 1.2]}

CONFIGS = {
    "llama": dict(SMALL, rms_norm_eps=1e-5, num_key_value_heads=2, rope_parameters={"rope_type": "default", "rope_theta": 10000.0}),
    "llama3": dict(
        SMALL, model_type="llama", head_dim=16, tie_word_embeddings=True,
        rope_parameters={
            "rope_type": "llama3", "rope_theta": 500000.0, "factor": 32.0, "low_freq_factor": 1.0,
            "high_freq_factor": 4.0, "original_max_position_embeddings": 8192,
        },
    ),
    "llama-bias": dict(SMALL, model_type="llama", attention_bias=True, tie_word_embeddings=True),
    "qwen2": dict(SMALL, tie_word_embeddings=True, rope_parameters={"rope_type": "default", "rope_theta": 1000000.0}),
    "qwen3": dict(SMALL, head_dim=16, tie_word_embeddings=True, rope_parameters={"rope_type": "default", "rope_theta": 1000000.0}),
    "phi3": dict(SMALL, rms_norm_eps=1e-5, sliding_window=8, original_max_position_embeddings=32, rope_parameters={"rope_type": "default", "rope_theta": 10000.0}),
    "phi3-long": dict(SMALL, model_type="phi3", original_max_position_embeddings=32, rope_parameters=dict(LONG, rope_theta=10000.0, original_max_position_embeddings=32)),
    "gemma2": dict(SMALL, head_dim=8, query_pre_attn_scalar=8, sliding_window=8, hidden_activation="gelu_pytorch_tanh"),
    "gemma3": dict(SMALL, model_type="gemma3_text", head_dim=8, query_pre_attn_scalar=8, sliding_window=8, num_hidden_layers=6, hidden_activation="gelu_pytorch_tanh"),
    "smollm3": dict(SMALL, num_hidden_layers=4, tie_word_embeddings=True, rope_parameters={"rope_type": "default", "rope_theta": 2000000.0}),
}


def random_model(name, settings):
    model_type = settings.pop("model_type", name)
    config = AutoConfig.for_model(model_type, **settings)
    torch.manual_seed(len(name))
    model = AutoModelForCausalLM.from_config(config)
    with torch.no_grad():
        for parameter in model.parameters():
            # bf16 values of this size are f16 values too, and stay exact when Gemma's converter adds 1.
            parameter.copy_((torch.randn_like(parameter) * 0.1).bfloat16().float().round(decimals=8))
            parameter.copy_((parameter * 2**12).round() / 2**12)
    return model


def convert(folder, out, file_type):
    hparams = ModelBase.load_hparams(folder, False)
    converter = get_model_class(hparams["architectures"][0])
    converter.set_vocab = lambda self: None
    converter(folder, file_type, out, eager=True).write()


def digest(array):
    return hashlib.sha256(np.ascontiguousarray(array, dtype="<f4").tobytes()).hexdigest()


def family(name, settings, folder):
    random_model(name, settings).save_pretrained(folder)
    vocabulary = {str(i): i for i in range(SMALL["vocab_size"])}
    (folder / "tokenizer.json").write_text(json.dumps({"model": {"vocab": vocabulary}, "added_tokens": []}))
    convert(folder, OUT / f"{name}.gguf", gguf.LlamaFileType.MOSTLY_F16)
    tensors = {}
    with safe_open(folder / "model.safetensors", "np") as file:
        for key in file.keys():
            tensor = file.get_tensor(key)
            tensors[key] = {"shape": list(tensor.shape), "sha256": digest(tensor)}
    return {"config": json.loads((folder / "config.json").read_text()), "tensors": tensors}


def quantised():
    """One file with a matrix of each type under names of a Llama, rows of three blocks, extremes among them."""
    rng = np.random.default_rng(5)
    writer = gguf.GGUFWriter(OUT / "types.gguf", "llama")
    values = {}
    matrix = rng.standard_normal((4, 96)).astype(np.float32)
    matrix[0, :32] = 0
    matrix[1, :32] *= 1e-6
    matrix[2, :32] *= 1e4
    for kind in (TYPES.F32, TYPES.F16, TYPES.BF16, TYPES.Q8_0, TYPES.Q4_0):
        stored = quantize(matrix, kind)
        shape = stored.shape if kind in (TYPES.F32, TYPES.F16) else None
        writer.add_tensor(kind.name, stored, raw_shape=shape, raw_dtype=kind)
        values[kind.name] = digest(dequantize(stored, kind).reshape(matrix.shape))
    # gguf-py can't make Q6_K, but expand it: random codes and scales, with a scale for all that is a number.
    blocks = rng.integers(0, 256, (2, 2, 210), dtype=np.uint8)
    blocks[..., 208:] = np.array([[0.01], [-3e-5], [0.5], [2e-7]], dtype=np.float16).view(np.uint8).reshape(2, 2, 2)
    stored = blocks.reshape(2, 420)
    writer.add_tensor("Q6_K", stored, raw_dtype=TYPES.Q6_K)
    values["Q6_K"] = digest(dequantize(stored, TYPES.Q6_K))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return values


def main():
    OUT.mkdir(exist_ok=True)
    chosen = sys.argv[1:] or CONFIGS
    expected = {}
    for name in chosen:
        with tempfile.TemporaryDirectory() as folder:
            # The folder's name goes into the file.
            expected[name] = family(name, dict(CONFIGS[name]), Path(folder) / "tiny")
    rows = ",\n".join(f"  {json.dumps(name)}: {json.dumps(value)}" for name, value in expected.items())
    (OUT / "expected.json").write_text(f'{{"families": {{\n{rows}\n}},\n"types": {json.dumps(quantised())}}}\n')


if __name__ == "__main__":
    main()
