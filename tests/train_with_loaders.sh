#!/bin/sh
# Trains for a few steps with several loader threads; under ThreadSanitizer a race ends it with an
# error.  One compute thread: libgomp's barriers are not instrumented.
#   train_with_loaders.sh FOVEA
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT

"$1" data synth --out "$folder/data" --classes 2 --size 32 --train 96 --val 16 --seed 1
"$1" train --model mini_vit --data-dir "$folder/data" --out "$folder/run" \
    --threads 1 --workers 3 --batch-size 16 --epochs 2 --seed 1 \
    --aug-repeats 2 --aa rand-m9-mstd0.5-inc1 --reprob 0.25 --mixup 0.8 --cutmix 1.0 --model-ema
"$1" eval "$folder/run" --data-dir "$folder/data" --threads 1 --workers 2
