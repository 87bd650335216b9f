/* SPDX-License-Identifier: GPL-2.0 */
/* What happens to a packet that no flow owns: a service, an address of the network, or nowhere. */

/* The packet's frontend: one of its own network, or a port of a floating IP. */
OUTLINE int find_choice(const PACKET* p, CHOICE* choice) {
  int result = find_frontend(p, p->network, choice);
  if (result == CHANGED) result = find_frontend(p, p->network, choice);
  if (result != MISSING || !asks_floating(p)) return result;
  result = find_frontend(p, 0, choice);
  return result == CHANGED ? find_frontend(p, 0, choice) : result;
}

/* A floating IP of another network is reached as from the public side: with an egress address as source. */
INLINE bool is_crossing(const PACKET* p, const CHOICE* choice) {
  return p->network && choice->backend_network != p->network;
}

/* A backend for a frontend's new flow. CONTINUE if there is no such frontend. */
OUTLINE int choose_backend(struct __sk_buff* skb, PACKET* p) {
  WORKSPACE* workspace = workspace_of(p);
  if (!workspace) return drop(p, SLUICE_REASON_TABLE_CHANGED); /* cannot be */
  CHOICE* choice = &workspace->choice;
  int result = find_choice(p, choice);
  if (result == MISSING) return CONTINUE;
  if (result == FOUND && is_crossing(p, choice)) {
    result = find_way(p, choice);
    if (result == MISSING) return drop(p, SLUICE_REASON_NO_EGRESS);
    /* The egress address may be somebody's in there: then the router speaks for it, with the same ports. */
    if (result == FOUND && lies_inside(choice, &choice->egress)) choice->egress = choice->router;
  }
  if (result == CHANGED) return drop(p, SLUICE_REASON_TABLE_CHANGED);
  if (is_expired(p)) return EXPIRED;
  STAGE(select_backend(p, choice));
  return is_too_long(skb, p, choice->ifindex) ? TOO_LONG : CHOSEN;
}

/* The filters come first: a packet from pod to pod costs no lookup here. */
INLINE int frontend(struct __sk_buff* skb, PACKET* p) {
  if (!is_request(p)) return CONTINUE;
  return in_frontend_filter(p->network, p->key.destination) || asks_floating(p) ? choose_backend(skb, p) : CONTINUE;
}

/* Makes the flow that frontend or to_outside has chosen: remember -> rewrite -> deliver. */
INLINE int begin_flow(struct __sk_buff* skb, PACKET* p, bool leaves) {
  WORKSPACE* workspace = workspace_of(p);
  if (!workspace) return drop(p, SLUICE_REASON_TABLE_CHANGED); /* cannot be */
  STAGE(remember(p, workspace, leaves));
  if (workspace->choice.affinity) keep_affinity(p, &workspace->choice);
  return carry_out(skb, p);
}

INLINE long to_pod(struct __sk_buff* skb, const PACKET* p, __u8 kind, __u32 ifindex, const __u8* mac) {
  static const __u8 router_mac[6] = SLUICE_ROUTER_MAC;
  struct ethhdr* ethernet = (void*)(long)skb->data;
  if ((void*)(ethernet + 1) > (void*)(long)skb->data_end) return TC_ACT_SHOT;
  if (!same_mac(ethernet->h_dest, mac)) {
    copy_mac(ethernet->h_dest, mac);
    copy_mac(ethernet->h_source, router_mac);
  }
  ACTION action = {
      .ifindex = ifindex,
      .delivery = kind == SLUICE_ENDPOINT_POD_DEVICE ? SLUICE_DELIVER_DEVICE : SLUICE_DELIVER_PEER,
  };
  return deliver(skb, &action);
}

/* A service address without such a port. */
INLINE int to_service(const PACKET* p) {
  if (p->protocol == ICMP_PROTOCOL) return drop(p, p->tracked ? SLUICE_REASON_PROTOCOL : SLUICE_REASON_ICMP_ERROR);
  return p->tracked ? REFUSED : REFUSED_PROTOCOL;
}

