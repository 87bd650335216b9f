/* SPDX-License-Identifier: GPL-2.0 */
/* What happens to a packet that no flow owns: a service, an address of the network, or nowhere. */
#ifndef SLUICE_BPF_FRONTEND_H
#define SLUICE_BPF_FRONTEND_H

/* Only these can be asked of a frontend; echo replies and other ICMP types cannot. The filter comes first: a packet
 * from pod to pod costs no lookup here. */
static __always_inline bool asks_frontend(const struct packet* p) {
  return in_frontend_filter(p->network, p->key.destination) && p->tracked &&
         (p->protocol != IPPROTO_ICMP || p->icmp_type == ICMP_ECHO);
}

/* A frontend's new flow: select -> remember -> rewrite -> deliver. CONTINUE if there is no such frontend.
 * Asked only if asks_frontend() says so. */
static __noinline int new_flow(struct __sk_buff* skb, struct packet* p) {
  struct choice choice = {};
  int result = find_frontend(p, &choice);
  if (result == MISSING) return CONTINUE;
  if (result == CHANGED && find_frontend(p, &choice) != FOUND) return drop(p, SLUICE_REASON_TABLE_CHANGED);
  STAGE(select_backend(skb, p, &choice));
  STAGE(remember(p, &choice));
  return carry_out(skb, p);
}

static __always_inline int frontend(struct __sk_buff* skb, struct packet* p) {
  return asks_frontend(p) ? new_flow(skb, p) : CONTINUE;
}

static __always_inline long to_pod(struct __sk_buff* skb, const struct packet* p, __u8 kind, __u32 ifindex,
                                   const __u8* mac) {
  static const __u8 router_mac[6] = SLUICE_ROUTER_MAC;
  struct ethhdr* ethernet = (void*)(long)skb->data;
  if ((void*)(ethernet + 1) > (void*)(long)skb->data_end) return TC_ACT_SHOT;
  if (!same_mac(ethernet->h_dest, mac)) {
    copy_mac(ethernet->h_dest, mac);
    copy_mac(ethernet->h_source, router_mac);
  }
  struct action action = {
      .ifindex = ifindex,
      .delivery = kind == SLUICE_ENDPOINT_POD_DEVICE ? SLUICE_DELIVER_DEVICE : SLUICE_DELIVER_PEER,
  };
  return deliver(skb, &action);
}

static __always_inline int to_service(struct __sk_buff* skb, struct packet* p) {
  if (p->protocol == IPPROTO_ICMP && p->tracked) return drop(p, SLUICE_REASON_PROTOCOL);
  if (p->protocol == IPPROTO_ICMP) return drop(p, SLUICE_REASON_ICMP_ERROR);
  return p->tracked ? refuse(skb, p) : drop(p, SLUICE_REASON_PROTOCOL);
}

/* A connection from pod to pod has no record. If the sender has one to the same backend through a service, from the
 * same source port, the answers of both are one tuple: those to this one would be translated. An error now beats a
 * hang. */
static __noinline int check_direct_syn(const struct packet* p) {
  struct sluice_flow4_key answer = {
      .network_protocol = p->key.network_protocol,
      .source = p->key.destination,
      .destination = p->key.source,
      .source_port = p->key.destination_port,
      .destination_port = p->key.source_port,
  };
  const struct sluice_flow4* found = bpf_map_lookup_elem(&flows4, &answer);
  if (!found || found->role != SLUICE_FLOW_REVERSE || is_ended(found)) return 0;
  __u32 index = found->pair;
  bool closing = is_closing(found);
  if (!still_self(found, &answer)) return 0;
  return closing && delete_pair(p, index, &answer, END_CLOSING) ? 0 : SLUICE_REASON_FLOW_COLLISION;
}

static __always_inline bool is_tcp_syn(const struct packet* p) {
  return p->protocol == IPPROTO_TCP && (p->tcp_flags & (TCP_SYN | TCP_ACK)) == TCP_SYN;
}

/* An address of the sender's own network. */
static __always_inline int to_address(struct __sk_buff* skb, struct packet* p) {
  struct sluice_endpoint4_key key = {.network = p->network, .address = p->key.destination};
  const struct sluice_endpoint4* endpoint = bpf_map_lookup_elem(&endpoints4, &key);
  if (!endpoint)
    return drop(p, (key.address & p->mask4) == p->cidr4 ? SLUICE_REASON_NO_SUCH_ADDRESS : SLUICE_REASON_NO_EGRESS);
  __u8 kind = endpoint->kind, mac[6];
  __u32 ifindex = endpoint->ifindex;
  copy_mac(mac, endpoint->mac);
  if (!is_endpoint(endpoint, &key)) return drop(p, SLUICE_REASON_TABLE_CHANGED);
  switch (kind) {
    case SLUICE_ENDPOINT_POD_PEER:
    case SLUICE_ENDPOINT_POD_DEVICE:
      if (!ifindex) return drop(p, SLUICE_REASON_POD_DETACHED);
      if (is_tcp_syn(p) && check_direct_syn(p)) return drop(p, SLUICE_REASON_FLOW_COLLISION);
      return forward(p, to_pod(skb, p, kind, ifindex, mac), SLUICE_REASON_TO_POD);
    case SLUICE_ENDPOINT_SERVICE:
      return to_service(skb, p);
    case SLUICE_ENDPOINT_ROUTER:
      if (p->tracked && p->icmp_type == ICMP_ECHO && p->protocol == IPPROTO_ICMP) return answer_echo(skb, p);
      return drop(p, SLUICE_REASON_ROUTER_CLOSED);
    default:
      return drop(p, SLUICE_REASON_NO_SUCH_ADDRESS);
  }
}

/* A floating IP's port that no service has bound. */
static __noinline int to_floating(struct __sk_buff* skb, struct packet* p) {
  if (p->protocol == IPPROTO_ICMP)
    return p->tracked && p->icmp_type == ICMP_ECHO ? answer_echo(skb, p) : drop(p, SLUICE_REASON_ICMP_ERROR);
  if (!p->tracked) return drop(p, SLUICE_REASON_PROTOCOL);
  if (p->protocol == IPPROTO_TCP && (p->tcp_flags & (TCP_SYN | TCP_ACK)) != TCP_SYN)
    return drop(p, SLUICE_REASON_NO_CONNECTION);
  return refuse(skb, p);
}

#endif
