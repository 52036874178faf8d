#!/bin/sh
# `npm run fuzz`: looks for what the properties of test/property do not hold for, five seconds each, with a seed of its own each time.
# To go on where a run failed: FUZZ_SEED=… npm run fuzz. Other targets join at the end; each has some seconds, all about a minute.
set -eu
cd "${0%/*}/.."
PATH=$PWD/node_modules/.bin:$PATH:${HOME:-/root}/.cargo/bin
export FUZZ_SEED="${FUZZ_SEED:-$(date +%s)}" FUZZ_MS="${FUZZ_MS:-5000}"
echo "fuzz: the seed is $FUZZ_SEED"
vitest run --project fast test/property

# What reads foreign bytes in the native binary; the first time cargo takes some minutes.
sh runner-native/fuzz/run.sh 8