/* A connection from pod to pod has no record. If the sender has one to the same backend through a service, from the
 * same source port, the answers of both are one tuple: those to this one would be translated. An error now beats a
 * hang. */
OUTLINE int check_direct_syn(const PACKET* p) {
  FLOW_KEY answer = {
      .network_protocol = p->key.network_protocol,
      .source = p->key.destination,
      .destination = p->key.source,
      .source_port = p->key.destination_port,
      .destination_port = p->key.source_port,
  };
  const FLOW* found = find_flow(&answer);
  if (!found || found->role != SLUICE_FLOW_REVERSE || is_ended(found)) return 0;
  __u32 index = found->pair;
  bool closing = is_closing(found);
  if (!still_self(found, &answer)) return 0;
  return closing && delete_pair(p, index, &answer, END_CLOSING) ? 0 : SLUICE_REASON_FLOW_COLLISION;
}

/* Addresses are Sluice's to give: a pod that plays DHCP server is not heard (RFC 2131, RFC 8415). */
INLINE bool is_dhcp_answer(const PACKET* p) {
  __be16 server = bpf_htons(FAMILY == 6 ? 547 : 67), client = bpf_htons(FAMILY == 6 ? 546 : 68);
  return p->protocol == IPPROTO_UDP && p->key.source_port == server && p->key.destination_port == client;
}

/* An address of the sender's own network. */
INLINE int to_address(struct __sk_buff* skb, PACKET* p) {
  ENDPOINT_KEY key = {.network = p->network, .address = p->key.destination};
  const ENDPOINT* endpoint = bpf_map_lookup_elem(&ENDPOINTS, &key);
  if (!endpoint) return to_outside(skb, p);
  __u8 kind = endpoint->kind, mac[6];
  __u32 ifindex = endpoint->ifindex;
  copy_mac(mac, endpoint->mac);
  if (!is_endpoint(endpoint, &key)) return drop(p, SLUICE_REASON_TABLE_CHANGED);
  switch (kind) {
    case SLUICE_ENDPOINT_POD_PEER:
    case SLUICE_ENDPOINT_POD_DEVICE:
      if (!ifindex) return drop(p, SLUICE_REASON_POD_DETACHED);
      if (is_dhcp_answer(p)) return drop(p, SLUICE_REASON_SPOOFED_DHCP);
      if (is_tcp_syn(p) && check_direct_syn(p)) return drop(p, SLUICE_REASON_FLOW_COLLISION);
      return forward(p, to_pod(skb, p, kind, ifindex, mac), SLUICE_REASON_TO_POD);
    case SLUICE_ENDPOINT_SERVICE:
      return is_later_fragment(p) ? drop(p, SLUICE_REASON_FRAGMENT) : to_service(p);
    case SLUICE_ENDPOINT_ROUTER:
      if (is_later_fragment(p)) return drop(p, SLUICE_REASON_FRAGMENT);
      if (is_echo_request(p)) return ECHO;
      if (is_of_ended_connection(p)) return REFUSED; /* with the router's address in the client's place */
      return drop(p, SLUICE_REASON_ROUTER_CLOSED);
    default:
      return drop(p, SLUICE_REASON_NO_SUCH_ADDRESS);
  }
}

/* Does what the stages have come to. `leaves`: see remember(). */
INLINE int conclude(struct __sk_buff* skb, PACKET* p, int next, bool leaves) {
  switch (next) {
    case CHOSEN:
      return begin_flow(skb, p, leaves);
    case EXPIRED:
      return time_exceeded(skb, p);
    case TOO_LONG:
      return too_big(skb, p, p->mtu);
    case REFUSED:
      return refuse(skb, p);
    case REFUSED_PROTOCOL:
      return refuse_protocol(skb, p);
    case ECHO:
      return answer_echo(skb, p);
    default:
      return next;
  }
}
