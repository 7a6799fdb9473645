"""Bases and edges of a network that adds modulo 113: a loop over Jacobians in PyTorch beside nissl.

One checkpoint, all 12,769 sums, node layers before the attention (three positions), before the MLP, before
the unembedding and the logits (the last position), double precision, 2 threads, derivatives at the samples
themselves. Both start from the checkpoint file and end with the local interaction basis of every node layer
and the three matrices of edges; imports are left out of the time.

- PyTorch: the method as its equations state it (Bushnaq et al. 2024, arXiv:2405.10928, section 3), written
  for this script: whitened Gram matrices, then for each batch of sums the Jacobian of a section times the
  next basis, of which `M'` is summed up, and for the edges the Jacobian between the new coordinates.
  `--how jacrev` takes all output coordinates of a batch at once by
  `torch.func.vmap(torch.func.jacrev(...))`; `--how grad` takes one after the other, for all sums of a batch
  at once, by `torch.autograd.grad`, as the authors' code finds its edges. Neither knows a closed form, not
  even of the linear section. As in nissl, vectors whose importance is below the rounding of the largest are
  dropped, which halves the Jacobians before the MLP: with the authors' threshold of 1e-15 alone, half of
  the vectors there are noise. Which of the two ways is faster depends on the machine: try both.
- nissl: `crates/studies/examples/lib_peer.rs`: closed forms of linear sections, of ReLU sections and of
  attention.

Last both run once more with a threshold of 1e-6 instead, and the importance of every vector and the sums of
the edges must agree to 1e-6, or the script fails; `--repetitions 0` does this alone. At 1e-15 they cannot:
a vector along which the activity hardly varies, with an importance near the rounding error, still changes
what is derived from it before (the derivative in its direction is not small), so that which such vectors
are kept shows in the third digit of lesser vectors of the earliest node layer. `--share N` lets the PyTorch
side follow only every N-th sum from its second stage on (the Jacobians) and multiplies the seconds of that
stage by N; nothing is compared where N is not 1, and the ratio is printed as an estimate.

usage: setup.sh, then .venv/bin/python lib.py CHECKPOINT.pt
"""

import argparse
import json
import os
import subprocess
import sys
import time

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(os.path.dirname(HERE))
P, TAU, CHECKED = 113, 1e-15, 1e-6


def folded(weight, bias):
    """The matrix whose last row is the bias and whose last column passes the constant on."""
    import torch

    out = torch.zeros(weight.shape[0] + 1, weight.shape[1] + 1, dtype=torch.float64)
    out[:-1, :-1], out[-1, :-1], out[-1, -1] = weight, bias, 1.0
    return out


def network(path):
    """Rows of the first node layer `[sum, position, coordinate]`, and the sections after it."""
    import torch

    state = {name: value.double() for name, value in torch.load(path, weights_only=True, map_location="cpu").items()}
    of = lambda name: state["blocks.0." + name]
    x, y = torch.meshgrid(torch.arange(P), torch.arange(P), indexing="ij")
    tokens = torch.stack([x.flatten(), y.flatten(), torch.full((P * P,), P)], 1)
    first = state["embed.W_E"][tokens] + state["pos_embed.W_pos"][:3]
    first = torch.cat([first, torch.ones(len(first), 3, 1, dtype=torch.float64)], -1)
    w_in, w_out = folded(of("mlp.W_in"), of("mlp.b_in")), of("mlp.W_out")
    unembed = folded(state["unembed.W_U"], state["unembed.b_U"])

    def attention(f):
        """`[3, 129]` to `[1, 129]`: the last position looks at all three."""
        # Biases are weights of the constant coordinate, so that derivatives by it are whole.
        f, one = f[:, :-1], f[:, -1]
        q = torch.einsum("d,hde->he", f[-1], of("attn.W_Q")) + one[-1] * of("attn.b_Q")
        k = torch.einsum("sd,hde->hse", f, of("attn.W_K")) + one[:, None] * of("attn.b_K")[:, None]
        v = torch.einsum("sd,hde->hse", f, of("attn.W_V")) + one[:, None] * of("attn.b_V")[:, None]
        pattern = torch.softmax(torch.einsum("he,hse->hs", q, k) / q.shape[-1] ** 0.5, -1)
        mixed = torch.einsum("hs,hse,hed->d", pattern, v, of("attn.W_O")) + one[-1] * of("attn.b_O")
        return torch.cat([f[-1] + mixed, one[-1:]])[None]

    def mlp(f):
        hidden = torch.relu(f @ w_in[:, :-1])
        out = f[:, :-1] + hidden @ w_out + f[:, -1:] * of("mlp.b_out")
        return torch.cat([out, f[:, -1:]], -1)

    return first, [attention, mlp, lambda f: f @ unembed]


