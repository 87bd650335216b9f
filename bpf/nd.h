/* SPDX-License-Identifier: GPL-2.0 */
/* Neighbour discovery (RFC 4861), answered by the datapath: a pod never sees another's message, let alone another
 * network's. Router advertisements and redirects are the router's alone. */

#define ND_OFFSET (ETHERNET_LENGTH + IP_LENGTH)
#define ND_HOP_LIMIT 255   /* shows that no router has passed it on (RFC 4861 section 3.1) */
#define ND_SOURCE_OPTION 1 /* link-layer address of the sender; length 1, in units of eight bytes */
#define ND_TARGET_OPTION 2 /* of the target */
#define ND_ROUTER_FLAG 0x80000000U
#define ND_SOLICITED_FLAG 0x40000000U
#define ND_OVERRIDE_FLAG 0x20000000U
#define ND_ROUTER_LIFETIME 1800 /* seconds; RFC 4861's default */

struct nd_option {
  __u8 type;
  __u8 length;
  __u8 mac[6];
};

/* Solicitation and advertisement, with the one option that concerns us. */
struct nd_message {
  __u8 type;
  __u8 code;
  __u16 checksum;
  __be32 flags;
  struct sluice_address6 target;
  struct nd_option option;
};

struct nd_router_advertisement {
  __u8 type;
  __u8 code;
  __u16 checksum;
  __u8 hop_limit;
  __u8 flags;
  __be16 lifetime;
  __be32 reachable;
  __be32 retransmit;
  struct nd_option source;
};

/* The longest message that is read: a solicitation with two options (link-layer address, nonce of RFC 7527). */
#define ND_READ_LENGTH 40

/* What is sent back: from whom, about what, to whom. */
struct nd_answer {
  struct sluice_address6 from;
  struct sluice_address6 target;
  __u32 flags;
  __u8 mac[6];
};

/* The type, if the packet, whose IPv6 header is good, carries neighbour discovery right behind that header; or 0. */
INLINE __u8 nd_type(struct __sk_buff* skb, const PACKET* p) {
  const __u8* type = (void*)(long)skb->data + ND_OFFSET;
  if (p->protocol != IPPROTO_ICMPV6 || (const void*)(type + 1) > (void*)(long)skb->data_end) return 0;
  return is_nd_type(*type) ? *type : 0;
}

INLINE __u64 icmp6_pseudo_sum(struct sluice_address6 source, struct sluice_address6 destination, __u32 length) {
  return address_sum(source) + address_sum(destination) + bpf_htons((__u16)length) + bpf_htons(IPPROTO_ICMPV6);
}

/* Reads the message (`bytes` is zeroed) if it is as RFC 4861 sections 6.1 and 7.1 want it; its length must be one of
 * those that a message without superfluous options has. */
OUTLINE bool read_nd(struct __sk_buff* skb, const PACKET* p, __u32 length, __u8* bytes) {
  const IP_HEADER* ip = (void*)(long)skb->data + ETHERNET_LENGTH;
  if ((const void*)(ip + 1) > (void*)(long)skb->data_end || ip->hop_limit != ND_HOP_LIMIT) return false;
  long error = -1;
  if (length == 8) error = bpf_skb_load_bytes(skb, ND_OFFSET, bytes, 8);
  if (length == 16) error = bpf_skb_load_bytes(skb, ND_OFFSET, bytes, 16);
  if (length == 24) error = bpf_skb_load_bytes(skb, ND_OFFSET, bytes, 24);
  if (length == 32) error = bpf_skb_load_bytes(skb, ND_OFFSET, bytes, 32);
  if (length == 40) error = bpf_skb_load_bytes(skb, ND_OFFSET, bytes, ND_READ_LENGTH);
  if (error || bytes[1] != 0) return false;
  if (bytes[0] != ND_ROUTER_SOLICITATION && length < sizeof(struct nd_message) - sizeof(struct nd_option)) return false;
  __u64 sum = sum_words(bytes, ND_READ_LENGTH / 2) + icmp6_pseudo_sum(p->key.source, p->key.destination, length);
  return checksum_fold(sum) == 0xFFFF;
}

static __always_inline struct sluice_address6 all_nodes(void) {
  struct sluice_address6 address = {{bpf_htonl(0xFF020000), 0, 0, bpf_htonl(1)}};
  return address;
}

/* Turns the frame into an answer that carries `length` bytes behind the IPv6 header. Who has no address yet (`::`)
 * hears it as one of all nodes (RFC 4861 7.2.4). */
