# What the scripts here have in common: how they say what passed, install what is pinned, and start
# the gateway. Sourced; expects `work` and `cache`, the folder of this run and that of all runs.

passed=0 failed=0 skipped=0
say() { printf '%s  %-28s %-8s %s\n' "$@"; }
pass() { passed=$((passed + 1)); say "$1" "$2" ok "$3"; }
fail() { failed=$((failed + 1)); say "$1" "$2" FAILED "$3"; }
# last [FILE]: the last line of what was said.
last() { tail -n 1 "${1:-$work/out}" | cut -c 1-160; }
stop() { [[ -n $1 ]] && kill "$1" 2>/dev/null && wait "$1" 2>/dev/null; }

# summary: what came of it all, as the last line; fails if anything did.
summary() {
  echo "$passed passed, $failed failed$( ((skipped)) && echo ", $skipped skipped")"
  ((failed == 0))
}

# runs LETTER NAME COMMAND…: the command succeeds; of one that does not, everything it said.
runs() {
  local letter=$1 name=$2
  shift 2
  if timeout 180 "$@" >"$work/out" 2>&1; then
    pass "$letter" "$name" "$(last)"
  else
    fail "$letter" "$name" "$(last)"
    sed 's/^/     /' "$work/out" | tail -n 60
  fi
}

# python_at_least MINOR: prints a Python 3 of at least that version.
python_at_least() {
  local python
  for python in python3 python3.{10..20} "$HOME"/.pyenv/versions/3.*/bin/python3; do
    if "$python" -c "import sys; sys.exit(sys.version_info < (3, $1))" 2>/dev/null; then
      command -v "$python"
      return
    fi
  done
  return 1
}

# venv PYTHON NAME REQUIREMENTS: makes the environment of pinned requirements once, prints its Python.
venv() {
  local dir=$cache/$2 requirements=$3
  if ! cmp -s "$requirements" "$dir/done"; then
    rm -rf "$dir"
    "$1" -m venv "$dir" >&2 &&
      "$dir/bin/pip" install --quiet --no-deps --requirement "$requirements" >&2 || return 1
    cp "$requirements" "$dir/done"
  fi
  echo "$dir/bin/python"
}

# first_line FILE: waits until something has written its first line there, and prints it.
first_line() {
  local line
  for _ in {1..300}; do
    [[ -s $1 ]] && read -r line <"$1" && { echo "$line"; return; }
    sleep 0.1
  done
  return 1
}

# up RESCIND: starts the gateway on `$work/rescind.toml`; sets `gateway`, its process, and `url`.
up() {
  local listening
  "$1" up --json --config "$work/rescind.toml" --data-dir "$work/data" \
    --listen 127.0.0.1:0 >"$work/up" 2>"$work/up.err" &
  gateway=$!
  listening=$(first_line "$work/up") || { cat "$work/up.err"; exit 1; }
  url=$(sed 's/.*"listening":"\([^"]*\)".*/\1/' <<<"$listening")
}

# down: stops it. Fails if it did not stop cleanly.
down() {
  local pid=$gateway
  gateway=
  kill "$pid" && wait "$pid"
}
