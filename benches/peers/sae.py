"""Training steps of a top-k sparse autoencoder: sparsify and SAELens beside nissl.

4096 samples of 768 units a step, 12288 features, 32 at work, 2 threads, single precision. All train
from the same weights on the same batches, a mixture of 4096 directions of which each sample has 24 with
noise; the file is read and the first two steps are done before the clock starts, and the time is the
median of the steps that follow. A step is the forward pass, the backward pass, Adam with one learning
rate, and what keeps the decoder's norms, each as its trainer does it:

- sparsify: the body of `Trainer.fit`'s hook and step for one `SparseCoder` (its trainer takes batches
  only from a language model): unit rows, share of variance unexplained, features that fired, backward,
  gradient without its part along the rows, `torch.optim.Adam`. Its decoder is PyTorch's embedding bag,
  which it takes where there is no GPU for Triton.
- SAELens: `SAETrainer`'s own step with a `TopKTrainingSAE` as it comes (dense, scaled by the decoder's
  norms); with sparse activations, which on the CPU have no backward pass through those scales, so that
  the norms are left alone; and with its `autocast` to bfloat16, which PyTorch multiplies on the matrix
  unit where there is one.
- nissl: `crates/kernels/examples/sae_peer.rs`, the same step as the one beside it.

The losses must agree step by step where the arithmetic is the same, in single precision without the
scales, and nissl's last one must be within 1 in 1000 of, or below, that of SAELens in single precision.

usage: setup.sh, then .venv/bin/python sae.py
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(os.path.dirname(HERE))
ROWS, UNITS, FEATURES, K, BATCHES = 4096, 768, 12288, 32, 8
RATE, WARM = 3e-4, 2
PEERS = ["sparsify", "saelens", "saelens-sparse", "saelens-autocast"]


def write_inputs(path):
    import torch
    from safetensors.torch import save_file

    generator = torch.Generator().manual_seed(0)
    truth = torch.nn.functional.normalize(torch.randn(4096, UNITS, generator=generator))
    batches = torch.empty(BATCHES, ROWS, UNITS)
    for batch in batches:
        chosen = torch.rand(ROWS, 4096, generator=generator).topk(24).indices
        sizes = torch.rand(ROWS, 24, generator=generator) + 0.5
        batch.copy_(torch.nn.functional.embedding_bag(chosen, truth, per_sample_weights=sizes, mode="sum"))
        batch += 0.02 * torch.randn(ROWS, UNITS, generator=generator) + 0.5
    decoder = torch.nn.functional.normalize(torch.randn(FEATURES, UNITS, generator=generator))
    mean = batches[0].mean(0)
    save_file({"batches": batches, "decoder": decoder, "mean": mean}, path)


def sparsify_step(inputs):
    os.environ["SPARSIFY_DISABLE_TRITON"] = "1"
    import torch
    from sparsify.config import SparseCoderConfig
    from sparsify.sparse_coder import SparseCoder

    sae = SparseCoder(UNITS, SparseCoderConfig(num_latents=FEATURES, k=K), dtype=torch.float32)
    with torch.no_grad():
        sae.encoder.weight.copy_(inputs["decoder"])
        sae.W_dec.copy_(inputs["decoder"])
        sae.b_dec.copy_(inputs["mean"])
    adam = torch.optim.Adam(sae.parameters(), lr=RATE)
    did_fire = torch.zeros(FEATURES, dtype=torch.bool)

    def step(x):
        sae.set_decoder_norm_to_unit_norm()
        total_variance = (x - x.mean(0)).pow(2).sum()
        out = sae(x, y=x, dead_mask=None, total_variance=total_variance)
        did_fire[out.latent_indices.flatten()] = True
        out.fvu.backward()
        sae.remove_gradient_parallel_to_decoder_directions()
        adam.step()
        adam.zero_grad()
        did_fire.zero_()
        return float(out.fvu.detach())

    return step


def saelens_step(inputs, sparse=False, autocast=False):
    import torch
    from sae_lens.config import SAETrainerConfig
    from sae_lens.saes.topk_sae import TopKTrainingSAE, TopKTrainingSAEConfig
    from sae_lens.training.sae_trainer import SAETrainer

    config = TopKTrainingSAEConfig(
        d_in=UNITS, d_sae=FEATURES, k=K, use_sparse_activations=sparse,
        # Sparse activations cannot be scaled backwards on the CPU.
        rescale_acts_by_decoder_norm=not sparse,
    )
    sae = TopKTrainingSAE(config)
    with torch.no_grad():
        sae.W_enc.copy_(inputs["decoder"].T)
        sae.W_dec.copy_(inputs["decoder"])
        sae.b_dec.copy_(inputs["mean"])
    training = SAETrainerConfig(
        total_training_samples=10**9, train_batch_size_samples=ROWS, lr=RATE, lr_end=RATE,
        autocast=autocast,
    )
    trainer = SAETrainer(training, sae, iter(()))

    def step(x):
        out = trainer._train_step(sae=sae, sae_in=x)
        trainer.n_training_steps += 1
        variance = (x - x.mean(0)).pow(2).sum()
        return float((out.sae_out.detach().float() - x).pow(2).sum() / variance)

    return step


def peer(name, path, steps):
    import torch
    from safetensors.torch import load_file

    torch.set_num_threads(2)
    torch.set_float32_matmul_precision("highest")
    inputs = load_file(path)
    step = {
        "sparsify": sparsify_step,
        "saelens": saelens_step,
        "saelens-sparse": lambda inputs: saelens_step(inputs, sparse=True),
        "saelens-autocast": lambda inputs: saelens_step(inputs, autocast=True),
    }[name](inputs)
    seconds, unexplained = [], []
    for number in range(int(steps)):
        begun = time.perf_counter()
        unexplained.append(step(inputs["batches"][number % BATCHES]))
        seconds.append(time.perf_counter() - begun)
    print(json.dumps({"seconds": seconds, "unexplained": unexplained}))


def run(command):
    """Last line of a process, and its peak memory in MB."""
    with tempfile.TemporaryFile("w+") as out:
        process = subprocess.Popen(
            command, stdout=out, env=os.environ | {"RAYON_NUM_THREADS": "2", "OMP_NUM_THREADS": "2"}
        )
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        if process.returncode:
            sys.exit(f"{command[0]} ended with {process.returncode}")
        out.seek(0)
        return json.loads(out.read().strip().splitlines()[-1]), usage.ru_maxrss / 1024


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--repetitions", type=int, default=3)
    parser.add_argument("--steps", type=int, default=12)
    parser.add_argument("--peer", action="append", choices=PEERS)
    parser.add_argument("--part", nargs="+", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.part:
        name, *arguments = options.part
        return {"inputs": write_inputs, "peer": peer}[name](*arguments)
    subprocess.run(
        ["cargo", "build", "--release", "--quiet", "-p", "nissl-kernels", "--example", "sae_peer"],
        check=True, cwd=ROOT,
    )
    target = os.environ.get("CARGO_TARGET_DIR", os.path.join(ROOT, "target"))
    ours = os.path.join(target, "release", "examples", "sae_peer")
    mine = [sys.executable, os.path.abspath(__file__), "--part"]
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "in.safetensors")
        subprocess.run([*mine, "inputs", path], check=True)
        for name in options.peer or PEERS:
            ratios = []
            for _ in range(options.repetitions):
                theirs, their_peak = run([*mine, "peer", name, path, str(options.steps)])
                recipe = name.partition("-")[0]
                found, my_peak = run([ours, path, str(K), str(options.steps), str(RATE), recipe])
                their_time, my_time = (
                    statistics.median(run["seconds"][WARM:]) for run in (theirs, found)
                )
                ratios.append(their_time / my_time)
                print(f"{name} {their_time * 1e3:.0f} ms, {ROWS / their_time:.0f} tokens/s, "
                      f"{their_peak:.0f} MB   nissl {my_time * 1e3:.0f} ms, "
                      f"{ROWS / my_time:.0f} tokens/s, {my_peak:.0f} MB   "
                      f"{ratios[-1]:.2f} times as fast", flush=True)
            pairs = list(zip(theirs["unexplained"], found["unexplained"]))
            gap = max(abs(a / b - 1) for a, b in pairs)
            if name in ("sparsify", "saelens-sparse") and gap > 1e-3 or (
                name == "saelens" and pairs[-1][1] > 1.001 * pairs[-1][0]
            ):
                sys.exit(f"the losses of {name} and nissl differ: {pairs}")
            print(f"{name}: median {statistics.median(ratios):.2f} times as fast; variance unexplained "
                  f"after {options.steps} steps {theirs['unexplained'][-1]:.4f}, "
                  f"nissl {found['unexplained'][-1]:.4f}, curves within {gap:.1e}", flush=True)


if __name__ == "__main__":
    sys.exit(main())
