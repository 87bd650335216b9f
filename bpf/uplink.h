/* SPDX-License-Identifier: GPL-2.0 */
/* The uplink's own stages, behind those that look for what is ours (uplink4.h, uplink6.h). */

/* Header checks. What has a filter bit by chance only must not be judged, so a failing packet is looked up. */
INLINE int shape_on_uplink(struct __sk_buff* skb, PACKET* p, __u32* length) {
  const IP_HEADER* ip = (void*)(long)skb->data + ETHERNET_LENGTH;
  if ((void*)(ip + 1) > (void*)(long)skb->data_end) return pass(p, SLUICE_REASON_FOREIGN);
  int reason = check_uplink_shape(ip, p, length); /* network 0 */
  if (!reason) {
    take_protocol(ip, p);
    p->router = p->key.destination;
#if FAMILY == 6
    reason = find_transport(skb, p, length);
#else
    reason = take_fragment(ip, p, *length);
#endif
  }
  if (!reason) reason = parse_transport((void*)(long)skb->data, (void*)(long)skb->data_end, p, *length);
  if (!reason) return CONTINUE;
  return is_floating(p->key.destination) ? drop(p, reason) : pass(p, SLUICE_REASON_FOREIGN);
}

INLINE bool is_echo_or_error(const PACKET* p) {
  return p->protocol == ICMP_PROTOCOL && !is_later_fragment(p) &&
         (p->icmp_type == ECHO_REQUEST || is_icmp_error(p, p->icmp_type));
}

/* Of what is sent to the node's own address flows have a range of ports, and the errors that quote one of them; which
 * is seen later. The rest is the host's, whatever it is. */
INLINE int share_with_host(PACKET* p) {
  const struct sluice_settings* set = get_settings();
  if (!set || !is_shared_address(set, p->key.destination)) return CONTINUE;
  p->shared = 1;
  __u16 port = bpf_ntohs(p->key.destination_port);
  bool ours = p->tracked && port >= set->shared_first && port <= set->shared_last;
  bool error = p->protocol == ICMP_PROTOCOL && !p->fragment && is_icmp_error(p, p->icmp_type);
  return ours || error || is_later_fragment(p) ? CONTINUE : pass(p, SLUICE_REASON_FOREIGN);
}

/* To the node's own address without a flow. An echo reply may be to the host's own ping. */
INLINE int admit_shared(PACKET* p) {
  if (is_of_ended_connection(p)) return REFUSED;
  if (p->protocol != ICMP_PROTOCOL) return drop(p, SLUICE_REASON_EGRESS_UNSOLICITED);
  return p->tracked ? pass(p, SLUICE_REASON_FOREIGN) : CONTINUE;
}

/* On a flow miss: is the destination really a floating IP, and the source none? */
OUTLINE int admit_on_uplink(PACKET* p) {
  if (p->shared) return admit_shared(p);
  __u8 kind = public_kind(p->key.destination);
  if (!is_ours_alone(kind)) return pass(p, SLUICE_REASON_FOREIGN);
  if (is_floating(p->key.source)) return drop(p, SLUICE_REASON_MARTIAN);
  if (kind == SLUICE_ENDPOINT_EGRESS && is_of_ended_connection(p)) return REFUSED;
  if (kind == SLUICE_ENDPOINT_EGRESS && !is_echo_or_error(p)) return drop(p, SLUICE_REASON_EGRESS_UNSOLICITED);
  return CONTINUE;
}

/* ---- XDP: drop before an skb exists ----------------------------------------------------------------------------- */

/* Is the frame for this device? What is for another host's MAC is the host's to ignore. */
INLINE bool is_for_uplink(const PACKET* p, const struct ethhdr* ethernet) {
  __u8 mac[6];
  return uplink_mac(p, mac) && same_mac(ethernet->h_dest, mac);
}

/* `p` has nothing in it yet, and needs nothing for what is not ours. */
INLINE int xdp_early_drop(struct xdp_md* xdp, PACKET* p, __u32 frame) {
  const void *data = (void*)(long)xdp->data, *end = (void*)(long)xdp->data_end;
  const struct ethhdr* ethernet = data;
  const IP_HEADER* ip = (const void*)(ethernet + 1);
  if ((void*)(ip + 1) > end) return xdp_verdict(frame, SLUICE_REASON_FOREIGN, XDP_PASS);
  take_addresses(ip, p);
  if (!in_frontend_filter(0, p->key.destination)) return xdp_verdict(frame, SLUICE_REASON_FOREIGN, XDP_PASS);
  begin_packet(p, SLUICE_ENTRY_UPLINK_XDP, frame);
  if (!is_floating(p->key.destination)) return xdp_verdict(frame, SLUICE_REASON_FOREIGN, XDP_PASS);
  p->ifindex = xdp->ingress_ifindex;
  __u32 length = 0;
  int reason = check_uplink_shape(ip, p, &length);
  if (!reason) return xdp_verdict(frame, SLUICE_REASON_XDP_TO_TC, XDP_PASS);
  if (!is_for_uplink(p, ethernet)) return xdp_verdict(frame, SLUICE_REASON_FOREIGN, XDP_PASS);
  return xdp_verdict(frame, reason, XDP_DROP);
}
