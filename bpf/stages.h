/* SPDX-License-Identifier: GPL-2.0 */
/* The stages of one family; included once for each, behind the family's names. Each header needs those before it. */
/* clang-format off */
#include "verdict.h"
#include "parse.h"
#if FAMILY == 4
#include "parse4.h"
#else
#include "parse6.h"
#endif
#include "admit.h"
#if FAMILY == 4
#include "admit4.h"
#include "arp.h"
#else
#include "admit6.h"
#include "nd.h"
#endif
#include "size.h"
#include "fragment.h"
#include "request.h"
#include "rewrite.h"
#include "pair.h"
#include "icmp.h"
#include "flow.h"
#include "quote.h"
#include "refuse.h"
#include "select.h"
#include "remember.h"
#include "egress.h"
#include "frontend.h"
#if FAMILY == 4
#include "uplink4.h"
#else
#include "uplink6.h"
#endif
#include "uplink.h"
#include "judge.h"
/* clang-format on */