OUTLINE int send_nd(struct __sk_buff* skb, PACKET* p, const struct nd_answer* answer, __u8* message, __u32 length) {
  bool anonymous = is_unspecified(p->key.source);
  struct sluice_address6 to = anonymous ? all_nodes() : p->key.source;
  __u64 sum = sum_words(message, ND_READ_LENGTH / 2) + icmp6_pseudo_sum(answer->from, to, length);
  *(__u16*)(message + 2) = (__u16)~checksum_fold(sum);
  if (bpf_skb_change_tail(skb, ND_OFFSET + length, 0)) return SLUICE_REASON_REWRITE_FAILED;
  long error = length == sizeof(struct nd_message)
                   ? bpf_skb_store_bytes(skb, ND_OFFSET, message, sizeof(struct nd_message), 0)
                   : bpf_skb_store_bytes(skb, ND_OFFSET, message, sizeof(struct nd_router_advertisement), 0);
  if (error) return SLUICE_REASON_REWRITE_FAILED;
  struct ethhdr* ethernet = (void*)(long)skb->data;
  IP_HEADER* ip = (void*)(ethernet + 1);
  if ((void*)(ip + 1) > (void*)(long)skb->data_end) return SLUICE_REASON_REWRITE_FAILED;
  static const __u8 all_nodes_mac[6] = {0x33, 0x33, 0, 0, 0, 1};
  copy_mac(ethernet->h_dest, anonymous ? all_nodes_mac : ethernet->h_source);
  copy_mac(ethernet->h_source, answer->mac);
  *(__be32*)ip = bpf_htonl(0x60000000);
  ip->payload_len = bpf_htons((__u16)length);
  ip->nexthdr = IPPROTO_ICMPV6;
  ip->hop_limit = ND_HOP_LIMIT;
  write_addresses(ip, answer->from, to);
  return 0;
}

/* "target is at mac". */
OUTLINE int advertise(struct __sk_buff* skb, PACKET* p, const struct nd_answer* answer) {
  __u8 bytes[ND_READ_LENGTH] ALIGNED = {};
  struct nd_message* message = (struct nd_message*)bytes;
  __u32 solicited = is_unspecified(p->key.source) ? 0 : ND_SOLICITED_FLAG;
  message->type = ND_ADVERTISEMENT;
  message->flags = bpf_htonl(answer->flags | ND_OVERRIDE_FLAG | solicited);
  message->target = answer->target;
  message->option.type = ND_TARGET_OPTION;
  message->option.length = 1;
  copy_mac(message->option.mac, answer->mac);
  int reason = send_nd(skb, p, answer, bytes, sizeof(*message));
  return reason ? drop(p, reason) : forward(p, bpf_redirect(p->ifindex, 0), SLUICE_REASON_ND_ANSWERED);
}

static __always_inline struct sluice_address6 router_link_local(void) {
  static const __u8 bytes[16] = SLUICE_ROUTER_LINK_LOCAL;
  struct sluice_address6 address;
  __builtin_memcpy(&address, bytes, sizeof(address));
  return address;
}

/* The router's answer to a solicitation: a default route, no prefix (addresses are assigned, not made up), no DHCP. */
OUTLINE int advertise_router(struct __sk_buff* skb, PACKET* p) {
  static const __u8 router_mac[6] = SLUICE_ROUTER_MAC;
  __u8 bytes[ND_READ_LENGTH] ALIGNED = {};
  struct nd_answer answer = {.from = router_link_local()};
  struct nd_router_advertisement* message = (struct nd_router_advertisement*)bytes;
  message->type = ND_ROUTER_ADVERTISEMENT;
  message->hop_limit = ANSWER_HOP_LIMIT;
  message->lifetime = bpf_htons(ND_ROUTER_LIFETIME);
  message->source.type = ND_SOURCE_OPTION;
  message->source.length = 1;
  copy_mac(message->source.mac, router_mac);
  copy_mac(answer.mac, router_mac);
  int reason = send_nd(skb, p, &answer, bytes, sizeof(*message));
  return reason ? drop(p, reason) : forward(p, bpf_redirect(p->ifindex, 0), SLUICE_REASON_ROUTER_ADVERTISED);
}

/* Who has `answer->target` in the sender's network? */
OUTLINE bool find_nd_target(const PACKET* p, struct nd_answer* answer) {
  static const __u8 router_mac[6] = SLUICE_ROUTER_MAC;
  if (same_address(answer->target, router_link_local())) {
    answer->flags = ND_ROUTER_FLAG;
    copy_mac(answer->mac, router_mac);
    return true;
  }
  ENDPOINT_KEY key = {.network = p->network, .address = answer->target};
  const ENDPOINT* endpoint = bpf_map_lookup_elem(&ENDPOINTS, &key);
  if (!endpoint) return false;
  __u8 kind = endpoint->kind;
  bool pod = kind == SLUICE_ENDPOINT_POD_PEER || kind == SLUICE_ENDPOINT_POD_DEVICE;
  bool detached = pod && endpoint->ifindex == 0;
  answer->flags = kind == SLUICE_ENDPOINT_ROUTER ? ND_ROUTER_FLAG : 0;
  copy_mac(answer->mac, endpoint->mac);
  return is_endpoint(endpoint, &key) && !detached;
}

