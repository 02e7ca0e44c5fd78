# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
# Sourced by setup, check and quickstart: options, timed steps, quiet builds.

set -euo pipefail
tool=tools/$(basename "$0")
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
build=$root/build
jobs=$(nproc)
install=1
full=0
steps=800
tools=
out=
started=$SECONDS

# usage TEXT: prints the text and the options that all three share.
usage() {
  printf '%s\n\noptions:\n' "$1"
  printf '  --build-dir DIR   where to build (default: build)\n'
  printf '  --jobs N          parallel jobs (default: the number of cores, %s)\n' "$(nproc)"
  printf '  --skip-install    trust that everything needed is installed\n'
}

die() { # die EXIT_CODE MESSAGE
  printf '%s: error: %s\n' "$tool" "$2" >&2
  exit "$1"
}

# parse_options HELP_TEXT ARGUMENTS: sets build, jobs, install and, where the help offers them, full, steps, tools, out.
parse_options() {
  local help=$1
  shift
  while [ $# -gt 0 ]; do
    case $1 in
      --steps | --steps=* | --tools | --tools=* | --out | --out=*)
        [[ $help == *"${1%%=*} "* ]] || die 2 "unknown option ${1%%=*}; see $tool --help" ;;&
      --build-dir=* | --jobs=* | --steps=* | --tools=* | --out=*) set -- "${1%%=*}" "${1#*=}" "${@:2}"; continue ;;
      --build-dir | --jobs | --steps | --tools | --out) [ $# -ge 2 ] || die 2 "$1 needs a value" ;;&
      --build-dir) build=$(realpath -m "$2"); shift ;;
      --jobs) jobs=$2; shift ;;
      --steps) steps=$2; shift ;;
      --tools) tools=$(realpath -m "$2"); shift ;;
      --out) out=$(realpath -m "$2"); shift ;;
      --skip-install) install=0 ;;
      --full) [[ $help == *--full* ]] || die 2 "unknown option --full; see $tool --help"; full=1 ;;
      -h | --help) usage "$help"; exit 0 ;;
      *) die 2 "unknown option $1; see $tool --help" ;;
    esac
    shift
  done
  [[ $jobs =~ ^[1-9][0-9]*$ ]] || die 2 "--jobs expects a number from 1, got $jobs"
  [[ $steps =~ ^[1-9][0-9]*$ ]] || die 2 "--steps expects a number from 1, got $steps"
}

clock() { printf '%d:%02d' $(($1 / 60)) $(($1 % 60)); }
say() { printf '[%s] %s\n' "$(clock $((SECONDS - started)))" "$*" >&2; }

# quietly LOG COMMAND…: output goes to LOG; one line every 30 s says how far it got. On failure the end of LOG is shown.
quietly() {
  local log=$1 pid waited=0
  shift
  mkdir -p "$(dirname "$log")"
  "$@" >"$log" 2>&1 &
  pid=$!
  trap 'kill "$pid" 2>/dev/null; exit 130' INT TERM
  while kill -0 "$pid" 2>/dev/null; do
    sleep 0.2
    waited=$((waited + 1))
    if [ $((waited % 150)) -eq 0 ]; then say "  $(tail -n 1 "$log" | cut -c1-100)"; fi
  done
  trap - INT TERM
  if ! wait "$pid"; then
    grep -A 25 -m 3 '^FAILED' "$log" >&2 || tail -n 40 "$log" >&2
    die 1 "this failed: $* (all output: $log)"
  fi
}

# build_preset NAME [TARGET…]: configures and builds a preset of CMakePresets.json in $build/NAME.
build_preset() {
  local preset=$1 dir=$build/$1
  shift
  say "configure $preset"
  quietly "$dir/configure.log" cmake -S "$root" --preset "$preset" -B "$dir" ${configure_options[@]+"${configure_options[@]}"}
  say "build $preset${*:+: $*}"
  quietly "$dir/build.log" ninja -C "$dir" -j "$jobs" "$@"
}

install_needed() {
  if [ "$install" = 1 ]; then "$root/tools/setup" --build-dir "$build" --jobs "$jobs"; fi
}
