// SPDX-License-Identifier: GPL-2.0
/* The programs. Each is a list of stages; docs/datapath.md specifies them line by line. */
#include <asm/errno.h>
#include <linux/bpf.h>
#include <linux/if_ether.h>
#include <linux/if_packet.h>
#include <linux/in.h>
#include <linux/ip.h>
#include <linux/ipv6.h>
#include <linux/pkt_cls.h>
#include <linux/tcp.h>
#include <linux/udp.h>
#include <stdbool.h>

#include <bpf/bpf_core_read.h>
#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>

#include <sluice/abi.h>
#include <sluice/reasons.h>
#include <sluice/select.h>

/* Each header needs those before it. */
/* clang-format off */
#include "maps.h"
#include "packet.h"
#include "ports.h"
#include "checksum.h"
#include "mtu.h"
#include "crc32c.h"
#include "share.h"
#include "affinity.h"
#include "rules.h"
#include "idle.h"

#include "family4.h"
#include "stages.h"
#include "family_end.h"

#include "family6.h"
#include "stages.h"
#include "family_end.h"

#include "sweep.h"
/* clang-format on */

static __noinline int from_pod4(struct __sk_buff* skb) {
  struct packet4 p;
  begin_packet(&p, SLUICE_ENTRY_FROM_POD, skb->len);
  __be16 ethertype = 0;
  STAGE(port_of(skb, &p));
  STAGE(admit_frame(skb, &p, &ethertype));
  if (ethertype == bpf_htons(ETH_P_ARP)) return arp_from_pod(skb, &p);
  if (ethertype != bpf_htons(ETH_P_IP)) return drop(&p, ethertype_reason(ethertype));
  STAGE(admit_ip(skb, &p));
  STAGE(fragment(&p));
  int next = flow(skb, &p);
  if (next == CONTINUE) next = icmp_error(skb, &p);
  if (next == CONTINUE) next = frontend(skb, &p);
  if (next == CONTINUE) next = to_address(skb, &p);
  return conclude(skb, &p, next, true);
}

static __noinline int from_pod6(struct __sk_buff* skb) {
  struct packet6* p = packet6_room();
  __be16 ethertype = 0;
  __u32 length = 0;
  bool group = false;
  if (!p) return TC_ACT_SHOT; /* cannot be */
  begin_packet(p, SLUICE_ENTRY_FROM_POD, skb->len);
  STAGE(port_of(skb, p));
  STAGE(admit_frame(skb, p, &ethertype));
  if (ethertype != bpf_htons(ETH_P_IPV6)) return drop(p, ethertype_reason(ethertype));
  STAGE(admit_header(skb, p, &length, &group));
  __u8 type = nd_type(skb, p);
  if (type) return nd_from_pod(skb, p, length, type);
  STAGE(admit_ip(skb, p, length, group));
  STAGE(fragment(p));
  int next = flow(skb, p);
  if (next == CONTINUE) next = icmp_error(skb, p);
  if (next == CONTINUE) next = frontend(skb, p);
  if (next == CONTINUE) next = to_address(skb, p);
  return conclude(skb, p, next, true);
}

static __noinline int from_uplink4(struct __sk_buff* skb) {
  struct packet4 p;
  __u32 length = 0;
  STAGE(ours_on_uplink(skb, &p));
  STAGE(shape_on_uplink(skb, &p, &length));
  STAGE(share_with_host(&p));
  STAGE(fragment(&p));
  int next = flow(skb, &p);
  if (next == CONTINUE) next = admit_on_uplink(&p);
  if (next == CONTINUE) next = icmp_error(skb, &p);
  if (next == CONTINUE) next = frontend(skb, &p);
  if (next == CONTINUE) next = to_floating(&p);
  return conclude(skb, &p, next, false);
}

static __noinline int from_uplink6(struct __sk_buff* skb) {
  struct packet6* p = packet6_room();
  __u32 length = 0;
  if (!p) return TC_ACT_UNSPEC; /* cannot be */
  STAGE(ours_on_uplink(skb, p));
  STAGE(shape_on_uplink(skb, p, &length));
  STAGE(share_with_host(p));
  STAGE(fragment(p));
  int next = flow(skb, p);
  if (next == CONTINUE) next = admit_on_uplink(p);
  if (next == CONTINUE) next = icmp_error(skb, p);
  if (next == CONTINUE) next = frontend(skb, p);
  if (next == CONTINUE) next = to_floating(p);
  return conclude(skb, p, next, false);
}

/* The families part here, before either has put anything on the stack. */
SEC("tc")
int from_pod(struct __sk_buff* skb) {
  return skb->protocol == bpf_htons(ETH_P_IPV6) ? from_pod6(skb) : from_pod4(skb);
}

SEC("tc")
int from_uplink(struct __sk_buff* skb) {
  return skb->protocol == bpf_htons(ETH_P_IPV6) ? from_uplink6(skb) : from_uplink4(skb);
}

SEC("xdp")
int uplink_xdp(struct xdp_md* xdp) {
  const struct ethhdr* ethernet = (void*)(long)xdp->data;
  __u32 length = (__u32)(xdp->data_end - xdp->data);
  bool is_ethernet = (void*)(ethernet + 1) <= (void*)(long)xdp->data_end;
  if (is_ethernet && ethernet->h_proto == bpf_htons(ETH_P_IP)) {
    struct packet4 p;
    return xdp_early_drop(xdp, &p, length);
  }
  if (is_ethernet && ethernet->h_proto == bpf_htons(ETH_P_IPV6)) {
    struct packet6* p = packet6_room();
    return p ? xdp_early_drop(xdp, p, length) : XDP_PASS;
  }
  return xdp_verdict(length, SLUICE_REASON_FOREIGN, XDP_PASS);
}

/* Run once after load, with any packet: starts the sweep under this program. */
SEC("tc")
int sweep_start(struct __sk_buff* skb) {
  return start_sweep();
}

char LICENSE[] SEC("license") = "GPL";
