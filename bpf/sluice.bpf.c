// SPDX-License-Identifier: GPL-2.0
/* The programs. Each is a list of stages; docs/datapath.md specifies them line by line. */
#include <asm/errno.h>
#include <linux/bpf.h>
#include <linux/if_ether.h>
#include <linux/if_packet.h>
#include <linux/in.h>
#include <linux/ip.h>
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
#include "parse.h"
#include "admit.h"
#include "arp.h"
#include "checksum.h"
#include "rewrite.h"
#include "pair.h"
#include "flow.h"
#include "refuse.h"
#include "select.h"
#include "remember.h"
#include "frontend.h"
#include "uplink.h"
#include "sweep.h"
/* clang-format on */

SEC("tc")
int from_pod(struct __sk_buff* skb) {
  struct packet p = {.entry = SLUICE_ENTRY_FROM_POD, .length = skb->len};
  __be16 ethertype = 0;
  STAGE(port_of(skb, &p));
  STAGE(admit_frame(skb, &p, &ethertype));
  if (ethertype == bpf_htons(ETH_P_ARP)) return arp_from_pod(skb, &p);
  STAGE(admit_ipv4(skb, &p));
  STAGE(flow(skb, &p));
  STAGE(frontend(skb, &p));
  return to_address(skb, &p);
}

SEC("tc")
int from_uplink(struct __sk_buff* skb) {
  struct packet p = {.entry = SLUICE_ENTRY_FROM_UPLINK, .length = skb->len, .own_delivery = SLUICE_DELIVER_UPLINK};
  __u32 total = 0;
  STAGE(ours_on_uplink(skb, &p));
  STAGE(shape_on_uplink(skb, &p, &total));
  STAGE(flow(skb, &p));
  STAGE(admit_on_uplink(&p));
  STAGE(frontend(skb, &p));
  return to_floating(skb, &p);
}

SEC("xdp")
int uplink_xdp(struct xdp_md* xdp) {
  return xdp_early_drop(xdp);
}

/* Run once after load, with any packet: starts the sweep under this program. */
SEC("tc")
int sweep_start(struct __sk_buff* skb) {
  return start_sweep();
}

char LICENSE[] SEC("license") = "GPL";
