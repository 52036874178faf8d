#!/bin/sh
# A command on a network of its own, as root in a mount and a network namespace made for it: a way out that leads nowhere, and an address of this machine
# that is not on loopback, whose port 53 any account may serve. So nobody else is on it, and what helps containers to a network finds the same everywhere.
# The address is in TBUILD_TEST_ADDRESS; the first word is the folder for what is written.
set -eu
state=$1
shift
ip link set lo up
ip link add way0 type veth peer name out0
ip link set out0 up
ip link set way0 up
ip address add 198.18.0.2/24 dev way0
ip route add default via 198.18.0.1
ip address add "$TBUILD_TEST_ADDRESS/32" dev lo
echo 0 >/proc/sys/net/ipv4/ip_unprivileged_port_start
echo "nameserver $TBUILD_TEST_ADDRESS" >"$state/resolv.conf"
mount --bind "$state/resolv.conf" /etc/resolv.conf
exec "$@"
