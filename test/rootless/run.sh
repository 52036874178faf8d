#!/bin/sh
# The end-to-end tests by an account with no group but its own: all of them with the further ids of /etc/subuid, those of networks on a network of their
# own (alone.sh), then a short part with no further ids. Root makes the account and removes it; what cannot be tested so is in test/support/root-only.ts,
# and printed. Everything is mounted in a mount namespace of this script's own. Words after it are vitest's: names of test files, and all that is run then.
set -eu
cd "${0%/*}/../.."
[ "$(id -u)" = 0 ] || {
    echo "test:rootless makes an account, which only root may; as an ordinary user npm test itself is this test" >&2
    exit 1
}
if [ "${TBUILD_ROOTLESS_SCRIPT-}" != "$$" ]; then
    PATH=$PWD/node_modules/.bin:$PATH
    node --eval "import('./setup/base-images.ts').then(({ makeBaseImages }) => makeBaseImages(console.log))"
    export TBUILD_ROOTLESS_SCRIPT=$$
    exec unshare --mount --propagation private sh test/rootless/run.sh "$@"
fi
unset TBUILD_ROOTLESS_SCRIPT

account=tbuild-test-$$
# The checkout may be where only root goes: it is seen here. What is written lies in it, on its file system.
place=$(mktemp -d /tmp/tbuild-rootless-XXXXXX)
state=.tbuild/rootless-$$

finish() {
    userdel --force "$account" 2>/dev/null || :
    umount --recursive --lazy "$place" 2>/dev/null || :
    rmdir "$place" || :
    rm -rf "$state"
}
trap finish EXIT
trap 'exit 130' INT TERM

mkdir -p "$state"
# Everywhere else udev gives them to everybody (50-udev-default.rules).
mknod -m 666 "$state/tun" c 10 200
mount --bind "$state/tun" /dev/net/tun
mknod -m 666 "$state/fuse" c 10 229
mount --bind "$state/fuse" /dev/fuse

chmod 755 "$place"
useradd --no-create-home --home-dir "$place/.tbuild/home" --shell /bin/sh "$account"
grep -q "^$account:" /etc/subuid || usermod --add-subuids 2000000000-2000065535 --add-subgids 2000000000-2000065535 "$account"

# Before what the account executes: nothing, or what gives it a network of its own.
enter=

# as_account NAME COMMAND…: with folders of its own for what it writes, which outlive it
as_account() {
    own=$state/$1
    shift
    cache=${XDG_CACHE_HOME:-$HOME/.cache}/tbuild-setup
    mkdir -p "$own/runtime" "$own/home/.cache/tbuild-setup"
    chmod 700 "$own/runtime"
    chown -R "$account:$account" "$own"
    mount --bind "$PWD" "$place"
    mount -o remount,bind,ro "$place"
    mount --bind "$own" "$place/.tbuild"
    mount --bind "$cache" "$place/.tbuild/home/.cache/tbuild-setup"
    status=0
    (
        cd "$place"
        # shellcheck disable=SC2086 # They are several words.
        exec $enter env -i HOME="$place/.tbuild/home" XDG_RUNTIME_DIR="$place/.tbuild/runtime" USER="$account" TBUILD_TEST_ADDRESS="$TBUILD_TEST_ADDRESS" \
            PATH="$place/node_modules/.bin:$PATH" TERM="${TERM-}" CI="${CI-}" \
            setpriv --reuid "$account" --regid "$account" --clear-groups --inh-caps=-all "$@"
    ) || status=$?
    # podman leaves a process behind, which holds its namespaces.
    for left in $(ps -o pid= -u "$account"); do kill -KILL "$left" || :; done
    umount --recursive --lazy "$place"
    return "$status"
}

failed=
# run NAME WORD…: vitest's, by the account
run() {
    name=$1
    shift
    as_account "$name" vitest run --configLoader native --reporter=default --reporter=json --outputFile.json=.tbuild/report.json "$@" || failed=1
    cp "$state/$name/report.json" ".tbuild/ci/rootless-$name.json" || failed=1
}

mkdir -p .tbuild/ci
export TBUILD_TEST_ADDRESS=198.19.0.2
alone="unshare --mount --net --propagation private sh test/rootless/alone.sh $PWD/$state"
if [ "$*" = network ]; then
    enter=$alone
    run network --project rootless test/rootless/network.test.ts
    [ -z "$failed" ]
    exit
fi
run many --project e2e --project behaviours --project rootless --exclude test/rootless/one-id.test.ts --exclude test/rootless/network.test.ts "$@"
if [ $# -eq 0 ]; then
    enter=$alone
    run network --project rootless test/rootless/network.test.ts
    enter=
fi
range=$(sed -n "s/^$account:\([0-9]*\):.*/\1/p" /etc/subuid)
usermod --del-subuids "$range-$((range + 65535))" --del-subgids "$range-$((range + 65535))" "$account"
run one --project rootless test/rootless/one-id.test.ts
[ -z "$failed" ]
