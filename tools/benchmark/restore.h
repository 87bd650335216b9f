/* SPDX-License-Identifier: GPL-2.0 OR Apache-2.0 */
/* What the benchmark tells restore.bpf.c: which packet to put back, and what differs from flow to flow. */
#ifndef SLUICE_BENCHMARK_RESTORE_H
#define SLUICE_BENCHMARK_RESTORE_H

#include <linux/types.h>

#define RESTORE_LENGTH 96   /* bytes rewritten before each run: Ethernet, IPv4 or IPv6, TCP and some payload */
#define RESTORE_LOW_BITS 10 /* flow index = high << RESTORE_LOW_BITS | low */

/* How far a part of the flow index is shifted before it is OR-ed into the eight bytes that begin with the ports. */
enum restore_shift {
  RESTORE_SOURCE_PORT = 0,
  RESTORE_DESTINATION_PORT = 16,
};

struct restore_config {
  __u32 packet_length;
  __u32 packet_type;           /* PACKET_HOST or PACKET_OTHERHOST, as eth_type_trans would have chosen */
  __u32 flows;                 /* how many to cycle through */
  __u32 stride;                /* from one run to the next; has no common divisor with `flows` */
  __u32 first;                 /* added to the running number */
  __u32 index_mask;            /* the sum wraps around here */
  __u32 next;                  /* running number of the next run */
  __u32 low_port_shift;        /* enum restore_shift: the port that gets `low` */
  __u32 high_source_mask;      /* all ones: the last word of the source address gets `high` */
  __u32 high_destination_mask; /* all ones: that of the destination address does */
  __u32 high_port_shift;       /* the port that gets `high`, if high_port_mask is all ones */
  __u32 high_port_mask;
  __u32 ipv6; /* the header is IPv6's */
  __u64 header[RESTORE_LENGTH / 8];
};

#endif
