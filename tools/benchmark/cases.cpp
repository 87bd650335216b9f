// SPDX-License-Identifier: Apache-2.0
#include "cases.hpp"

#include <linux/bpf.h>
#include <linux/pkt_cls.h>

#include <algorithm>
#include <array>
#include <utility>

#include "frame.hpp"

namespace sluice::benchmark {

namespace {

constexpr std::array<std::uint32_t, 4> kSizes = {1, 1024, 65536, 131072};
constexpr std::uint32_t kRepeat = 1U << 18;  // twice around the largest number of flows
constexpr std::uint32_t kWarmUp = 1U << 15;
constexpr std::uint32_t kBatch = 1024;  // flows opened in one run
constexpr std::uint32_t kBatches = 24;
constexpr std::uint32_t kOpeningBackends = 16;

// Targets by number of flows, as in kSizes; none is stated for 1,024.
using Targets = std::array<std::optional<double>, 4>;
constexpr Targets kEstablished = {60, {}, 300, 450};
constexpr Targets kPodToPod = {90, {}, 330, 480};
// Targets in nanoseconds are IPv4's; what an established packet may cost in IPv6 is stated as a multiple of that.
constexpr double kEstablishedRatio = 1.3;
constexpr double kForeign = 25;
constexpr std::array<std::pair<std::uint32_t, double>, 2> kOpening = {{{kSizes[1], 450}, {kSizes[3], 600}}};
constexpr double kOpeningEgress = 800;  // with half of the remote's ports taken

int trivial_verdict(Hook hook) {
  return hook == Hook::kTc ? int{TC_ACT_REDIRECT} : int{XDP_PASS};
}

Result<Case> make_case(const std::string& name, const World& world, const std::string& program, Traffic traffic,
                       std::uint32_t device) {
  const auto descriptor = world.tables().program(program);
  if (!descriptor) return fail_in("case " + name, descriptor);
  Case made;
  made.name = name;
  made.family = world.family();
  made.program = *descriptor;
  made.traffic = std::move(traffic);
  made.device = device;
  made.entry = program == "from_pod" ? SLUICE_ENTRY_FROM_POD : SLUICE_ENTRY_FROM_UPLINK;
  made.verdict = TC_ACT_REDIRECT;
  return made;
}

void set_targets(Case& made, const std::optional<double>& nanoseconds, const std::optional<double>& ratio = {}) {
  if (made.family == Family::kIpv4) made.target = nanoseconds;
  if (made.family == Family::kIpv6) made.ratio_target = ratio;
}

// The reference on the packets of another case.
Case make_reference(const std::string& name, const Case& like) {
  Case made;
  made.name = name;
  made.traffic = like.traffic;
  made.device = like.device;
  made.verdict = TC_ACT_REDIRECT;
  made.reference = true;
  return made;
}

// Each packet was counted once, with the reason that it should end with.
Status check_counts(const Case& measured, const Counts& before, const Counts& after, std::uint64_t packets) {
  for (std::size_t reason = 0; reason < after.size(); ++reason) {
    const std::uint64_t counted = after.at(reason) - before.at(reason);
    const std::uint64_t wanted = reason == measured.reason ? packets : 0;
    if (counted == wanted) continue;
    return fail(ErrorCode::kPrecondition, std::to_string(counted) + " packets ended with reason " +
                                              std::to_string(reason) + " (reasons.h), and not " +
                                              std::to_string(wanted));
  }
  return {};
}

// Nanoseconds a packet of one program.
Result<double> run_program(Engine& engine, const Group& group, const Case& settings, int program, int verdict) {
  const Flows flows{0, group.flows};
  if (auto selected = engine.select(group.hook, program, settings.traffic, flows); !selected) {
    return fail_in("select", selected);
  }
  if (auto warm = engine.run(settings.device, kWarmUp, verdict); !warm) return warm;
  const auto time = engine.run(settings.device, kRepeat, verdict);
  return time ? Result<double>(*time / kRepeat) : time;
}

// The same in batches. The trivial program runs in them too, so that the cost of a call cancels out.
Result<double> run_batches(Engine& engine, const Group& group, const Case& settings, int program, bool opens) {
  double sum = 0;
  for (std::uint32_t batch = 0; batch <= kBatches; ++batch) {
    const Flows flows = group.world->next_new(kBatch);
    if (opens) {
      if (auto held = group.world->hold_ports(flows); !held) return fail_in("hold ports", held);
    }
    if (auto selected = engine.select(group.hook, program, settings.traffic, flows); !selected) {
      return fail_in("select", selected);
    }
    const auto time = engine.run(settings.device, kBatch, TC_ACT_REDIRECT);
    if (!time) return time;
    if (batch > 0) sum += *time;  // the first one is the warm-up
    if (!opens) continue;
    if (auto closed = group.world->close_oldest(kBatch); !closed) return fail_in("close flows", closed);
  }
  return sum / (double{kBatches} * kBatch);
}

// Once each of `flows`, untimed.
Status go_through(Engine& engine, const Case& settings, int program, const Flows& flows) {
  if (auto selected = engine.select(Hook::kTc, program, settings.traffic, flows); !selected) return selected;
  const auto done = engine.run(settings.device, flows.count, TC_ACT_REDIRECT);
  return done ? Status{} : fail_in("flows of the lower bound", done);
}

// As run_batches, with flows of the reference.
Result<double> open_references(Engine& engine, Group& group, const Case& settings) {
  double sum = 0;
  for (std::uint32_t batch = 0; batch <= kBatches; ++batch) {
    const Flows flows{group.flows + group.next_reference, kBatch};
    group.next_reference = (group.next_reference + kBatch) % (kFlowSpace - group.flows);
    if (auto selected = engine.select(Hook::kTc, engine.lower_bound(), settings.traffic, flows); !selected) {
      return fail_in("select", selected);
    }
    const auto time = engine.run(settings.device, kBatch, TC_ACT_REDIRECT);
    if (!time) return time;
    if (batch > 0) sum += *time;
    if (auto closed = go_through(engine, settings, engine.lower_bound_close(), flows); !closed) {
      return fail_in("close", closed);
    }
  }
  return sum / (double{kBatches} * kBatch);
}

Result<double> measure_reference(Engine& engine, Group& group, const Case& measured) {
  const Flows flows{0, group.flows};
  if (auto opened = go_through(engine, measured, engine.lower_bound(), flows); !opened) return fail_in("open", opened);
  const auto time = group.opens_flows ? open_references(engine, group, measured)
                                      : run_program(engine, group, measured, engine.lower_bound(), TC_ACT_REDIRECT);
  if (!time) return time;
  auto closed = go_through(engine, measured, engine.lower_bound_close(), flows);
  return closed ? time : fail_in("close", closed);
}

Result<double> measure(Engine& engine, Group& group, const Case& measured) {
  if (measured.reference) return measure_reference(engine, group, measured);
  const auto before = group.world->tables().counts(measured.entry);
  if (!before) return fail_in("counters", before);
  const auto time = group.opens_flows ? run_batches(engine, group, measured, measured.program, true)
                                      : run_program(engine, group, measured, measured.program, measured.verdict);
  if (!time) return time;
  const auto after = group.world->tables().counts(measured.entry);
  if (!after) return fail_in("counters", after);
  const std::uint64_t packets = group.opens_flows ? std::uint64_t{kBatches + 1} * kBatch : kRepeat + kWarmUp;
  if (auto counted = check_counts(measured, *before, *after, packets); !counted) return fail_in("counters", counted);
  return time;
}

Status measure_group(Engine& engine, Group& group) {
  const int trivial = engine.trivial(group.hook);
  const auto floor = group.opens_flows
                         ? run_batches(engine, group, group.cases.front(), trivial, false)
                         : run_program(engine, group, group.cases.front(), trivial, trivial_verdict(group.hook));
  if (!floor) return fail_in("trivial program", floor);
  group.floors.push_back(*floor);
  for (Case& measured : group.cases) {
    const auto time = measure(engine, group, measured);
    if (!time) return fail_in(measured.name + " at " + std::to_string(group.flows) + " flows", time);
    measured.nets.push_back(*time - *floor);
  }
  return {};
}

}  // namespace

template <typename MakeGroups>
Status Suite::add(const WorldShape& shape, const Devices& devices, const Choice& choice, Engine& engine,
                  const MakeGroups& groups) {
  if (choice.flows != 0 && choice.flows != shape.flows) return {};
  auto world = World::make(shape, devices, choice.object, engine);
  if (!world) return fail_in("prepare", world);
  auto made = groups(**world);
  if (!made) return fail_in("prepare", made);
  for (Group& group : *made) {
    std::erase_if(group.cases, [&](const Case& one) { return one.name.find(choice.name) == std::string::npos; });
  }
  std::erase_if(*made, [](const Group& group) { return group.cases.empty(); });
  if (made->empty()) return {};
  groups_.insert(groups_.end(), made->begin(), made->end());
  worlds_.push_back(std::move(*world));
  return {};
}

Result<Suite::Groups> Suite::pod_side(World& world, std::size_t size) {
  auto request =
      make_case("pod to service, established", world, "from_pod", world.request(kAck), world.request_device());
  auto reply = make_case("reply of the backend", world, "from_pod", world.reply(kAck), world.reply_device());
  auto peer = make_case("pod to pod", world, "from_pod", world.pod_to_pod(), world.request_device());
  for (const auto* made : {&request, &reply, &peer}) {
    if (!*made) return fail_in("pod side", *made);
  }
  request->reason = SLUICE_REASON_TO_BACKEND;
  set_targets(*request, kEstablished.at(size), kEstablishedRatio);
  reply->reason = SLUICE_REASON_TO_CLIENT;
  peer->reason = SLUICE_REASON_TO_POD;
  set_targets(*peer, kPodToPod.at(size));
  Group group{Hook::kTc, world.flows(), &world, false, {*request, *reply, *peer}, {}};
  if (world.family() == Family::kIpv4) group.cases.push_back(make_reference("lower bound, established", *request));
  return Groups{group};
}

Result<Suite::Groups> Suite::public_side(World& world, std::size_t size) {
  auto request = make_case("floating IP to local pod, established", world, "from_uplink", world.request(kAck),
                           world.request_device());
  auto reply = make_case("reply to the public side", world, "from_pod", world.reply(kAck), world.reply_device());
  auto foreign =
      make_case("foreign packet on the uplink", world, "from_uplink", world.foreign(), world.request_device());
  auto early =
      make_case("foreign packet on the uplink, XDP", world, "uplink_xdp", world.foreign(), world.request_device());
  for (const auto* made : {&request, &reply, &foreign, &early}) {
    if (!*made) return fail_in("public side", *made);
  }
  request->reason = SLUICE_REASON_TO_BACKEND;
  set_targets(*request, kEstablished.at(size), kEstablishedRatio);
  reply->reason = SLUICE_REASON_TO_UPLINK;
  foreign->reason = SLUICE_REASON_FOREIGN;
  foreign->verdict = TC_ACT_UNSPEC;
  set_targets(*foreign, kForeign);
  early->hook = Hook::kXdp;
  early->entry = SLUICE_ENTRY_UPLINK_XDP;
  early->reason = SLUICE_REASON_FOREIGN;
  early->verdict = XDP_PASS;
  set_targets(*early, kForeign);
  return Groups{{Hook::kTc, world.flows(), &world, false, {*request, *reply, *foreign}, {}},
                {Hook::kXdp, world.flows(), &world, false, {*early}, {}}};
}

Result<Suite::Groups> Suite::egress_side(World& world, std::size_t size) {
  auto request = make_case("egress, established", world, "from_pod", world.request(kAck), world.request_device());
  auto reply = make_case("answer to the egress address", world, "from_uplink", world.reply(kAck), world.reply_device());
  if (!request) return fail_in("egress", request);
  if (!reply) return fail_in("egress", reply);
  request->reason = SLUICE_REASON_TO_EGRESS;
  set_targets(*request, kEstablished.at(size), kEstablishedRatio);
  reply->reason = SLUICE_REASON_TO_CLIENT;
  set_targets(*reply, kEstablished.at(size), kEstablishedRatio);
  return Groups{{Hook::kTc, world.flows(), &world, false, {*request, *reply}, {}}};
}

Result<Suite::Groups> Suite::opening(World& world, std::optional<double> target) {
  const bool egress = world.side() == Side::kEgress;
  auto opening = make_case(egress ? "new egress flow, half of the ports taken" : "new TCP flow", world, "from_pod",
                           world.request(kSyn), world.request_device());
  if (!opening) return fail_in("new flows", opening);
  opening->reason = egress ? SLUICE_REASON_TO_EGRESS : SLUICE_REASON_TO_BACKEND;
  set_targets(*opening, target);
  Group group{Hook::kTc, world.flows(), &world, true, {*opening}, {}};
  if (!egress && world.family() == Family::kIpv4)
    group.cases.push_back(make_reference("lower bound, new flow", *opening));
  return Groups{group};
}

Status Suite::add_family(Family family, const Devices& devices, const Choice& choice, Engine& engine) {
  Status added;
  for (std::size_t size = 0; added && size < kSizes.size(); ++size) {
    const std::uint32_t flows = kSizes.at(size);
    added = add({family, Side::kPod, flows, 1}, devices, choice, engine,
                [size](World& world) { return pod_side(world, size); });
    if (!added) break;
    added = add({family, Side::kPublic, flows, 1}, devices, choice, engine,
                [size](World& world) { return public_side(world, size); });
    if (!added) break;
    added = add({family, Side::kEgress, flows, 1}, devices, choice, engine,
                [size](World& world) { return egress_side(world, size); });
  }
  for (std::size_t each = 0; added && each < kOpening.size(); ++each) {
    const std::uint32_t flows = kOpening.at(each).first;
    const double target = kOpening.at(each).second;
    added = add({family, Side::kPod, flows, kOpeningBackends}, devices, choice, engine,
                [target](World& world) { return opening(world, target); });
    if (!added) break;
    added = add({family, Side::kEgress, flows, kOpeningBackends}, devices, choice, engine,
                [](World& world) { return opening(world, kOpeningEgress); });
  }
  return added;
}

Result<Suite> Suite::make(const Devices& devices, const Choice& choice, Engine& engine) {
  Suite suite;
  for (const Family family : {Family::kIpv4, Family::kIpv6}) {
    if (choice.family && *choice.family != family) continue;
    if (auto added = suite.add_family(family, devices, choice, engine); !added) return fail_in("cases", added);
  }
  // A round goes through both families of a size before the next size: what is compared is measured close together.
  std::ranges::stable_sort(suite.groups_, {},
                           [](const Group& group) { return std::pair(group.opens_flows, group.flows); });
  if (suite.groups_.empty()) {
    return fail(ErrorCode::kNotFound, "no case has \"" + choice.name + "\" in its name and " +
                                          std::to_string(choice.flows) + " flows; flows are 1, 1024, 65536 or 131072");
  }
  return suite;
}

Status Suite::measure_round(Engine& engine) {
  for (Group& group : groups_) {
    if (auto measured = measure_group(engine, group); !measured) return measured;
  }
  return {};
}

}  // namespace sluice::benchmark
