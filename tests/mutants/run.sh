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
# One build for one test: to build quickly counts for more than to run quickly.
sed -e 's/^members = .*/members = ["agent\/core"]/' -e 's/^opt-level = 2/opt-level = 1/' \
    "$root/Cargo.toml" > "$copy/Cargo.toml"
mkdir "$copy/agent"
export CARGO_TARGET_DIR="$target" RUST_BACKTRACE=0

# A fresh core; its files keep their times, so that only what is changed is built anew.
fresh() {
    rm -rf "$copy/agent/core"
    cp -a "$root/agent/core" "$copy/agent"
}

# Builds only what the test is in: beside the code, or among the properties.
run_test() {
    local where=--lib
    if grep -rq "fn $1(" "$copy/agent/core/tests"; then where=--test=properties; fi
    (cd "$copy" && cargo test --offline --quiet --package relight-core "$where" "$1" 2>&1)
}

rules() {
    grep -v '^#' "$here/faults" | while IFS='~' read -r rule rest; do
        [[ -z $wanted || " $wanted " == *" $rule "* ]] && echo "$rule~$rest"
    done
}

wanted="$*"
fresh
# The last build may be one with a fault, of a run before this one.
find "$copy/agent/core" -name '*.rs' -exec touch {} +
while IFS='~' read -r rule file edit test; do
    if ! out="$(run_test "$test")" || ! grep -q "^running 1 test" <<< "$out"; then
        printf '%s  %s is not green without a fault\n%s\n' "$rule" "$test" "$out"
        exit 1
    fi
done < <(rules)
echo "every test is green without a fault"

survived=0 seen=0
while IFS='~' read -r rule file edit test; do
    fresh
    sed -Ei "$edit" "$copy/agent/core/src/$file"
    if cmp -s "$root/agent/core/src/$file" "$copy/agent/core/src/$file"; then
        echo "$rule  the fault does not fit $file any more: $edit"
        survived=$((survived + 1))
        continue
    fi
    # The file of the fault before this one as well.
    touch "$copy/agent/core/src/$file" "$copy/agent/core/src/${before:-$file}"
    before="$file"
    seen=$((seen + 1))
    if ! out="$(run_test "$test")" && grep -q "^test result: FAILED" <<< "$out"; then
        echo "$rule  red: $test"
    else
        printf '%s  NOT FOUND by %s (%s: %s)\n%s\n' "$rule" "$test" "$file" "$edit" "$out"
        survived=$((survived + 1))
    fi
done < <(rules)

echo "$seen faults in the core, $survived not found"
[[ $survived == 0 ]]
