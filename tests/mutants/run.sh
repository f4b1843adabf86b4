#!/bin/bash
# Breaks one rule of relight-core after the other, in a copy, and demands that the named test of the
# core goes red each time. `faults` is the table. Minutes: each fault is a build of the core.
#
#   tests/mutants/run.sh [RULE...]     all rules, or these (R7 R11)
set -euo pipefail

here="$(cd "$(dirname "$0")" && pwd)"
root="$(cd "$here/../.." && pwd)"
target="${CARGO_TARGET_DIR:-$root/target}/mutants"
copy="$(mktemp -d)"
trap 'rm -rf "$copy"' EXIT

cp "$root/Cargo.lock" "$root/rust-toolchain.toml" "$root/clippy.toml" "$copy"
sed 's/^members = .*/members = ["agent\/core"]/' "$root/Cargo.toml" > "$copy/Cargo.toml"
mkdir "$copy/agent"
export CARGO_TARGET_DIR="$target" RUST_BACKTRACE=0

# A fresh core; its files keep their times, so that only what is changed is built anew.
fresh() {
    rm -rf "$copy/agent/core"
    cp -a "$root/agent/core" "$copy/agent"
}

run_test() {
    (cd "$copy" && cargo test --offline --quiet --package relight-core "$1" 2>&1)
}

survived=0 seen=0
fresh
run_test "" > "$copy/whole" || { cat "$copy/whole"; echo "the core is red without a fault"; exit 1; }

while IFS='~' read -r rule file edit test; do
    [[ -z $rule || $rule == \#* ]] && continue
    [[ $# -gt 0 && ! " $* " == *" $rule "* ]] && continue
    fresh
    sed -Ei "$edit" "$copy/agent/core/src/$file"
    touch "$copy/agent/core/src/$file"
    if cmp -s "$root/agent/core/src/$file" "$copy/agent/core/src/$file"; then
        echo "$rule  the fault does not fit $file any more: $edit"
        survived=$((survived + 1))
        continue
    fi
    seen=$((seen + 1))
    if ! out="$(run_test "$test")" && grep -q "^test .*$test.* FAILED\|^    .*$test\|panicked" <<< "$out"; then
        echo "$rule  red: $test"
    else
        echo "$rule  NOT FOUND by $test ($file: $edit)"
        tail -5 <<< "$out"
        survived=$((survived + 1))
    fi
done < "$here/faults"

echo "$seen faults in the core, $survived not found"
[[ $survived == 0 ]]
