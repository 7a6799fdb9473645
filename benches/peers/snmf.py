"""SNMF, d = 3072, n = 8000, k = 100, p = 0.01: how soon nissl reaches the loss of PyTorch's 500 iterations.

The PyTorch side is a plain port of the published update (Ding, Li, Jordan 2010 with a hard
winner-take-all), written for this comparison. It computes the loss from the small matrices; the published
code forms the product for it (`--whole`), which is slower. f32, 2 threads, one restart from random
coefficients, no early stop. PyTorch flushes denormal numbers to zero: without that (`--denormals`, its
default) the same iterations take several times longer, as coefficients fade away.

Both solvers of nissl fit the same activity from the same random coefficients until their budget of iterations ends;
their time counts from the start of the fit, reading and the start included, to the iteration that first
has the loss of PyTorch's best. Two kinds of activity: `planted`, sparse signed features in noise, and `heavy`,
made to resemble that of a network: features in half of the samples to few, popular units, heavy tails, and
a dense rest that no sparse group explains.

usage: setup.sh, then .venv/bin/python snmf.py; less than six minutes on an idle machine of two cores
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
D, N, K, P = 3072, 8000, 100, 0.01
SHOWN = [1, 2, 5, 10, 20, 30, 50, 100, 200, 300, 400, 500, 1000]


def planted(draw):
    """Sparse signed features with noise, [sample, unit]."""
    features = numpy.zeros((K, D), dtype=numpy.float32)
    for row in features:
        units = draw.choice(D, 31, replace=False)
        row[units] = draw.choice([-1, 1], 31) * draw.uniform(0.5, 1.5, 31)
    features /= numpy.linalg.norm(features, axis=1, keepdims=True)
    on = draw.random((N, K)) < 0.1
    strengths = numpy.where(on, 0.2 + draw.exponential(1.0, (N, K)), 0).astype(numpy.float32)
    noise = draw.normal(0, 0.02, (N, D)).astype(numpy.float32)
    return strengths @ features + noise


def heavy(draw):
    """As activity of a network: power laws over features and units, heavy tails, a dense rest."""
    popular = draw.pareto(1.5, D) + 0.2
    popular /= popular.sum()
    features = numpy.zeros((K, D), dtype=numpy.float32)
    for row in features:
        count = int(31 * draw.uniform(0.5, 3))
        units = draw.choice(D, count, replace=False, p=popular)
        row[units] = draw.choice([-1, 1], count) * draw.lognormal(0, 0.7, count)
    features /= numpy.linalg.norm(features, axis=1, keepdims=True)
    on = draw.random((N, K)) < 0.5 / numpy.arange(1, K + 1) ** 0.7
    strengths = numpy.where(on, draw.lognormal(0, 1, (N, K)), 0).astype(numpy.float32)
    rest = draw.standard_t(4, (N, 200)).astype(numpy.float32)
    rest = rest @ draw.normal(0, 1 / math.sqrt(200), (200, D)).astype(numpy.float32)
    offset = 0.03 * draw.random(D).astype(numpy.float32)
    tails = draw.standard_t(4, (N, D)).astype(numpy.float32)
    return strengths @ features + 0.02 * rest - offset + 0.02 * tails


def fit(a, g, options):
    """Seconds and lowest relative loss after each iteration, from coefficients g [sample, feature]."""
    keep = math.ceil(P * D)
    square = float((a.double() * a.double()).sum())
    eye = 1e-6 * torch.eye(K)
    lowest, curve = math.inf, []
    begun = time.perf_counter()
    for _ in range(options.iterations):
        z = torch.linalg.solve(g.T @ g + eye, (a @ g).T).T
        threshold = z.abs().topk(keep, dim=0).values[-1]
        z = torch.where(z.abs() >= threshold, z, 0)
        scale = g.norm(dim=0).clamp_min(1e-8)
        g, z = g / scale, z * scale
        p, q = a.T @ z, z.T @ z
        up = (p.abs() + p) / 2 + g @ ((q.abs() - q) / 2)
        down = (p.abs() - p) / 2 + g @ ((q.abs() + q) / 2) + 1e-6
        g = g * (up / down).sqrt()
        if options.whole:
            loss = float((a - z @ g.T).square().sum()) / square
        else:
            loss = 1 - (2 * float((p * g).sum()) - float(((g.T @ g) * q).sum())) / square
        lowest = min(lowest, loss)
        curve.append((time.perf_counter() - begun, lowest))
    return curve


def ours(program, path, iterations, solver):
    """The curve of nissl, seconds from the start of the fit."""
    out = subprocess.run(
        [program, path, str(K), str(P), str(iterations), solver], check=True, capture_output=True,
        text=True, env=os.environ | {"RAYON_NUM_THREADS": "2"},
    )
    found = json.loads(out.stdout.strip().splitlines()[-1])
    before = found["seconds"] - found["curve"][-1][0]
    return [(before + seconds, loss) for seconds, loss in found["curve"]]


def show(name, curve):
    points = [f"{i}: {curve[i - 1][1]:.5f} at {curve[i - 1][0]:.2f} s" for i in SHOWN if i < len(curve)]
    points.append(f"{len(curve)}: {curve[-1][1]:.5f} at {curve[-1][0]:.2f} s")
    print(f"  {name:15s} " + "   ".join(points), flush=True)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--iterations", type=int, default=500, help="of PyTorch, whose loss is the goal")
    parser.add_argument("--repetitions", type=int, default=1)
    parser.add_argument("--activity", choices=["planted", "heavy", "both"], default="both")
    parser.add_argument("--whole", action="store_true", help="PyTorch forms the product for its loss")
    parser.add_argument("--denormals", action="store_true", help="PyTorch keeps denormal numbers")
    options = parser.parse_args()
    torch.set_num_threads(2)
    if not options.denormals:
        torch.set_flush_denormal(True)
    subprocess.run(
        ["cargo", "build", "--release", "--quiet", "-p", "nissl-studies", "--example", "snmf_peer"],
        check=True, cwd=ROOT,
    )
    target = os.environ.get("CARGO_TARGET_DIR", os.path.join(ROOT, "target"))
    program = os.path.join(target, "release", "examples", "snmf_peer")
    makers = {"planted": planted, "heavy": heavy}
    budgets = {"multiplicative": options.iterations + options.iterations // 10, "accelerated": 100}
    with tempfile.TemporaryDirectory() as folder:
        for name, maker in makers.items():
            if options.activity not in (name, "both"):
                continue
            activity = numpy.ascontiguousarray(maker(numpy.random.default_rng(0)), dtype=numpy.float32)
            path = os.path.join(folder, f"{name}.npy")
            numpy.save(path, activity)
            a = torch.from_numpy(numpy.ascontiguousarray(activity.T))
            ours(program, path, 2, "multiplicative")
            start = numpy.fromfile(os.path.join(folder, f"{name}.start"), dtype=numpy.float32)
            start = torch.from_numpy(numpy.ascontiguousarray(start.reshape(K, N).T))
            ratios = {solver: [] for solver in budgets}
            print(f"{name} activity: iteration, lowest relative loss, seconds")
            for _ in range(options.repetitions):
                theirs = fit(a, start.clone(), options)
                show("PyTorch", theirs)
                seconds, goal = theirs[-1]
                for solver, budget in budgets.items():
                    curve = ours(program, path, budget, solver)
                    show(solver, curve)
                    reached = next((time for time, loss in curve if loss <= goal), None)
                    iteration = next((i + 1 for i, (_, loss) in enumerate(curve) if loss <= goal), None)
                    each = seconds / len(theirs) / ((curve[-1][0] - curve[0][0]) / (len(curve) - 1))
                    if reached is None:
                        print(f"    never at {goal:.5f}; an iteration {each:.2f} times as fast")
                        continue
                    ratios[solver].append(seconds / reached)
                    print(f"    at {goal:.5f} after {iteration} iterations, {reached:.2f} s: {ratios[solver][-1]:.1f} "
                          f"times as fast; an iteration {each:.2f} times as fast")
            for solver, found in ratios.items():
                middle = f"{sorted(found)[len(found) // 2]:.1f}" if found else "none"
                print(f"{name}, {solver}: median ratio {middle} of {len(found)} that reached the loss")


if __name__ == "__main__":
    sys.exit(main())
