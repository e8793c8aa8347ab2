# shellcheck shell=bash disable=SC2034 # some of the variables are for the scripts that read this one
# What optimize.sh and check.sh share. A setting is an environment variable NATONNX_*; an empty one counts as not given.
set -euo pipefail

here=$(cd -- "$(dirname -- "${BASH_SOURCE[0]}")" && pwd)
folder=${NATONNX_FOLDER:?the folder where the reports go}
environment=${NATONNX_ENVIRONMENT:-${RUNNER_TEMP:-/tmp}/natonnx-environment}
natonnx=$environment/bin/natonnx python=$environment/bin/python
if [[ ${NATONNX_INSTALL:-} == none ]]; then natonnx=natonnx python=python3; fi
options=()
code=0

# add NAME...: an option for each setting that is given; NATONNX_TARGET_MADDS=0.7 makes --target-madds=0.7.
add() {
  local name variable
  for name in "$@"; do
    variable=NATONNX_${name^^}
    variable=${variable//-/_}
    if [[ -n ${!variable:-} ]]; then options+=("--$name=${!variable}"); fi
  done
}

# add_lines TEXT: an argument a line, without the space around it and otherwise as it stands.
add_lines() {
  local line
  while read -r line; do
    if [[ -n $line ]]; then options+=("$line"); fi
  done <<<"$1"
}

# run NAME ARGUMENT...: natonnx NAME, its JSON in NAME.json, what it says in the log and in NAME.log, and what became of
# it in the summary. Its exit code is left in `code`.
run() {
  local name=$1 token
  token=$(</proc/sys/kernel/random/uuid)
  if [[ -n ${GITHUB_ACTIONS:-} ]]; then echo "::stop-commands::$token"; fi # names in a model cannot be commands
  "$natonnx" "$@" 2>&1 >"$folder/$name.json" | tee -- "$folder/$name.log" || code=${PIPESTATUS[0]}
  if [[ $code == 0 ]] && ! completed "$name"; then code=3; fi
  summarize "$name"
  if [[ -n ${GITHUB_ACTIONS:-} ]]; then echo "::$token::"; fi
}

# completed NAME: whether it came to a result, good, bad or undecided. Exit code 1 alone does not say so: Python ends
# with it too where it cannot even import natonnx.
completed() { [[ $code =~ ^[014]$ && -s $folder/$1.md ]]; }

# refuse MESSAGE: ends optimize for a bad setting, as natonnx does.
refuse() {
  code=2
  echo "natonnx: error: $1" | tee -- "$folder/optimize.log"
  summarize optimize
  annotate "$1"
  exit "$code"
}

# reason NAME: the line that says what went wrong; the end of the log where there is none.
reason() {
  local log=$folder/$1.log
  grep '^natonnx: error: ' -- "$log" | tail -n 1 | grep . || tail -n 20 -- "$log" | grep . || echo "natonnx said nothing"
}

# summarize NAME: its Markdown, or what went wrong, into the summary and the log.
summarize() {
  {
    if completed "$1"; then
      cat -- "$folder/$1.md"
    else
      printf '## natonnx %s: error\n\nExit code %s:\n\n' "$1" "$code"
      reason "$1" | sed 's/^/    /'
    fi
    echo
  } | tee -a -- "$folder/summary.md" "${GITHUB_STEP_SUMMARY:-/dev/null}"
}

# annotate MESSAGE: an error that GitHub shows on the page of the run.
annotate() {
  local message=${1#natonnx: error: }
  message=${message//'%'/'%25'}
  message=${message//$'\r'/'%0D'}
  if [[ -n ${GITHUB_ACTIONS:-} ]]; then echo "::error title=natonnx::${message//$'\n'/'%0A'}"; fi
}

# result NAME=VALUE...: what later steps and jobs are told.
result() { printf 'NATONNX_RESULT_%s\n' "$@" | tee -a -- "$folder/result.env" >>"${GITHUB_OUTPUT:-/dev/null}"; }
