#!/bin/sh
# test.sh - builds everything and runs the tests: with ASan and UBSan in build-dev/; the program, the
# golden runner and the kernels, which an optimiser can break, as they are used in build/.
#
#   ./test.sh [CTEST ARGUMENTS]   e.g. ./test.sh -R core-test_tape
set -eu
cd "$(dirname "$0")"

# A build folder keeps the generator it was made with.
configure() {
    generator=""
    if [ ! -f "$2/CMakeCache.txt" ] && ninja --version >/dev/null 2>&1; then
        generator="-GNinja"
    fi
    cmake --preset "$1" ${generator:+"$generator"} >"$2.log" 2>&1 || {
        cat "$2.log" >&2
        exit 1
    }
    rm -f "$2.log"
}

jobs=$(nproc 2>/dev/null || echo 2)

./setup.sh
echo "== build (release) =="
configure release build
kernel_tests="core-test_kernels core-test_kernels_map core-test_kernels_pairs core-test_kernels_product"
# shellcheck disable=SC2086
cmake --build build --parallel "$jobs" --target fovea fovea-golden $kernel_tests
echo "== build (ASan, UBSan) =="
configure dev build-dev
cmake --build build-dev --parallel "$jobs"
echo "== test =="
for name in $kernel_tests; do build/tests/"$name" -j1; done
exec ctest --test-dir build-dev --output-on-failure "$@"
