#!/bin/sh
# Fuzzes the native parsers with libFuzzer, each target for so many seconds: run.sh SECONDS [TARGET…]. Needs no more than cargo and a C++ compiler:
# the stable toolchain counts edges when it is told to, which is all that `cargo fuzz` would do without its sanitizers.
# What was found before is kept in corpus/, what fails in artifacts/; a failure ends the run.
set -eu
cd "$(dirname "$0")"
seconds=$1
shift
[ $# -gt 0 ] || set -- tar index config request

# As cargo-fuzz has them (src/project.rs), for a linker that keeps what it does not see used.
coverage='-Cpasses=sancov-module -Cllvm-args=-sanitizer-coverage-level=4 -Cllvm-args=-sanitizer-coverage-inline-8bit-counters'
coverage="$coverage -Cllvm-args=-sanitizer-coverage-pc-table -Cllvm-args=-sanitizer-coverage-trace-compares -Clink-dead-code"
target=$(rustc -vV | sed -n 's/^host: //p')
# With a target, build scripts and macros are not instrumented.
RUSTFLAGS="--cfg fuzzing -Ccodegen-units=1 $coverage" cargo build --release --locked --quiet --target "$target"

make_seeds() {
    case $1 in
    config) cp seeds/config/* corpus/config/ ;;
    tar)
        mkdir -p corpus/tree/d
        echo content >corpus/tree/d/x
        ln corpus/tree/d/x corpus/tree/hard
        ln -s d/x corpus/tree/soft
        truncate -s 100K corpus/tree/sparse
        tar --format=ustar -cf corpus/tar/ustar -C corpus/tree d hard soft
        tar --format=gnu --sparse -cf corpus/tar/gnu -C corpus/tree .
        tar --format=pax --sparse --xattrs -cf corpus/tar/pax -C corpus/tree .
        rm -r corpus/tree
        ;;
    index)
        [ -x ../../dist/tbuild-runner ] || return 0
        printf '{"id":1,"op":"scan","root":"%s/fuzz_targets","out":"%s/corpus/index/scan"}\n' "$PWD" "$PWD" | ../../dist/tbuild-runner serve >/dev/null
        ;;
    esac
}

for name; do
    mkdir -p "corpus/$name" "artifacts/$name"
    [ -n "$(ls "corpus/$name")" ] || make_seeds "$name"
    printf 'fuzz: %s for %s s\n' "$name" "$seconds"
    "target/$target/release/$name" -max_total_time="$seconds" -rss_limit_mb=1024 -malloc_limit_mb=512 -timeout=10 -max_len=65536 \
        -print_final_stats=1 -artifact_prefix="artifacts/$name/" "corpus/$name" 2>"artifacts/$name/log" || {
        tail -n 40 "artifacts/$name/log" >&2
        exit 1
    }
    sed -n 's/^stat::number_of_executed_units: */fuzz: executed /p; s/^stat::peak_rss_mb: */fuzz: peak MB /p' "artifacts/$name/log"
done