/* Is the option, if it is of that type, about the pod itself? */
INLINE bool is_honest_option(const PACKET* p, const struct nd_option* option, __u8 type) {
  return option->type != type || (option->length == 1 && same_mac(option->mac, p->own_mac));
}

/* RFC 4861 7.1.1: nobody asks for a group; a probe for duplicates (RFC 4862 5.4) goes to one and names no sender. */
INLINE bool is_solicitation_allowed(const PACKET* p, const struct nd_message* message) {
  if (is_multicast6(message->target)) return false;
  return !is_unspecified(p->key.source) ||
         (is_multicast6(p->key.destination) && message->option.type != ND_SOURCE_OPTION);
}

INLINE int solicitation_from_pod(struct __sk_buff* skb, PACKET* p, const struct nd_message* message) {
  struct nd_answer answer = {.from = message->target, .target = message->target};
  if (!is_solicitation_allowed(p, message)) return drop(p, SLUICE_REASON_ND_MALFORMED);
  if (!is_honest_option(p, &message->option, ND_SOURCE_OPTION)) return drop(p, SLUICE_REASON_SPOOFED_ND);
  if (same_address(answer.target, p->own_address)) return drop(p, SLUICE_REASON_ND_OWN_ADDRESS);
  if (!find_nd_target(p, &answer)) return drop(p, SLUICE_REASON_ND_NO_TARGET);
  return advertise(skb, p, &answer);
}

/* May the pod call the address its own? Link-local addresses are not given out, so any but the router's. */
INLINE bool may_be_own(const PACKET* p, struct sluice_address6 address) {
  if (is_link_local(address)) return !same_address(address, router_link_local());
  return same_address(address, p->own_address);
}

/* An advertisement of its own address has nobody to tell: everybody asks the datapath. */
INLINE int advertisement_from_pod(const PACKET* p, const struct nd_message* message) {
  bool own = may_be_own(p, message->target);
  if (!own || is_unspecified(p->key.source) || !is_honest_option(p, &message->option, ND_TARGET_OPTION))
    return drop(p, SLUICE_REASON_SPOOFED_ND);
  return drop(p, SLUICE_REASON_ND_OWN_ADDRESS);
}

/* RFC 4861 6.1.1: who has no address yet names no MAC. The option stands behind eight bytes. */
INLINE int router_solicitation_from_pod(struct __sk_buff* skb, PACKET* p, const __u8* bytes) {
  if (is_unspecified(p->key.source) && bytes[8] == ND_SOURCE_OPTION) return drop(p, SLUICE_REASON_ND_MALFORMED);
  return advertise_router(skb, p);
}

/* A link-local source is not checked further: the answer goes to the port that asked, and nothing else is sent. */
OUTLINE int nd_from_pod(struct __sk_buff* skb, PACKET* p, __u32 length, __u8 type) {
  __u8 bytes[ND_READ_LENGTH] ALIGNED = {};
  if (type == ND_ROUTER_ADVERTISEMENT || type == ND_REDIRECT) return drop(p, SLUICE_REASON_SPOOFED_ND);
  if (!may_be_own(p, p->key.source) && !is_unspecified(p->key.source)) return drop(p, SLUICE_REASON_SPOOFED_ND);
  if (!read_nd(skb, p, length, bytes)) return drop(p, SLUICE_REASON_ND_MALFORMED);
  const struct nd_message* message = (const struct nd_message*)bytes;
  if (type == ND_ROUTER_SOLICITATION) return router_solicitation_from_pod(skb, p, bytes);
  return type == ND_SOLICITATION ? solicitation_from_pod(skb, p, message) : advertisement_from_pod(p, message);
}

/* Is it sent to where a floating IP hears it? What has its filter bit by chance only is another's address. */
INLINE bool is_to_floating(const PACKET* p) {
  return is_multicast6(p->key.destination) || is_floating(p->key.destination);
}

/* On the uplink only solicitations for a floating IP concern us; every other message is the host's. */
OUTLINE int nd_from_uplink(struct __sk_buff* skb, PACKET* p, __u32 length) {
  __u8 bytes[ND_READ_LENGTH] ALIGNED = {};
  if (!read_nd(skb, p, length, bytes)) return pass(p, SLUICE_REASON_FOREIGN);
  const struct nd_message* message = (const struct nd_message*)bytes;
  struct nd_answer answer = {.from = message->target, .target = message->target};
  if (message->type != ND_SOLICITATION || !is_solicitation_allowed(p, message) || !is_to_floating(p) ||
      !is_floating(answer.target))
    return pass(p, SLUICE_REASON_FOREIGN);
  if (!uplink_mac(p, answer.mac)) return drop(p, SLUICE_REASON_NO_PORT);
  return advertise(skb, p, &answer);
}
