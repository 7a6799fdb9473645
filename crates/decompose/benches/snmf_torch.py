"""Times the iterations of SNMF (spec 01, section 3) written plainly in PyTorch, for the comparison
with the bench of the same name. Needs torch; run it with two threads on the same machine:

    python snmf_torch.py --units 3072 --samples 8000 --features 100 --iterations 200 --threads 2
"""

import argparse
import math
import time

import torch


def iterate(a, z, g, kept, iterations):
    """Runs the iterations; gives the loss of each."""
    k = g.shape[1]
    losses = []
    for _ in range(iterations):
        gram = (g.T @ g).double() + 1e-6 * torch.eye(k, dtype=torch.float64)
        z = torch.linalg.solve(gram, (a @ g).double().T).T.float()
        keep = z.abs().topk(kept, dim=0).indices
        z = torch.zeros_like(z).scatter_(0, keep, z.gather(0, keep))
        norm = g.norm(dim=0).clamp_min(1e-8)
        g = g / norm
        z = z * norm
        p = a.T @ z
        q = z.T @ z
        up = p.clamp_min(0) + g @ (-q).clamp_min(0)
        down = (-p).clamp_min(0) + g @ q.clamp_min(0) + 1e-6
        g = g * (up / down).sqrt()
        losses.append(float(((a - z @ g.T) ** 2).sum()))
    return losses


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--units", type=int, default=3072)
    parser.add_argument("--samples", type=int, default=8000)
    parser.add_argument("--features", type=int, default=100)
    parser.add_argument("--iterations", type=int, default=200)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--fraction", type=float, default=0.01)
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    torch.manual_seed(0)
    a = torch.randn(args.units, args.samples).clamp_min(0)
    g = torch.rand(args.samples, args.features).clamp_min(1e-6)
    z = torch.randn(args.units, args.features)
    kept = math.ceil(args.units * args.fraction - 1e-9)
    iterate(a, z, g, kept, 2)
    begun = time.perf_counter()
    losses = iterate(a, z, g, kept, args.iterations)
    seconds = time.perf_counter() - begun
    print(f"{seconds:.2f} s, {1000 * seconds / args.iterations:.1f} ms an iteration, "
          f"relative loss {losses[-1] / float((a ** 2).sum()):.4f}")


if __name__ == "__main__":
    main()
