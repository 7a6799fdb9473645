"""SNMF fit, d = 3072, n = 8000, k = 100, 200 iterations: the same algorithm in PyTorch beside nissl.

Both fit the same activations, from the same random start family, 2 threads, f32, one restart and no
early stop. The PyTorch side is a plain port of the published update (Ding, Li, Jordan 2010 with a hard
winner-take-all, p = 0.01), written for this comparison, that forms the product for the loss as the
published code does; `--lean` computes the loss from the small matrices instead.

usage: setup.sh, then .venv/bin/python snmf.py
"""

import argparse
import json
import math
import os
import subprocess
import sys
import tempfile
import time

import numpy
import torch

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(os.path.dirname(HERE))
D, N, K, P, ITERATIONS = 3072, 8000, 100, 0.01, 200


def planted(seed):
    """Sparse signed features with noise, [unit, sample]."""
    draw = numpy.random.default_rng(seed)
    features = numpy.zeros((K, D), dtype=numpy.float32)
    for row in features:
        units = draw.choice(D, 31, replace=False)
        row[units] = draw.choice([-1, 1], 31) * draw.uniform(0.5, 1.5, 31)
    features /= numpy.linalg.norm(features, axis=1, keepdims=True)
    on = draw.random((N, K)) < 0.1
    strengths = numpy.where(on, 0.2 + draw.exponential(1.0, (N, K)), 0).astype(numpy.float32)
    noise = draw.normal(0, 0.02, (N, D)).astype(numpy.float32)
    return numpy.ascontiguousarray((strengths @ features + noise).T)


def fit(a, lean):
    generator = torch.Generator().manual_seed(0)
    g = torch.rand(N, K, generator=generator).clamp_min(1e-6)
    keep = math.ceil(P * D)
    square = (a * a).sum()
    eye = 1e-6 * torch.eye(K)
    for _ in range(ITERATIONS):
        z = torch.linalg.solve(g.T @ g + eye, (a @ g).T).T
        threshold = z.abs().topk(keep, dim=0).values[-1]
        z = torch.where(z.abs() >= threshold, z, 0)
        scale = g.norm(dim=0).clamp_min(1e-8)
        g, z = g / scale, z * scale
        p, q = a.T @ z, z.T @ z
        up = (p.abs() + p) / 2 + g @ ((q.abs() - q) / 2)
        down = (p.abs() - p) / 2 + g @ ((q.abs() + q) / 2) + 1e-6
        g = g * (up / down).sqrt()
        if lean:
            loss = square - 2 * (p * g).sum() + ((g.T @ g) * q).sum()
        else:
            loss = (a - z @ g.T).square().sum()
    return float(loss / square)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--lean", action="store_true")
    parser.add_argument("--repetitions", type=int, default=3)
    options = parser.parse_args()
    torch.set_num_threads(2)
    activity = planted(0)
    subprocess.run(
        ["cargo", "build", "--release", "--quiet", "-p", "nissl-studies", "--example", "snmf_peer"],
        check=True, cwd=ROOT,
    )
    target = os.environ.get("CARGO_TARGET_DIR", os.path.join(ROOT, "target"))
    ours = os.path.join(target, "release", "examples", "snmf_peer")
    a = torch.from_numpy(activity)
    ratios = []
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "activity.npy")
        numpy.save(path, numpy.ascontiguousarray(activity.T))
        for _ in range(options.repetitions):
            begun = time.perf_counter()
            loss = fit(a, options.lean)
            theirs = time.perf_counter() - begun
            out = subprocess.run(
                [ours, path, str(K), str(P), str(ITERATIONS)], check=True, capture_output=True,
                text=True, env=os.environ | {"RAYON_NUM_THREADS": "2"},
            )
            mine = json.loads(out.stdout.strip().splitlines()[-1])
            ratios.append(theirs / mine["seconds"])
            print(f"PyTorch {theirs:.2f} s (relative loss {loss:.4f})   nissl {mine['seconds']:.2f} s "
                  f"(relative loss {mine['loss']:.4f})   ratio {ratios[-1]:.2f}")
    print(f"median ratio {sorted(ratios)[len(ratios) // 2]:.2f}")


if __name__ == "__main__":
    sys.exit(main())
