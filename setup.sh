#!/bin/sh
# setup.sh - installs what fovea is built from on Debian, Ubuntu and their relatives; on other
# systems it prints what is needed.  Does nothing when everything is there.
#
#   ./setup.sh          install what is missing
#   ./setup.sh --check  only say what is missing; exit 1 if anything is
set -eu

say() { printf 'setup: %s\n' "$*" >&2; }

usage() {
    sed -n '2,/^set/s/^# \{0,1\}//p' "$0"
}

have_header() { printf '#include <stddef.h>\n#include <stdio.h>\n#include <%s>\n' "$1" |
    cc -E -x c - >/dev/null 2>&1; }

have_cmake() {
    version=$(cmake --version 2>/dev/null | sed -n '1s/[^0-9]*\([0-9]*\)\.\([0-9]*\).*/\1 \2/p')
    [ -n "$version" ] || return 1
    major=${version% *} minor=${version#* }
    [ "$major" -gt 3 ] || { [ "$major" -eq 3 ] && [ "$minor" -ge 25 ]; }
}

# What is needed, how it is recognised, and the Debian package that brings it.
find_missing() {
    missing=""
    if ! printf 'int main(void) { return 0; }\n' | cc -x c - -o /dev/null 2>/dev/null; then
        missing="$missing build-essential"
    fi
    have_cmake || missing="$missing cmake"
    ninja --version >/dev/null 2>&1 || make --version >/dev/null 2>&1 ||
        missing="$missing ninja-build"
    pkg-config --version >/dev/null 2>&1 || missing="$missing pkg-config"
    while read -r header package; do
        have_header "$header" || missing="$missing $package"
    done <<EOF
oneapi/dnnl/dnnl.h libdnnl-dev
turbojpeg.h libturbojpeg0-dev
png.h libpng-dev
stb/stb_image.h libstb-dev
yaml.h libyaml-dev
jansson.h libjansson-dev
xxhash.h libxxhash-dev
zlib.h zlib1g-dev
criterion/criterion.h libcriterion-dev
EOF
    missing=${missing# }
}

other_system() {
    say "this is not a Debian system (no apt-get); please install:"
    cat >&2 <<'EOF'
    a C11 compiler with OpenMP   gcc, or clang with libomp
    CMake 3.25 or newer, Ninja or make, pkg-config (or pkgconf)
    oneDNN 2.6 or newer          headers in oneapi/dnnl/, library dnnl
    libjpeg-turbo                with its TurboJPEG API (turbojpeg.h, libturbojpeg.pc)
    libpng and zlib              png.h, zlib.h
    libyaml, jansson, xxhash     yaml.h, jansson.h, xxhash.h, with their .pc files
    stb                          stb/stb_image.h, stb/stb_easy_font.h
    Criterion 2.4                criterion/criterion.h; for the tests only
EOF
}

case "${1:-}" in
'') check=no ;;
--check) check=yes ;;
-h | --help)
    usage
    exit 0
    ;;
*)
    usage >&2
    exit 2
    ;;
esac

find_missing
if [ -z "$missing" ]; then
    say "everything needed is installed"
    exit 0
fi
say "missing: $missing"
[ "$check" = no ] || exit 1
if ! command -v apt-get >/dev/null 2>&1; then
    other_system
    exit 1
fi

as_root=""
if [ "$(id -u)" -ne 0 ]; then
    if ! command -v sudo >/dev/null 2>&1; then
        say "not root and no sudo; as root, run: apt-get install $missing"
        exit 1
    fi
    as_root=sudo
fi

say "installing them with ${as_root:+sudo }apt-get"
$as_root env DEBIAN_FRONTEND=noninteractive apt-get update -q ||
    say "apt-get update failed; going on with the lists that are there"
# shellcheck disable=SC2086 # package names are words
$as_root env DEBIAN_FRONTEND=noninteractive apt-get install -q -y --no-install-recommends $missing

installed=$missing
find_missing
if [ -n "$missing" ]; then
    say "still missing after the installation: $missing"
    exit 1
fi
say "installed: $installed"
