"""Block models of weighted graphs, N = 300: nissl beside graph-tool, the same model on the same graphs.

Nested and flat microcanonical block models with exponential weights of prior Gamma(1, mean), without and
with degree correction (uniform prior of degrees; graph-tool's table for the other prior, in 2.45, counts too
few partitions). graph-tool runs `minimize_nested_blockmodel_dl` or `minimize_blockmodel_dl` once with its
defaults, on all threads; nissl its ten restarts. Each side's description length is also computed by the other
for the same groups, so that both speak of the same quantity.

Ten planted groups in two halves: edges with probability 0.2 within a group, 0.06 within a half, 0.02 across;
mean weight 2 within a group, 1 elsewhere.

graph-tool is no Python package of an index: install python3-graph-tool of Debian and run the system's Python.

usage: python3 communities.py [GRAPHS]; about two minutes on two cores
"""

import json
import os
import subprocess
import sys
import tempfile
import time
import warnings

warnings.filterwarnings("ignore")
import graph_tool
import graph_tool.inference as inference
import numpy

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(os.path.dirname(HERE))
N, RESTARTS = 300, 10


def planted(seed):
    draw = numpy.random.default_rng(seed)
    group = numpy.arange(N) * 10 // N
    edges = []
    for a in range(N):
        for b in range(a + 1, N):
            same = group[a] == group[b]
            chance = 0.2 if same else 0.06 if group[a] // 5 == group[b] // 5 else 0.02
            if draw.random() < chance:
                edges.append((a, b, draw.exponential(2.0 if same else 1.0)))
    return edges


def nissl(edges, kind, corrected, levels):
    binary = os.path.join(os.environ.get("CARGO_TARGET_DIR", os.path.join(ROOT, "target")), "release/examples/communities_peer")
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "edges")
        with open(path, "w") as file:
            file.writelines(f"{a} {b} {weight!r}\n" for a, b, weight in edges)
        other = os.path.join(folder, "levels")
        with open(other, "w") as file:
            file.writelines(" ".join(map(str, level)) + "\n" for level in levels)
        line = [binary, path, str(N), kind, "yes" if corrected else "no", str(RESTARTS), other]
        return json.loads(subprocess.run(line, check=True, capture_output=True, text=True).stdout)


def settings(graph, weight, edges, corrected):
    mean = float(numpy.mean([edge[2] for edge in edges]))
    return dict(deg_corr=corrected, recs=[weight], rec_types=["real-exponential"],
                rec_params=[dict(alpha=1, beta=mean)])


def entropy(state):
    return state.entropy(degree_dl_kind="uniform")


def theirs(edges, kind, corrected, seed):
    """Seconds, description length, levels of nodes, and a function that measures other levels."""
    graph_tool.seed_rng(seed)
    numpy.random.seed(seed)
    graph = graph_tool.Graph(directed=False)
    graph.add_vertex(N)
    weight = graph.new_ep("double")
    for a, b, value in edges:
        weight[graph.add_edge(a, b)] = value
    arguments = settings(graph, weight, edges, corrected)
    search = dict(entropy_args=dict(degree_dl_kind="uniform"))
    begun = time.perf_counter()
    if kind == "nested":
        state = inference.minimize_nested_blockmodel_dl(graph, state_args=arguments, multilevel_mcmc_args=search)
    else:
        state = inference.minimize_blockmodel_dl(graph, state_args=arguments, multilevel_mcmc_args=search)
    seconds = time.perf_counter() - begun
    if kind == "nested":
        levels, group = [], None
        for below in state.get_bs():
            group = numpy.array(below)[group] if group is not None else numpy.array(below)[:N]
            levels.append(group)
            if len(set(group)) == 1:
                break
        while len(levels) > 1 and len(set(levels[-1])) == 1:
            levels.pop()
    else:
        levels = [numpy.array(state.get_blocks().a)]

    def measured(levels):
        if kind != "nested":
            first = graph.new_vp("int", vals=levels[0])
            return entropy(inference.BlockState(graph, b=first, **arguments))
        bs, below = [numpy.array(levels[0])], numpy.array(levels[0])
        for level in [*map(numpy.array, levels[1:]), numpy.zeros(N, dtype=int)]:
            above = numpy.zeros(below.max() + 1, dtype=int)
            above[below] = level
            bs.append(above)
            below = level
        return entropy(inference.NestedBlockState(graph, bs=bs, state_args=arguments))

    return seconds, entropy(state), levels, measured


def main():
    build = ["cargo", "build", "--release", "-q", "-p", "nissl-trace", "--example", "communities_peer"]
    subprocess.run(build, check=True, cwd=ROOT)
    graphs = int(sys.argv[1]) if len(sys.argv) > 1 else 3
    print(f"graph-tool {graph_tool.__version__}, {graph_tool.openmp_get_num_threads()} threads")
    print("model, corrected, seed, edges | graph-tool s, nats, groups | nissl s, nats, groups | speed | "
          "graph-tool's groups by nissl, nissl's by graph-tool")
    for kind in ["nested", "flat"]:
        for corrected in [False, True]:
            for seed in range(graphs):
                edges = planted(seed)
                seconds, length, levels, measured = theirs(edges, kind, corrected, seed)
                own = nissl(edges, kind, corrected, levels)
                count = [len(set(levels[0])), len(set(own["levels"][0]))]
                print(f"{kind}, {corrected}, {seed}, {len(edges)} | {seconds:.2f}, {length:.3f}, {count[0]} | "
                      f"{own['seconds']:.2f}, {own['description_length']:.3f}, {count[1]} | "
                      f"{seconds / own['seconds']:.2f} | {own['theirs']:.3f}, {measured(own['levels']):.3f}", flush=True)


main()
