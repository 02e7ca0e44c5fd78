# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
# completion.sh: loads the scripts of the four tools into bash and prints what a few beginnings of lines complete to.
set -eu
for tool in moe-import moe-compile moe-opt moe-run; do
  eval "$("$tool" --completion=bash)"
done

# shown WORD…: completions of the last word, on one line.
shown() {
  COMP_WORDS=("$@")
  COMP_CWORD=$(($# - 1))
  COMPREPLY=()
  "_${1//-/_}"
  printf '%s:' "$*"
  printf ' %s' ${COMPREPLY[@]+"${COMPREPLY[@]}"}
  printf '\n'
}

cd "$1"
touch model.mlir
shown moe-compile --e
shown moe-compile --emit ''
shown moe-compile --target = cpu:x86-64-v
shown moe-compile mod
shown moe-import --diagnostics j
shown moe-import -o mod
shown moe-opt --moe-to-st
shown moe-run ins
shown moe-run score --r
shown moe-run score m.moe -o ''
shown moe-run bench m.moe -o ''
shown moe-run --comp
