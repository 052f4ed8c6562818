#!/bin/sh
# test.sh - builds everything and runs the tests: with ASan and UBSan in build-dev/, and the program
# and the golden runner as they are used in build/.
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
cmake --build build --parallel "$jobs" --target fovea fovea-golden
echo "== build (ASan, UBSan) =="
configure dev build-dev
cmake --build build-dev --parallel "$jobs"
echo "== test =="
exec ctest --test-dir build-dev --output-on-failure "$@"
