/* SPDX-License-Identifier: GPL-2.0 */
/* What a packet asks for, for the stages behind, and the answer of a floating IP that nobody serves. */

/* Only these can be asked of a frontend; echo replies, other ICMP types and what has no transport header cannot. */
INLINE bool is_request(const PACKET* p) {
  return p->tracked && !is_later_fragment(p) && (p->protocol != ICMP_PROTOCOL || p->icmp_type == ECHO_REQUEST);
}

INLINE bool is_echo_request(const PACKET* p) {
  return p->tracked && !is_later_fragment(p) && p->protocol == ICMP_PROTOCOL && p->icmp_type == ECHO_REQUEST;
}

/* Might the destination be a floating IP, as a pod sees it? Its own network's addresses come first, whatever the public
 * side calls its own. */
INLINE bool asks_floating(const PACKET* p) {
  return p->network && !is_own_network(p, p->key.destination) && in_frontend_filter(0, p->key.destination);
}

INLINE bool is_tcp_syn(const PACKET* p) {
  return p->protocol == IPPROTO_TCP && (p->tcp_flags & (TCP_SYN | TCP_ACK)) == TCP_SYN;
}

/* A segment of a connection that a generation has ended. Its record still stands and proves that the connection was
 * there, so its end may be told also to who is asked outside, where nobody is answered who only guesses. */
INLINE bool is_of_ended_connection(const PACKET* p) {
  return p->stale_pair && p->protocol == IPPROTO_TCP && !is_tcp_syn(p) && !is_later_fragment(p);
}

/* A floating IP's port that no service has bound. */
OUTLINE int to_floating(const PACKET* p) {
  if (p->shared) return pass(p, SLUICE_REASON_FOREIGN); /* an error that no flow of ours is quoted in */
  if (is_later_fragment(p)) return drop(p, SLUICE_REASON_FRAGMENT);
  if (is_echo_request(p)) return ECHO;
  if (p->protocol == ICMP_PROTOCOL) return drop(p, SLUICE_REASON_ICMP_ERROR);
  if (!p->tracked) return REFUSED_PROTOCOL;
  if (is_of_ended_connection(p)) return REFUSED;
  if (p->protocol == IPPROTO_TCP && !is_tcp_syn(p)) return drop(p, SLUICE_REASON_NO_CONNECTION);
  return REFUSED;
}