def whitened(rows, tau):
    """`R` and `R⁺` with the constant direction first."""
    import torch

    rows = rows.reshape(-1, rows.shape[-1])
    mean = rows.mean(0)
    away = torch.eye(len(mean), dtype=torch.float64)
    away[-1, :-1] = -mean[:-1]
    back = torch.eye(len(mean), dtype=torch.float64)
    back[-1, :-1] = mean[:-1]
    centred = rows @ away
    values, vectors = torch.linalg.eigh(centred.T @ centred / len(rows))
    values, vectors = values.flip(0), vectors.flip(1)
    constant = [n for n in range(len(values)) if abs(vectors[-1, n]) > 1e-6 and values[n] > 1e-6]
    assert len(constant) == 1, f"{len(constant)} constant directions"
    order = constant + [n for n in range(len(values)) if n != constant[0] and values[n] > tau]
    values, vectors = values[order], vectors[:, order]
    return away @ vectors / values.sqrt(), values.sqrt()[:, None] * (vectors.T @ back)


def rotated(r, r_back, m_prime, tau):
    import torch

    m = r_back @ m_prime @ r_back.T
    values, vectors = torch.linalg.eigh(m[1:, 1:])
    values, vectors = values.abs().flip(0), vectors.flip(1)
    v = torch.zeros_like(m)
    v[0, 0], v[1:, 1:] = 1.0, vectors
    importance = torch.cat([m[:1, 0].abs(), values])
    least = max(tau, len(m) * torch.finfo(torch.float64).eps * float(importance[1:].max()))
    kept = [0] + [n for n in range(1, len(m)) if importance[n] >= least]
    v, root = v[:, kept], importance[kept].sqrt()
    return r @ v * root, (v / root).T @ r_back, importance[kept]


def jacobians(section, rows, how):
    """For some outputs at a time the Jacobian `[sum, output, position in, coordinate in]`, the outputs being
    all positions' coordinates."""
    import torch
    from torch.func import jacrev, vmap

    if how == "jacrev":
        return [vmap(jacrev(section))(rows).flatten(1, 2)]
    rows = rows.detach().requires_grad_()
    out = vmap(section)(rows).flatten(1)
    single = (torch.autograd.grad(out[:, n].sum(), rows, retain_graph=True)[0] for n in range(out.shape[1]))
    return (one[:, None] for one in single)


def peer(path, batch, share, how, tau):
    """The PyTorch side."""
    import torch
    from torch.func import vmap

    torch.set_num_threads(2)
    torch.randn(64, 64) @ torch.randn(64, 64)
    begun = time.perf_counter()
    first, sections = network(path)
    layers = [first]
    for section in sections:
        layers.append(vmap(section)(layers[-1]))
    bases = [None] * 3 + [(torch.eye(P + 2, dtype=torch.float64),) * 2]
    white = [whitened(layer, tau) for layer in layers[:3]]
    before = time.perf_counter() - begun
    chosen = [layer[::share] for layer in layers]
    for n in (2, 1, 0):
        into = bases[n + 1][0]
        m_prime = torch.zeros(chosen[n].shape[-1], chosen[n].shape[-1], dtype=torch.float64)
        for rows in chosen[n].split(batch):
            for j in jacobians(lambda f: sections[n](f) @ into, rows, how):
                j = j.reshape(-1, j.shape[-1])
                m_prime += j.T @ j
        m_prime /= chosen[n].shape[0] * chosen[n].shape[1]
        bases[n] = rotated(*white[n], m_prime, tau)
    edges = []
    for n in range(3):
        (into, back, _), after = bases[n], bases[n + 1][0]
        positions = layers[n + 1].shape[1]
        total = torch.zeros(after.shape[1], into.shape[1], dtype=torch.float64)
        for rows in chosen[n].split(batch):
            new = rows @ into
            effects = [
                torch.einsum("bisj,bsj->bij", j, new)
                for j in jacobians(lambda new: sections[n](new @ back) @ after, new, how)
            ]
            total += torch.cat(effects, 1).unflatten(1, (positions, -1)).square().sum((0, 1))
        edges.append(float(total.sum() / (chosen[n].shape[0] * chosen[n].shape[1])))
    seconds = before + (time.perf_counter() - begun - before) * share
    vectors = [basis[0].shape[1] for basis in bases]
    importance = [basis[2].tolist() for basis in bases[:3]]
    print(json.dumps({"seconds": seconds, "vectors": vectors, "edges": edges, "importance": importance}))


