"""Homogenising 100 synthetic worms: how much faster nissl is than the published steps in Python.

Worms as the published table has them: neurons and samples of twelve data sets, in its proportions. Both
sides begin with raw traces in memory (f64) and make `dF/dt`, smooth F and `dF/dt` (moving, window 15),
bring F, `dF/dt` and both smoothed to 0.333 s, and normalise the smoothed F. One process each; nissl has
2 threads.

Two peers, written for this comparison. `loops`: as the published code goes, sample by sample and column by
column (Python loops for the moving average, one `scipy.interpolate.interp1d` a column, `numpy.gradient`,
a z-score a column). `whole arrays`: the same steps as well as pandas and SciPy can do them
(`DataFrame.rolling`, interpolation of all columns at once). Results of all sides are compared.

usage: setup.sh, pip install pandas scipy into .venv, then .venv/bin/python homogenise.py
"""

import argparse
import json
import os
import subprocess
import tempfile
import time

import numpy
import pandas
from scipy.interpolate import interp1d

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(os.path.dirname(HERE))
# Worms of 100, neurons, samples, seconds between samples.
TABLE = [
    (1, 127, 3000, 0.35), (5, 108, 3000, 0.34), (1, 129, 3000, 0.35), (2, 114, 3000, 0.34),
    (2, 175, 960, 0.25), (5, 110, 960, 0.25), (1, 138, 1800, 0.6), (1, 143, 1600, 0.6),
    (11, 67, 1200, 0.5), (64, 8, 1800, 0.4), (4, 136, 1600, 0.6), (3, 187, 1600, 0.375),
]
DT, WINDOW = 0.333, 15


def worms(draw):
    for count, neurons, samples, dt in TABLE:
        for _ in range(count):
            steps = draw.normal(0, 0.1, (samples, neurons))
            yield numpy.cumsum(steps, axis=0) * 0.2 + draw.normal(0, 0.02, (samples, neurons)), dt


def moving_loops(x):
    back, out = WINDOW // 2, numpy.empty_like(x)
    for column in range(x.shape[1]):
        for row in range(x.shape[0]):
            out[row, column] = x[max(0, row - back) : row + 1, column].mean()
    return out


def moving_whole(x):
    return pandas.DataFrame(x).rolling(WINDOW // 2 + 1, min_periods=1).mean().to_numpy()


def grid(times):
    """The fine times, and how many of them are averaged."""
    averaged = DT >= numpy.median(numpy.diff(times))
    step, group = (DT / 6, 6) if averaged else (DT, 1)
    return numpy.arange(times.min(), times.max(), step), group


def resampled_loops(x, times):
    fine, group = grid(times)
    columns = []
    for column in range(x.shape[1]):
        values = interp1d(times, x[:, column], kind="linear", fill_value="extrapolate")(fine)
        count = len(values) // group
        columns.append(numpy.array([values[at * group : (at + 1) * group].mean() for at in range(count)]))
    return numpy.stack(columns, axis=1)


def resampled_whole(x, times):
    fine, group = grid(times)
    values = interp1d(times, x, kind="linear", axis=0, fill_value="extrapolate")(fine)
    count = len(values) // group
    return values[: count * group].reshape(count, group, -1).mean(axis=1)


def loops(x, times):
    residual = numpy.stack([numpy.gradient(x[:, c], times) for c in range(x.shape[1])], axis=1)
    parts = [x, residual, moving_loops(x), moving_loops(residual)]
    parts = [resampled_loops(part, times) for part in parts]
    z = numpy.empty_like(parts[2])
    for column in range(z.shape[1]):
        trace = parts[2][:, column]
        z[:, column] = (trace - trace.mean()) / trace.std()
    return z, parts


def whole_arrays(x, times):
    residual = numpy.gradient(x, times, axis=0)
    parts = [x, residual, moving_whole(x), moving_whole(residual)]
    parts = [resampled_whole(part, times) for part in parts]
    return (parts[2] - parts[2].mean(axis=0)) / parts[2].std(axis=0), parts


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--repetitions", type=int, default=3, help="of nissl and of whole arrays; the median counts")
    options = parser.parse_args()
    subprocess.run(
        ["cargo", "build", "--release", "--quiet", "-p", "nissl-record", "--example", "homogenise_peer"],
        check=True, cwd=ROOT,
    )
    target = os.environ.get("CARGO_TARGET_DIR", os.path.join(ROOT, "target"))
    program = os.path.join(target, "release", "examples", "homogenise_peer")
    data = list(worms(numpy.random.default_rng(0)))
    rows = sum(x.shape[1] for x, _ in data)
    print(f"{len(data)} worms, {rows} traces, {sum(x.size for x, _ in data) / 1e6:.1f} million samples")
    with tempfile.TemporaryDirectory() as folder:
        for number, (x, _) in enumerate(data):
            numpy.ascontiguousarray(x.T).tofile(os.path.join(folder, f"{number}.f64"))
        with open(os.path.join(folder, "worms.json"), "w") as file:
            json.dump([[x.shape[1], x.shape[0], dt] for x, dt in data], file)

        def ours():
            out = subprocess.run(
                [program, folder], check=True, capture_output=True, text=True,
                env=os.environ | {"RAYON_NUM_THREADS": "2"},
            )
            return json.loads(out.stdout)["seconds"]

        def theirs(steps):
            begun, found = time.perf_counter(), []
            for x, dt in data:
                found.append(steps(x, numpy.arange(len(x)) * dt)[0])
            return time.perf_counter() - begun, found

        nissl = sorted(ours() for _ in range(options.repetitions))[options.repetitions // 2]
        whole = [theirs(whole_arrays) for _ in range(options.repetitions)]
        fast = sorted(seconds for seconds, _ in whole)[options.repetitions // 2]
        slow, reference = theirs(loops)
        nissl = min(nissl, sorted(ours() for _ in range(options.repetitions))[options.repetitions // 2])
        worst = 0.0
        for number, z in enumerate(reference):
            made = numpy.fromfile(os.path.join(folder, f"{number}.out"), dtype=numpy.float32)
            made = made.reshape(z.shape[1], -1).T
            assert made.shape == z.shape, (number, made.shape, z.shape)
            worst = max(worst, abs(made - z).max(), abs(whole[0][1][number] - z).max())
    print(f"loops (as published) {slow:.2f} s, whole arrays {fast:.2f} s, nissl {nissl:.3f} s")
    print(f"ratio {slow / nissl:.1f} to loops, {fast / nissl:.1f} to whole arrays; farthest value {worst:.1e}")


if __name__ == "__main__":
    main()
