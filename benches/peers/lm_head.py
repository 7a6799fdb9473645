"""Top tokens of every row through an LM head: chunked PyTorch beside nissl.

8192 rows, width 1024, 50257 tokens, top 10, 2 threads: `torch.topk(torch.softmax(W @ U.T, -1), 10)`
over chunks of rows, and one `LogitScan`. Both are processes of their own that read the same
safetensors file, memory-mapped; the time is from before the file is opened to the last probability,
imports left out, and the memory is the peak of the whole process. `--chunk` may be given several
times; the whole at once (8192) is the plain formula, 512 the size at which PyTorch is fastest here.
`--dtype bf16` stores bfloat16 numbers, which both multiply as such.

usage: setup.sh, then .venv/bin/python lm_head.py
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
ROWS, WIDTH, TOKENS, TOP = 8192, 1024, 50257, 10


def write_inputs(path, dtype):
    import torch
    from safetensors.torch import save_file

    generator = torch.Generator().manual_seed(0)
    rows = torch.randn(ROWS, WIDTH, generator=generator)
    head = torch.randn(TOKENS, WIDTH, generator=generator) / WIDTH**0.5
    kind = torch.bfloat16 if dtype == "bf16" else torch.float32
    save_file({"rows": rows.to(kind), "head": head.to(kind)}, path)


def peer(path, chunk, out):
    """The PyTorch side."""
    import torch
    from safetensors.torch import load_file, save_file

    torch.set_num_threads(2)
    torch.randn(64, 64) @ torch.randn(64, 64)
    begun = time.perf_counter()
    inputs = load_file(path)
    rows, head = inputs["rows"], inputs["head"]
    found = [
        torch.topk(torch.softmax((part @ head.T).float(), -1), TOP) for part in rows.split(int(chunk))
    ]
    probabilities = torch.cat([part.values for part in found])
    tokens = torch.cat([part.indices for part in found])
    seconds = time.perf_counter() - begun
    save_file({"tokens": tokens, "probabilities": probabilities}, out)
    print(json.dumps({"seconds": seconds}))


def part(name, *arguments):
    """A part of this script as a command.

    All parts run in processes of their own, for a new process begins with the peak memory of the one
    that started it, which must therefore stay small.
    """
    return [sys.executable, os.path.abspath(__file__), "--part", name, *map(str, arguments)]


def measured(command):
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
        return out.read().strip().splitlines()[-1], usage.ru_maxrss / 1024


def agreement(mine, theirs):
    """Share of rows with the same ten tokens, and the largest relative difference of a probability."""
    import torch
    from safetensors.torch import load_file

    with open(mine) as file:
        mine = json.load(file)
    theirs = load_file(theirs)
    tokens = torch.tensor(mine["tokens"])
    same = (tokens.sort(-1).values == theirs["tokens"].sort(-1).values).all(-1)
    ordered = (tokens == theirs["tokens"]).all(-1)
    ours = torch.tensor(mine["probabilities"], dtype=torch.float64)
    relative = (ours / theirs["probabilities"].double() - 1).abs().max()
    print(f"same ten tokens in {same.float().mean():.4%} of rows, in the same order in "
          f"{ordered.float().mean():.4%}, probabilities within {relative:.1e}")


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--repetitions", type=int, default=3)
    parser.add_argument("--chunk", type=int, action="append")
    parser.add_argument("--dtype", choices=["f32", "bf16"], default="f32")
    parser.add_argument("--part", nargs="+", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.part:
        name, *arguments = options.part
        return {"inputs": write_inputs, "peer": peer, "agreement": agreement}[name](*arguments)
    subprocess.run(
        ["cargo", "build", "--release", "--quiet", "-p", "nissl-kernels", "--example", "lm_head_peer"],
        check=True, cwd=ROOT,
    )
    target = os.environ.get("CARGO_TARGET_DIR", os.path.join(ROOT, "target"))
    ours = os.path.join(target, "release", "examples", "lm_head_peer")
    with tempfile.TemporaryDirectory() as folder:
        path, theirs, mine = (
            os.path.join(folder, name) for name in ("in.safetensors", "out.safetensors", "out.json")
        )
        subprocess.run(part("inputs", path, options.dtype), check=True)
        for chunk in options.chunk or [512, ROWS]:
            times, memories = [], []
            for _ in range(options.repetitions):
                line, their_peak = measured(part("peer", path, chunk, theirs))
                their_time = json.loads(line)["seconds"]
                line, my_peak = measured([ours, path, str(TOP)])
                my_time = json.loads(line)["seconds"]
                times.append(their_time / my_time)
                memories.append(my_peak / their_peak)
                print(f"PyTorch, {chunk} rows at once: {their_time:.2f} s, {their_peak:.0f} MB   "
                      f"nissl {my_time:.2f} s, {my_peak:.0f} MB   "
                      f"{times[-1]:.2f} times as fast at {memories[-1]:.3f} of the memory", flush=True)
            with open(mine, "w") as file:
                file.write(line)
            middle = len(times) // 2
            print(f"chunk {chunk}: median {sorted(times)[middle]:.2f} times as fast, "
                  f"{sorted(memories)[middle]:.3f} of the memory", flush=True)
            subprocess.run(part("agreement", mine, theirs), check=True)


if __name__ == "__main__":
    sys.exit(main())
