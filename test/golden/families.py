"""Makes test/golden/families: tiny models of every architecture, each with the options of its family that the tiny
models of the reference leave at their defaults, or with sequences too short to reach.

    python3 test/golden/families.py test/golden/families

For each: config.json, model.safetensors, an adapter on every linear as PEFT saves it (adapter/), and what Transformers
and PEFT compute in f32 with eager attention: expected.safetensors has input_ids, labels, logits, grad.NAME of every
parameter, and with the adapter adapter.logits and adapter.grad.NAME; expected.json has loss, prompt_ids, greedy_ids.
Needs torch, transformers, peft and safetensors.
"""
import json
import sys
from pathlib import Path

import torch
import transformers as hf
from peft import LoraConfig, get_peft_model
from safetensors.torch import save_file

SIZES = dict(
    hidden_size=24, intermediate_size=32, num_hidden_layers=2, num_attention_heads=3, num_key_value_heads=1,
    vocab_size=32, max_position_embeddings=64, initializer_range=0.2, bos_token_id=1, eos_token_id=None, pad_token_id=0,
)
LENGTH = 24
LINEAR = {"rope_type": "linear", "factor": 4.0, "rope_theta": 10000.0}
LONG = {
    "rope_type": "longrope", "rope_theta": 10000.0,
    "short_factor": [1.0, 1.1], "long_factor": [1.5, 6.0], "partial_rotary_factor": 0.5,
}


def variants():
    yield "llama_linear", hf.LlamaConfig(
        **SIZES, rope_parameters=LINEAR, attention_bias=True, mlp_bias=True, head_dim=12
    ), hf.LlamaForCausalLM
    yield "mistral_window", hf.MistralConfig(**SIZES, sliding_window=5, head_dim=16), hf.MistralForCausalLM
    yield "qwen2_window", hf.Qwen2Config(
        **SIZES, use_sliding_window=True, sliding_window=4, max_window_layers=1
    ), hf.Qwen2ForCausalLM
    yield "qwen3_bias", hf.Qwen3Config(
        **SIZES, head_dim=12, attention_bias=True, use_sliding_window=True, sliding_window=6, max_window_layers=0,
    ), hf.Qwen3ForCausalLM
    yield "phi3_longrope", hf.Phi3Config(
        **SIZES, rope_parameters=dict(LONG), original_max_position_embeddings=16, sliding_window=20
    ), hf.Phi3ForCausalLM
    yield "smollm3_window", hf.SmolLM3Config(
        **SIZES, no_rope_layers=[0, 1], use_sliding_window=True, sliding_window=7, attention_bias=True, mlp_bias=True
    ), hf.SmolLM3ForCausalLM
    gemma = dict(SIZES, head_dim=12, query_pre_attn_scalar=10, sliding_window=6)
    yield "gemma2_caps", hf.Gemma2Config(
        **gemma, attn_logit_softcapping=1.5, final_logit_softcapping=2.0, attention_bias=True
    ), hf.Gemma2ForCausalLM
    yield "gemma3_linear", hf.Gemma3TextConfig(
        **gemma,
        sliding_window_pattern=2,
        final_logit_softcapping=3.0,
        rope_parameters={
            "full_attention": dict(LINEAR, rope_theta=1000.0),
            "sliding_attention": {"rope_type": "default", "rope_theta": 100.0},
        },
    ), hf.Gemma3ForCausalLM


def make(folder, config, model_class, seed):
    torch.manual_seed(seed)
    config._attn_implementation = "eager"
    model = model_class(config).eval()
    for name, parameter in model.named_parameters():
        # Norms and biases start as constants: what is lost or added twice must show.
        if parameter.dim() == 1:
            parameter.data += 0.2 * torch.randn_like(parameter)
    model.save_pretrained(folder)
    (folder / "generation_config.json").unlink(missing_ok=True)

    ids = torch.randint(2, config.vocab_size, (2, LENGTH))
    labels = ids.clone()
    labels[0, :5] = labels[1, 17:19] = -100
    short = ids[:, : LENGTH // 2].contiguous()
    expected = {"input_ids": ids, "labels": labels, "short.logits": model(input_ids=short).logits.detach().contiguous()}
    output = model(input_ids=ids, labels=labels)
    output.loss.backward()
    expected["logits"] = output.logits.detach().contiguous()
    for name, parameter in model.named_parameters():
        expected[f"grad.{name}"] = parameter.grad.contiguous()
    prompt = ids[:1, :7]
    # Without a cache: with one, Transformers 5.12 forgets the prompt where LongRoPE changes its factors.
    greedy = model.generate(
        prompt, max_new_tokens=LENGTH, do_sample=False, use_cache=False, attention_mask=torch.ones_like(prompt)
    )

    peft = get_peft_model(model, LoraConfig(r=2, lora_alpha=3, target_modules="all-linear", task_type="CAUSAL_LM"))
    for name, parameter in peft.named_parameters():
        if "lora_B" in name:
            parameter.data = 0.2 * torch.randn_like(parameter)
    adapted = peft.eval()(input_ids=ids, labels=labels)
    adapted.loss.backward()
    expected["adapter.logits"] = adapted.logits.detach().contiguous()
    for name, parameter in peft.named_parameters():
        if parameter.requires_grad:
            expected[f"adapter.grad.{name.replace('.default', '')}"] = parameter.grad.contiguous()
    peft.save_pretrained(folder / "adapter")
    (folder / "adapter" / "README.md").unlink(missing_ok=True)
    saved = folder / "adapter" / "adapter_config.json"
    adapter = json.loads(saved.read_text())
    saved.write_text(json.dumps(adapter | {"base_model_name_or_path": folder.name}, indent=2) + "\n")

    save_file(expected, folder / "expected.safetensors")
    facts = {
        "loss": output.loss.item(),
        "prompt_ids": prompt[0].tolist(),
        "greedy_ids": greedy[0, 7:].tolist(),
        "made_with": f"torch {torch.__version__}, transformers {hf.__version__}",
    }
    (folder / "expected.json").write_text(json.dumps(facts) + "\n")


for seed, (name, config, model_class) in enumerate(variants()):
    folder = Path(sys.argv[1]) / name
    folder.mkdir(parents=True, exist_ok=True)
    make(folder, config, model_class, seed)
    print(name)
