#!/usr/bin/env bash
# Installs natonnx into an environment of its own: NATONNX_INSTALL (a requirement or a path; none: nothing), or else the
# copy that this script belongs to.
set -euo pipefail

if [[ ${NATONNX_INSTALL:-} == none ]]; then exit 0; fi
root=$(cd -- "$(dirname -- "${BASH_SOURCE[0]}")/../.." && pwd)
environment=${NATONNX_ENVIRONMENT:-${RUNNER_TEMP:-/tmp}/natonnx-environment}
packages=()
while read -r line; do
  if [[ -n $line ]]; then packages+=("$line"); fi
done <<<"${NATONNX_PACKAGES:-}"

"${NATONNX_PYTHON:-python3}" -m venv "$environment"
pip() { "$environment/bin/python" -m pip install --disable-pip-version-check "$@"; }
# First and from nowhere else: the package index has torch for CUDA, some gigabytes.
if [[ -n ${NATONNX_TORCH_INDEX:-} ]]; then pip "--index-url=$NATONNX_TORCH_INDEX" 'torch>=2.4,<2.14'; fi
pip "${packages[@]}" -- "${NATONNX_INSTALL:-$root}"
"$environment/bin/natonnx" --version
