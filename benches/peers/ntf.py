"""Non-negative factorisation of a tensor of affinities: tensorly beside nissl.

One tensor of 240 times, 21 animals and 17,766 pairs (189 neurons) in single precision, eight planted components
under multiplicative noise, eight components fitted, both from the same random factors, 2 threads.

- tensorly: `non_negative_parafac_hals` with its defaults for as many iterations as `--iterations` says, on
  NumPy; the time is that of the call.
- nissl: `crates/decompose/examples/ntf_peer.rs`: the time until its relative error, recomputed entry by entry, is
  that of tensorly at its end; checks of the tensor are included.

usage: pip install tensorly==0.10.0 numpy safetensors; python ntf.py [--iterations 30]
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(os.path.dirname(HERE))
THREADS = "2"
for name in ["OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "RAYON_NUM_THREADS"]:
    os.environ[name] = THREADS
TIMES, ANIMALS, NEURONS, RANK = 240, 21, 189, 8


def main():
    import numpy as np
    import tensorly as tl
    from safetensors.numpy import save_file
    from tensorly.cp_tensor import CPTensor
    from tensorly.decomposition import non_negative_parafac_hals

    parser = argparse.ArgumentParser()
    parser.add_argument("--iterations", type=int, default=30)
    options = parser.parse_args()
    random = np.random.default_rng(0)
    pairs = NEURONS * (NEURONS - 1) // 2

    def sparse(rows, kept):
        return (random.random((rows, RANK)) < kept) * (0.2 + random.random((rows, RANK)))

    truth = [sparse(TIMES, 0.3), sparse(ANIMALS, 0.5), sparse(pairs, 0.1)]
    tensor = np.einsum("tr,wr,pr->twp", *truth, optimize=True).astype(np.float32)
    tensor *= random.gamma(2.0, 0.5, tensor.shape).astype(np.float32)
    tensor += 0.05 * random.random(tensor.shape, dtype=np.float32)
    start = [random.random((size, RANK)).astype(np.float32) for size in tensor.shape]

    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "tensor.safetensors")
        arrays = dict(zip(["times", "animals", "pairs"], start))
        turned = np.ascontiguousarray(tensor.transpose(2, 1, 0))
        save_file({"tensor": turned, **arrays}, path)
        del turned
        initial = CPTensor((np.ones(RANK, dtype=np.float32), [factor.copy() for factor in start]))
        begun = time.perf_counter()
        found = non_negative_parafac_hals(
            tensor, RANK, n_iter_max=options.iterations, init=initial, tol=0
        )
        theirs = time.perf_counter() - begun
        weights, factors = found
        squares = 0.0
        for animal in range(ANIMALS):
            scaled = factors[1][animal] * weights
            rebuilt = (factors[0] * scaled) @ factors[2].T
            squares += float(np.sum((tensor[:, animal].astype(np.float64) - rebuilt) ** 2))
        whole = float(np.sum(tensor.astype(np.float64) ** 2))
        error = (squares / whole) ** 0.5
        del tensor
        subprocess.run(
            ["cargo", "build", "--release", "--quiet", "-p", "nissl-decompose", "--example", "ntf_peer"],
            check=True,
            cwd=ROOT,
        )
        target = os.environ.get("CARGO_TARGET_DIR", os.path.join(ROOT, "target"))
        program = os.path.join(target, "release", "examples", "ntf_peer")
        done = subprocess.run([program, path, repr(error)], check=True, stdout=subprocess.PIPE, text=True)
    ours = json.loads(done.stdout)
    print(f"tensorly {tl.__version__}: {options.iterations} iterations, {theirs:.2f} s, relative error {error:.6f}")
    print(f"nissl: {ours['sweeps']} sweeps, {ours['seconds']:.2f} s ({ours['checked']:.2f} s of it checks), "
          f"relative error {ours['error']:.6f}; after 100 sweeps {ours['lowest']:.6f}")
    print(f"ratio {theirs / ours['seconds']:.1f}")


if __name__ == "__main__":
    sys.exit(main())
