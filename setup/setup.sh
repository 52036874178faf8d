#!/bin/sh
# Makes a bare clone ready: Debian packages, the npm packages (Node 24 among them), the native binary, the bundle.
# `setup.sh` builds tbuild; `setup.sh demo`, `setup.sh test` and `setup.sh bench` also bring what the demo, the tests and the benchmark need.
# Assumes some node with npm, cargo, and a Debian or what stands in for its packages. Each step looks first: nothing to do costs nothing.
set -eu
cd "${0%/*}/.."
purpose=${1:-build}
PATH=$PWD/node_modules/.bin:$PATH:${HOME:-/root}/.cargo/bin
log=.tbuild/setup.log

say() { printf 'setup: %s\n' "$*"; }

die() {
    printf 'setup: error: %s\n' "$*" >&2
    exit 1
}

# run WHAT COMMAND…: one line for the reader, the command's own output only if it fails.
run() {
    what=$1
    shift
    say "$what"
    "$@" >"$log" 2>&1 && return
    tail -n 40 "$log" >&2
    die "failed at: $what (the whole output is in $log)"
}

# newer TARGET SOURCE…: TARGET is missing, or something in the SOURCEs changed after it (a removal changes its directory).
newer() {
    target=$1
    shift
    [ ! -e "$target" ] || [ -n "$(find "$@" -newer "$target" -print -quit)" ]
}

apt_install() {
    ls /var/lib/apt/lists/*_Packages* >/dev/null 2>&1 || apt-get update
    apt-get install -y --no-install-recommends "$@" || { apt-get update && apt-get install -y --no-install-recommends "$@"; }
}

debian_packages() {
    if ! command -v dpkg-query >/dev/null; then
        say "this is no Debian; what these packages hold is taken to be installed: $*"
        return
    fi
    installed=" $(dpkg-query -W -f '${Package}:${db:Status-Status} ' "$@" 2>/dev/null || :)"
    missing=
    for package; do
        case $installed in *" $package:installed "*) ;; *) missing="$missing $package" ;; esac
    done
    [ -n "$missing" ] || return 0
    [ "$(id -u)" = 0 ] || die "Debian packages are missing; install them, then run this again:
  sudo apt-get install -y --no-install-recommends$missing"
    export DEBIAN_FRONTEND=noninteractive
    # shellcheck disable=SC2086 # a list of package names
    run "installing Debian packages:$missing" apt_install $missing
}

npm_packages() {
    stamp=node_modules/.tbuild-package-lock.json
    if ! cmp -s package-lock.json "$stamp"; then
        command -v npm >/dev/null || die "npm is missing: install Node.js (any version that npm runs on; tbuild brings its own Node 24)"
        run "installing the npm packages, Node 24 among them" npm ci --ignore-scripts --include=dev --include=optional --no-audit --no-fund
        # At its first use in a checkout npx links the project's own command, with warnings about the machine's Node.js: not before the user's eyes.
        npx --yes tbuild --version >>"$log" 2>&1 || :
        cp package-lock.json "$stamp"
    fi
    [ -x node_modules/.bin/node ] || die "no Node 24 for this machine ($(uname -sm)) among the npm packages: only Linux on x86-64 and arm64 is served"
}

cargo_build() (
    cd runner-native
    cargo build --release --locked --target-dir target
)

native_binary() {
    newer dist/tbuild-runner runner-native/Cargo.toml runner-native/Cargo.lock runner-native/.cargo runner-native/crates || return 0
    command -v cargo >/dev/null || die "cargo is missing: install the Rust toolchain (rustup), then run this again"
    command -v cc >/dev/null || die "cc is missing: install a C compiler (apt-get install gcc libc6-dev), then run this again"
    run "building the native binary (cargo; about two minutes the first time)" cargo_build
    # A running binary cannot be overwritten, and a half-copied one must not be run: a rename is neither.
    cp runner-native/target/*-linux-*/release/tbuild-runner dist/tbuild-runner.new
    mv dist/tbuild-runner.new dist/tbuild-runner
}

bundle() {
    newer dist/tbuild.cjs src package.json package-lock.json setup/bundle.ts || return 0
    run "bundling src into dist" node setup/bundle.ts
}

mkdir -p .tbuild dist
exec 9>.tbuild/setup.lock
flock 9 # two commands at once in one checkout take turns

case $purpose in
build) ;;
demo) debian_packages busybox-static mmdebstrap ;;
bench) debian_packages busybox-static mmdebstrap git buildah podman crun runc bubblewrap gcc libc6-dev ;;
test)
    debian_packages busybox-static git openssh-client openssl mmdebstrap erofs-utils skopeo umoci buildah podman docker-registry crun runc python3-jsonschema \
        tmux uidmap util-linux qemu-system-x86 e2fsprogs acl attr libcap2-bin libarchive-tools bzip2 xz-utils zstd shellcheck strace g++ rpm passt slirp4netns iproute2 s3cmd netavark aardvark-dns iptables procps
    ;;
*) die "setup.sh takes nothing, demo, test or bench, not '$purpose'" ;;
esac
npm_packages
native_binary
bundle
if [ "$purpose" = demo ]; then node setup/base-images.ts; fi
