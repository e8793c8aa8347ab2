#!/usr/bin/env bash
# Optimizes NATONNX_MODEL. Exit code 0: done; that nothing better was found is an error if NATONNX_ON_UNCHANGED is fail.
# shellcheck source=tools/ci/common.sh
source "$(dirname -- "${BASH_SOURCE[0]}")/common.sh"

if [[ -e $folder/optimize.log ]]; then # an earlier job's, come as an artifact; nothing else is touched
  rm -rf -- "$folder"/model "$folder"/{optimize,check}.{json,log,md}
  rm -f -- "$folder"/{report.html,check.xml,result.env,summary.md}
fi
mkdir -p -- "$folder/model"
if [[ -z ${NATONNX_MODEL:-} ]]; then refuse "no model is named; say which ONNX file to optimize"; fi
if [[ $NATONNX_MODEL${NATONNX_OUTPUT:-} == *$'\n'* ]]; then refuse "a model's path has a line break; rename the file"; fi
if [[ ${NATONNX_ON_UNCHANGED:-pass} != @(pass|fail) ]]; then
  refuse "on-unchanged is ${NATONNX_ON_UNCHANGED@Q}; write pass or fail"
fi

add_lines "${NATONNX_ARGUMENTS:-}"
add output data mean std scale layout target-madds target-latency max-drop confidence time-budget seed threads
run optimize "${options[@]}" --json "--html=$folder/report.html" "--markdown=$folder/optimize.md" -- "$NATONNX_MODEL"
if ! completed optimize; then
  annotate "$(reason optimize)"
  exit "$code"
fi

found=$("$python" "$here/result.py" "$folder/optimize.json")
mapfile -t lines <<<"$found"
result "${lines[@]}" "REPORT=$folder/report.html"
if [[ $code == 0 ]]; then
  output=${lines[1]#MODEL=}
  for file in "$output" "$output".data*; do
    if [[ -e $file && ! $file -ef $folder/model/${file##*/} ]]; then cp -- "$file" "$folder/model/"; fi
  done
elif [[ ${NATONNX_ON_UNCHANGED:-pass} == fail ]]; then
  annotate "no architecture met every constraint, the input model stands, and on-unchanged is fail"
  exit 1
fi