def gaps(mine, theirs):
    """The largest relative differences between importances and between sums of edges."""
    if mine["vectors"] != theirs["vectors"]:
        sys.exit(f"vectors {mine['vectors']} and {theirs['vectors']}")
    pairs = [pair for both in zip(mine["importance"], theirs["importance"]) for pair in zip(*both)]
    importance = max(abs(a / b - 1) for a, b in pairs)
    return importance, max(abs(a / b - 1) for a, b in zip(mine["edges"], theirs["edges"]))


def last_line(command):
    environment = os.environ | {"RAYON_NUM_THREADS": "2", "OMP_NUM_THREADS": "2"}
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True, env=environment)
    return json.loads(done.stdout.strip().splitlines()[-1])


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("checkpoint")
    parser.add_argument("--repetitions", type=int, default=3)
    parser.add_argument("--how", choices=["jacrev", "grad"], default="jacrev", help="how PyTorch finds Jacobians")
    parser.add_argument("--batch", type=int, help="sums whose Jacobians are found at once in PyTorch")
    parser.add_argument("--share", type=int, default=1, help="follow every N-th sum in PyTorch")
    parser.add_argument("--part", help=argparse.SUPPRESS)
    parser.add_argument("--tau", type=float, default=TAU, help=argparse.SUPPRESS)
    options = parser.parse_args()
    batch = options.batch or {"grad": 1024, "jacrev": 32}[options.how]
    if options.part:
        return peer(options.checkpoint, batch, options.share, options.how, options.tau)
    subprocess.run(
        ["cargo", "build", "--release", "--quiet", "-p", "nissl-studies", "--example", "lib_peer"],
        check=True, cwd=ROOT,
    )
    target = os.environ.get("CARGO_TARGET_DIR", os.path.join(ROOT, "target"))
    ours = os.path.join(target, "release", "examples", "lib_peer")

    def both(tau):
        theirs = last_line([
            sys.executable, os.path.abspath(__file__), options.checkpoint, "--part", "peer", "--tau", str(tau),
            "--batch", str(batch), "--how", options.how, "--share", str(options.share),
        ])
        return theirs, last_line([ours, options.checkpoint, "--tau", str(tau)])

    ratios = []
    for _ in range(options.repetitions):
        theirs, mine = both(TAU)
        ratios.append(theirs["seconds"] / mine["seconds"])
        about = "" if options.share == 1 else f" (estimated from every {options.share}th sum)"
        print(f"PyTorch {theirs['seconds']:.1f} s{about}   nissl {mine['seconds']:.2f} s   "
              f"{ratios[-1]:.1f} times as fast   vectors {theirs['vectors']} and {mine['vectors']}", flush=True)
    if ratios:
        print(f"median {sorted(ratios)[len(ratios) // 2]:.1f} times as fast", flush=True)
    if options.share > 1:
        return
    theirs, mine = both(CHECKED)
    importance, edges = gaps(mine, theirs)
    print(f"threshold {CHECKED}: vectors {mine['vectors']}; importances differ by at most {importance:.1e}, "
          f"sums of edges by at most {edges:.1e}, relatively")
    if not max(importance, edges) < 1e-6:
        sys.exit("the two disagree")


if __name__ == "__main__":
    sys.exit(main())
