#!/bin/sh
# The newcomer's first look: sets everything up, builds a small image, runs it, says how to go on.
set -eu
cd "${0%/*}/.."
sh setup/setup.sh demo

show() {
    printf '\n$ %s\n' "$*"
    "$@"
}

show bin/tbuild -t app fixtures/hello-c
show bin/tbuild run app

cat <<END

That was: a C program compiled in a Debian image, copied alone into an empty one, and run from where it was built.
Images and cache are in ${TBUILD_ROOT:-$([ "$(id -u)" = 0 ] && echo /var/lib/tbuild || echo "${XDG_DATA_HOME:-$HOME/.local/share}/tbuild")}; build output and npm packages stay in this checkout.

Go on:
  npm run demo                              again: every step comes from the cache
  edit fixtures/hello-c/hello.c             then again: the compiler runs, apt-get does not
  npx tbuild -t web fixtures/web            a Node web application, then: npx tbuild run --network host web
  npx tbuild --help                         all commands
  ln -s "\$PWD/bin/tbuild" ~/.local/bin/     to have tbuild everywhere
  npm test                                  runs all tests
END
