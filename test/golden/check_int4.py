"""Loads a GPTQ or AWQ folder that Graft wrote by its references' own code and compares logits.

    npx graft forward --model FOLDER --input IDS.json --output OUT.safetensors
    python3 test/golden/check_int4.py FOLDER IDS.json OUT.safetensors REFERENCES

REFERENCES holds AutoGPTQ's auto_gptq/nn_modules/qlinear/qlinear_cuda_old.py and AutoAWQ's awq/utils/packing_utils.py.
Transformers reads config.json and its quantization_config, and is the model around the linears that they unpack (a Llama).
Needs torch, transformers and safetensors; no test of the project calls it. Exits non-zero past 1e-4.
"""
import importlib.metadata
import json
import sys

import torch
from safetensors.torch import load_file
from transformers import LlamaConfig, LlamaForCausalLM
from transformers.utils.quantization_config import AwqConfig, GPTQConfig

TOLERANCE = 1e-4

folder, ids_file, output_file, references = sys.argv[1:]
sys.path.insert(0, references)
import packing_utils
from qlinear_cuda_old import QuantLinear

config = json.load(open(f"{folder}/config.json"))
stored = config.pop("quantization_config")
config.pop("torch_dtype", None)
is_gptq = stored["quant_method"] == "gptq"
try:
    parsed = (GPTQConfig if is_gptq else AwqConfig).from_dict(dict(stored))
    print("Transformers reads", {key: value for key, value in parsed.to_dict().items() if key in stored})
except importlib.metadata.PackageNotFoundError as missing:
    print(f"Transformers asks for {missing.name} before it reads modules_in_block_to_quantize")


def unpacked(linear, weights):
    """f32 [out, in]"""
    parts = {key: weights[f"{linear}.{key}"] for key in ("qweight", "qzeros", "scales")}
    if not is_gptq:
        group = stored["group_size"]
        return packing_utils.dequantize_gemm(parts["qweight"], parts["qzeros"], parts["scales"].float(), 4, group).t()
    columns, rows = parts["qweight"].shape[0] * 8, parts["qweight"].shape[1]
    group = stored["group_size"] if stored["group_size"] != -1 else columns
    g_idx = weights[f"{linear}.g_idx"]
    layer = QuantLinear(4, group, columns, rows, False)
    # It knows no order but this: what act order permutes is put in order before, and back after.
    order = torch.argsort(g_idx, stable=True)
    shifts = torch.arange(0, 32, 4, dtype=torch.int32)
    codes = ((parts["qweight"].unsqueeze(1) >> shifts.view(1, 8, 1)) & 15).reshape(columns, rows)[order]
    words = (codes.reshape(-1, 8, rows).long() << shifts.view(1, 8, 1).long()).sum(1)
    parts["qweight"] = torch.where(words >= 2**31, words - 2**32, words).int()
    assert torch.equal(g_idx[order], torch.arange(columns, dtype=torch.int32) // group)
    layer.load_state_dict({**parts, "g_idx": g_idx[order]})
    layer.scales = layer.scales.float()
    ordered = layer(torch.eye(columns)).t()
    weight = torch.empty_like(ordered)
    weight[:, order] = ordered
    return weight


weights = load_file(f"{folder}/model.safetensors")
state = {}
for name, tensor in weights.items():
    linear, part = name.rsplit(".", 1)
    if part == "qweight":
        state[f"{linear}.weight"] = unpacked(linear, weights).contiguous()
    elif part not in ("qzeros", "scales", "g_idx"):
        state[name] = tensor.float()
model = LlamaForCausalLM(LlamaConfig(**config)).float().eval()
found = model.load_state_dict(state, strict=False)
missing = [name for name in found.missing_keys if name != "lm_head.weight" or not config["tie_word_embeddings"]]
assert not missing and not found.unexpected_keys, (missing, found.unexpected_keys)
ids = torch.tensor(json.load(open(ids_file))["input_ids"])
with torch.no_grad():
    expected = model(input_ids=ids).logits
actual = load_file(output_file)["logits"].reshape(expected.shape)
error = (actual - expected).abs().max().item()
print(f"largest difference of logits {error:.2e}, of up to {expected.abs().max().item():.3g}")
sys.exit(0 if error < TOLERANCE else 1)
