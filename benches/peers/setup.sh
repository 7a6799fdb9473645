#!/usr/bin/env bash
# Makes the virtual environment of the Python peers beside this script (ignored by git).
set -euo pipefail
cd "$(dirname "$0")"
[ -x .venv/bin/python ] || python3 -m venv .venv
.venv/bin/pip install --quiet 'torch==2.9.1' 'transformer_lens==2.16.1' 'safetensors' 'numpy<2' 'pyarrow==17.0.0' 'datasets==3.2.0' 'sae-lens==6.54.12' 'eai-sparsify==1.3.3'
.venv/bin/python - <<'PY'
import torch, transformer_lens
print("torch", torch.__version__, "threads", torch.get_num_threads(), "mkl", torch.backends.mkl.is_available())
PY
