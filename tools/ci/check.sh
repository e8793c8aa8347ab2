#!/usr/bin/env bash
# Checks what optimize.sh found, if it found anything, against NATONNX_BASELINE, or else the input. Its exit code is that
# of natonnx check.
# shellcheck source=tools/ci/common.sh
source "$(dirname -- "${BASH_SOURCE[0]}")/common.sh"

model=$(sed -n 's/^NATONNX_RESULT_MODEL=//p' -- "$folder/result.env")
if [[ -z $model ]]; then
  echo "natonnx: nothing better was found, so there is nothing to check"
  exit 0
fi

add_lines "${NATONNX_CHECK_ARGUMENTS:-}"
add data mean std scale layout max-madds-ratio max-params-ratio max-latency-ratio min-accuracy min-agreement
if [[ -n ${NATONNX_CHECK_MAX_DROP:-} ]]; then options+=("--max-drop=$NATONNX_CHECK_MAX_DROP"); fi
options+=("--baseline=${NATONNX_BASELINE:-$NATONNX_MODEL}")
run check "${options[@]}" --json "--junit=$folder/check.xml" "--markdown=$folder/check.md" -- "$model"
if ! completed check; then
  annotate "$(reason check)"
  exit "$code"
fi
case $code in
  0) result CHECK=passed ;;
  4)
    result CHECK=undecided
    annotate "a limit of natonnx check is undecided, and none is failed; the summary of the job has the table"
    ;;
  *)
    result CHECK=failed
    annotate "a limit of natonnx check is not met; the summary of the job has the table"
    ;;
esac
exit "$code"
