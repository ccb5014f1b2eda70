# Sourced by the walks, with the folder to work in: the commands of a tutorial, one after the other, counted and timed.
set -euo pipefail
walks=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
repository=$(cd "$walks/../.." && pwd)
place=${1:?"a folder to work in"}
mkdir -p "$place" && cd "$place"
export FAITHBENCH_CACHE=$PWD/cache FAITHBENCH_DATA=$PWD/data HF_HUB_OFFLINE=1 COLUMNS=100
export PYTHONPATH=$PWD/site${PYTHONPATH:+:$PYTHONPATH}
commands=0

# what a user has already: not a command of the tutorial
given() { python "$walks/materials.py" "$@" .; }

# a command of the tutorial; what pip would fetch is here, and a package of one's own is installed beside
step() {
  commands=$((commands + 1))
  printf '\n$ %s\n' "$*"
  case "$*" in
    "pip install faithbench"*) ;;
    "pip install ./"*) python -m pip install --quiet --no-build-isolation --no-deps --target site "$3" ;;
    *) "$@" ;;
  esac
}

# a file of the tutorial, from its page
written() { python "$walks/pages.py" "$1" "$2" > "$2"; }

begin() { SECONDS=0; }
end() {
  times > times.txt # of this shell and, in the second line, of its commands: user and system
  printf '\n%s: %s commands, %s seconds; processor time %s\n' \
    "$(basename "$0" .sh)" "$commands" "$SECONDS" "$(tail -1 times.txt)"
}
