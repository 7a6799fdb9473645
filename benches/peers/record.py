"""Forward and record one MLP site of a GPT-2-small-shaped network: TransformerLens beside nissl.

Both read 16 x 512 random tokens with random weights, f32, 2 threads, and save the activations
of one MLP site. nissl runs as `cargo run --release -p nissl-studies --example record_peer`.
Each side runs in a process of its own, in turns, and reports seconds of each repetition and its
peak memory; the median of the repetitions is compared.

usage: setup.sh, then .venv/bin/python record.py [--layer 6] [--repetitions 5]
"""

import argparse
import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(os.path.dirname(HERE))
BATCH, CONTEXT, VOCABULARY = 16, 512, 50257


def checkpoint(folder):
    """A GPT-2-small-shaped checkpoint with random weights, as the hub has them."""
    import torch
    from safetensors.torch import save_file

    generator = torch.Generator().manual_seed(0)
    width, layers = 768, 12
    shapes = {"wte.weight": (VOCABULARY, width), "wpe.weight": (1024, width)}
    for layer in range(layers):
        name = f"h.{layer}."
        shapes |= {
            name + "attn.c_attn.weight": (width, 3 * width),
            name + "attn.c_attn.bias": (3 * width,),
            name + "attn.c_proj.weight": (width, width),
            name + "attn.c_proj.bias": (width,),
            name + "mlp.c_fc.weight": (width, 4 * width),
            name + "mlp.c_fc.bias": (4 * width,),
            name + "mlp.c_proj.weight": (4 * width, width),
            name + "mlp.c_proj.bias": (width,),
        }
    tensors = {name: 0.02 * torch.randn(shape, generator=generator) for name, shape in shapes.items()}
    norms = ["ln_f"] + [f"h.{layer}.ln_{n}" for layer in range(layers) for n in (1, 2)]
    for name in norms:
        tensors[name + ".weight"] = torch.ones(width)
        tensors[name + ".bias"] = torch.zeros(width)
    save_file(tensors, os.path.join(folder, "model.safetensors"))
    config = {
        "architectures": ["GPT2LMHeadModel"], "model_type": "gpt2", "vocab_size": VOCABULARY,
        "n_positions": 1024, "n_embd": width, "n_layer": layers, "n_head": 12,
        "activation_function": "gelu_new", "layer_norm_epsilon": 1e-5, "tie_word_embeddings": True,
    }
    with open(os.path.join(folder, "config.json"), "w") as file:
        json.dump(config, file)


def peer(mode, layer, repetitions, folder):
    """One TransformerLens process: run, filter one site, save."""
    import torch
    from safetensors.torch import save_file
    from transformer_lens import HookedTransformer, HookedTransformerConfig

    torch.set_num_threads(2)
    config = HookedTransformerConfig(
        n_layers=12, d_model=768, n_ctx=1024, d_head=64, n_heads=12, d_mlp=3072,
        d_vocab=VOCABULARY, act_fn="gelu_new", normalization_type="LN", seed=0, device="cpu",
    )
    model = HookedTransformer(config)
    tokens = torch.randint(0, VOCABULARY, (BATCH, CONTEXT), generator=torch.Generator().manual_seed(1))
    site = f"blocks.{layer}.mlp.hook_post"
    options = {"stop_at_layer": layer + 1} if mode == "stop" else {}
    seconds = []
    for number in range(repetitions + 1):
        begun = time.perf_counter()
        with torch.no_grad():
            _, cache = model.run_with_cache(tokens, names_filter=site, **options)
        save_file({"activity": cache[site].reshape(-1, 3072).contiguous()}, os.path.join(folder, "peer.safetensors"))
        with open(os.path.join(folder, "peer.safetensors"), "rb") as file:
            os.fsync(file.fileno())
        if number:
            seconds.append(time.perf_counter() - begun)
        del cache
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    print(json.dumps({"seconds": seconds, "peak_bytes": peak}))


def run(command, environment=None):
    out = subprocess.run(command, check=True, capture_output=True, text=True, env=environment, cwd=ROOT)
    return json.loads(out.stdout.strip().splitlines()[-1])


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--layer", type=int, default=6)
    parser.add_argument("--repetitions", type=int, default=5)
    parser.add_argument("--peer", choices=["default", "stop"])
    parser.add_argument("--folder")
    options = parser.parse_args()
    if options.peer:
        return peer(options.peer, options.layer, options.repetitions, options.folder)
    subprocess.run(
        ["cargo", "build", "--release", "--quiet", "-p", "nissl-studies", "--example", "record_peer"],
        check=True, cwd=ROOT,
    )
    target = os.environ.get("CARGO_TARGET_DIR", os.path.join(ROOT, "target"))
    ours = os.path.join(target, "release", "examples", "record_peer")
    with tempfile.TemporaryDirectory() as folder:
        checkpoint(folder)
        common = [str(options.layer), str(options.repetitions)]
        clean = {k: v for k, v in os.environ.items() if not k.startswith("OPENBLAS")}
        clean |= {"RAYON_NUM_THREADS": "2", "OMP_NUM_THREADS": "2"}
        results = {}
        for mode in ("default", "stop"):
            results[mode] = run(
                [sys.executable, __file__, "--peer", mode, "--folder", folder,
                 "--layer", common[0], "--repetitions", common[1]], clean)
            results["nissl, beside " + mode] = run([ours, folder, *common], clean)
    for name, result in results.items():
        median = statistics.median(result["seconds"])
        print(f"{name:24} {median:7.3f} s   {result['peak_bytes'] / 1e6:8.0f} MB   {[round(s, 3) for s in result['seconds']]}")
    for mode in ("default", "stop"):
        mine, theirs = results["nissl, beside " + mode], results[mode]
        speed = statistics.median(theirs["seconds"]) / statistics.median(mine["seconds"])
        memory = mine["peak_bytes"] / theirs["peak_bytes"]
        print(f"against {mode}: {speed:.2f} x the speed at {memory:.2f} x the peak memory")


if __name__ == "__main__":
    main()
