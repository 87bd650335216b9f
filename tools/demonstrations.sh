# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash
# Sourced by tools/quickstart: what it shows, by real requests. Each function ends the script if what it shows is not so.
# Uses from there: in_namespace, control, INTERNET, CLIENTS, FLOATING_IP, EGRESS_IP, PIN_ROOT.

readonly SERVICE_IP=172.16.200.1 # of shop/web and of blog/front: the same address in both networks
readonly REQUESTS=60             # enough that chance leaves no backend out: 3 * (2/3)^60 < 1e-10

# ask NAMESPACE [CURL-ARGUMENT...] URL
ask() {
  local namespace=$1
  shift
  in_namespace "$namespace" curl --silent --show-error --fail --max-time 5 "$@"
}

# ask_often COUNT NAMESPACE [CURL-ARGUMENT...] URL: one connection a request.
ask_often() {
  local count=$1 request
  shift
  for ((request = 0; request < count; request++)); do ask "$@" || return; done
}

# expect_answers ANSWERS CLIENT POD...: every answer came from one of the pods, each pod gave one, and all of them saw
# that client.
expect_answers() {
  local answers=$1 client=$2 pods
  shift 2
  pods=$(cut -d ' ' -f 1 <<<"$answers" | sort -u | tr '\n' ' ')
  [ "$pods" = "$* " ] || fail "answers came from '${pods% }', not from '$*'"
  [ "$(cut -d ' ' -f 2 <<<"$answers" | sort -u)" = "$client" ] ||
    fail "a backend saw another client than $client: $(cut -d ' ' -f 2 <<<"$answers" | sort -u | tr '\n' ' ')"
  sort <<<"$answers" | uniq -c | awk '{ printf "     %3d from %-14s which saw the client %s\n", $1, $2, $3 }'
}

# count REASON: packets that ended with that reason, at all entry points.
count() {
  control bpf counters --pin-root "$PIN_ROOT" -o json | jq "[.counters[] | select(.reason == \"$1\") | .packets] | add // 0"
}

# expect_drop REASON WHAT command...: the command fails, and the reason's counter has gone up.
expect_drop() {
  local reason=$1 what=$2 before after
  shift 2
  before=$(count "$reason")
  if "$@" >/dev/null 2>&1; then fail "$what got through"; fi
  after=$(count "$reason")
  [ "$after" -gt "$before" ] || fail "$what failed, but the counter $reason stayed at $before"
  printf '     %-62s dropped; %s: %d -> %d\n' "$what" "$reason" "$before" "$after"
}

# mac_of NAMESPACE: of its eth0 (/sys would show this machine's own devices).
mac_of() { in_namespace "$1" ip -json link show dev eth0 | jq -r '.[0].address'; }

show_service_ips() {
  local answers
  say "the service IP $SERVICE_IP:80, asked by shop/client and by blog/client: the same address, each tenant's own pods"
  answers=$(ask_often "$REQUESTS" sluice-shop-client "http://$SERVICE_IP/") || fail "shop/client got no answer"
  expect_answers "$answers" 172.16.0.10 shop/web-1 shop/web-2 shop/web-3
  answers=$(ask_often "$REQUESTS" sluice-blog-client "http://$SERVICE_IP/") || fail "blog/client got no answer"
  expect_answers "$answers" 172.16.0.10 blog/front-1 blog/front-2
}

# ask_from_outside PORT POD...
ask_from_outside() {
  local port=$1 client answers
  shift
  for client in "${CLIENTS[@]}"; do
    answers=$(ask_often "$REQUESTS" "$INTERNET" --interface "$client" "http://$FLOATING_IP:$port/") ||
      fail "no answer from $FLOATING_IP:$port for the client $client"
    expect_answers "$answers" "$client" "$@"
  done
}

show_floating_ip() {
  say "the floating IP $FLOATING_IP, asked from the internet: port 80 is shop's, port 8081 is blog's"
  ask_from_outside 80 shop/web-1 shop/web-2 shop/web-3
  ask_from_outside 8081 blog/front-1 blog/front-2
}

show_egress() {
  local pod
  say "out to the internet: both clients have the address 172.16.0.10, the server outside sees $EGRESS_IP"
  for pod in shop blog; do
    expect_answers "$(ask "sluice-$pod-client" "http://${CLIENTS[0]}:8080/")" "$EGRESS_IP" internet
  done
  expect_drop egress_unsolicited "the internet asks $EGRESS_IP, where nobody listens" \
    ask "$INTERNET" --max-time 1 "http://$EGRESS_IP/"
}

show_isolation() {
  local address
  # web-3 has an address that no pod of blog has.
  address=$(in_namespace sluice-shop-web-3 ip -json -4 address show dev eth0 | jq -r '.[0].addr_info[0].local')
  say "no way across: shop/web-3 has $address; shop/client reaches it, blog/client does not"
  expect_answers "$(ask sluice-shop-client "http://$address:8080/")" 172.16.0.10 shop/web-3
  expect_drop arp_no_target "blog/client asks who has $address" \
    ask sluice-blog-client --max-time 1 "http://$address:8080/"
  # Without ARP in the way: the packet itself, addressed to the pod's MAC as if blog/client knew it.
  in_namespace sluice-blog-client ip neighbour replace "$address" dev eth0 nud permanent \
    lladdr "$(mac_of sluice-shop-web-3)"
  expect_drop no_such_address "blog/client sends to $address and its MAC" \
    ask sluice-blog-client --max-time 1 "http://$address:8080/"
  in_namespace sluice-blog-client ip neighbour del "$address" dev eth0
}

show_anti_spoofing() {
  local own
  say "a pod that turns hostile: shop/client takes an address and a MAC that are not its own"
  in_namespace sluice-shop-client ip address add 172.16.0.12/32 dev eth0
  expect_drop spoofed_ip "shop/client sends from shop/web-2's address 172.16.0.12" \
    ask sluice-shop-client --max-time 1 --interface 172.16.0.12 "http://$SERVICE_IP/"
  in_namespace sluice-shop-client ip address del 172.16.0.12/32 dev eth0

  own=$(mac_of sluice-shop-client)
  in_namespace sluice-shop-client ip link set dev eth0 address "$(mac_of sluice-shop-web-2)"
  expect_drop spoofed_mac "shop/client sends from shop/web-2's MAC" \
    ask sluice-shop-client --max-time 1 "http://$SERVICE_IP/"
  in_namespace sluice-shop-client ip link set dev eth0 address "$own"
  expect_answers "$(ask sluice-shop-client "http://172.16.0.12:8080/")" 172.16.0.10 shop/web-2
}
