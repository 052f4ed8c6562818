#!/bin/sh
# demo.sh - from a fresh machine to a trained, evaluated and explained vision transformer: installs
# what is missing, builds, draws a data set, trains on it for a few minutes, evaluates, explains.
# Everything lies in demo-out/ and build/; running it again goes on where it stopped.
#
#   ./demo.sh            all of it
#   rm -r demo-out       to start over
set -eu
cd "$(dirname "$0")"

out=demo-out
fovea=build/fovea
data_options="--classes 10 --size 64 --train 12000 --val 1000 --seed 42"
start=$(date +%s)

step() { printf '\n== %s\n' "$*"; }

elapsed() { echo $(($(date +%s) - $1)); }

# The first number behind "key": in a JSON file.
number() {
    sed -n "s/.*\"$2\": *\(-\{0,1\}[0-9][0-9.eE+-]*\).*/\1/p" "$1" | sed -n 1p
}

build() {
    if [ ! -f build/CMakeCache.txt ] && ninja --version >/dev/null 2>&1; then
        set -- -GNinja
    else
        set --
    fi
    mkdir -p build
    if ! { cmake --preset release "$@" &&
        cmake --build build --parallel "$(nproc 2>/dev/null || echo 2)" --target fovea; } \
        >build/demo.log 2>&1; then
        tail -n 40 build/demo.log >&2
        echo "demo: the build failed; all of it is in build/demo.log" >&2
        exit 1
    fi
}

# A result of --json is kept only when the command succeeded.
keep_json() {
    file=$1
    shift
    "$@" >"$file.tmp" || {
        status=$?
        rm -f "$file.tmp"
        exit "$status"
    }
    mv "$file.tmp" "$file"
}

# What lies in demo-out belongs to one configuration; that of another is moved aside, never mixed.
stamp="$(grep -v '^ *#' configs/demo.yaml | cksum) $data_options"
if [ -d "$out" ] && [ "$(cat "$out/stamp" 2>/dev/null)" != "$stamp" ]; then
    old="old-$(date +%Y%m%d-%H%M%S)"
    mv "$out" "$out.$old"
    mkdir "$out"
    mv "$out.$old" "$out/$old"
    echo "the configuration has changed: earlier results are in $out/$old"
fi
mkdir -p "$out"
echo "$stamp" >"$out/stamp"

step "1/5 what is needed"
./setup.sh

step "2/5 build (build/fovea)"
begin=$(date +%s)
build
echo "built in $(elapsed "$begin") s: $($fovea --version)"

step "3/5 a data set of ten shapes, 64 pixels ($out/data)"
# shellcheck disable=SC2086 # options are words
$fovea data synth --out "$out/data" $data_options

step "4/5 training a small vision transformer ($out/run)"
begin=$(date +%s)
keep_json "$out/train.json" \
    $fovea train -c configs/demo.yaml --data-dir "$out/data" --out "$out/run" --resume auto --json
train_s=$(elapsed "$begin")

step "5/5 evaluation and explanations ($out/explain)"
keep_json "$out/eval.json" $fovea eval "$out/run" --data-dir "$out/data" --json

# The first validation image of each of eight classes.
set --
for class in "$out"/data/validation/*/; do
    [ $# -lt 8 ] || break
    for image in "$class"*; do
        set -- "$@" "$image"
        break
    done
done
keep_json "$out/explain.json" $fovea explain "$out/run" "$@" \
    --method lrp,gradient_x_input --out "$out/explain" --json

pictures=$(find "$out/explain" -name '*.png' | wc -l)
conservation=$(sed -n 's/.*"conservation_error": *\([0-9][0-9.eE+-]*\).*/\1/p' "$out/explain.json" |
    sort -g | tail -n 1)
cat <<EOF

== done in $(elapsed "$start") s

The model, trained here from scratch (${train_s} s of training in this call), gives
    $(number "$out/eval.json" top1) % top-1 on $(number "$out/eval.json" count) images it has not seen.
Eight of them were explained with two methods; the relevance of LRP adds up to the class's score
with a worst error of ${conservation:-none} (of the total relevance).

    $out/run/           checkpoints, summary.csv, log.jsonl, config.yaml, run.json
    $out/eval.json      the evaluation
    $out/explain/       $((pictures)) pictures (sheet.png shows all maps side by side) and the raw maps
    $out/explain.json   what was explained, with the account of every map

What to run next:
    $fovea predict $out/run $1
    $fovea explain $out/run $1 --method lrp:cplrp --target 0 --out $out/more
    $fovea train -c configs/tiny_imagenet_vit.yaml --data-dir DIR --out output/tiny
    $fovea --help
EOF
