// SPDX-License-Identifier: Apache-2.0
// What one change costs from the state to the plan and into the tables, beside a full compile of the same state.
//   compile_follow_benchmark [services] [pods a service]
#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <functional>
#include <string>
#include <vector>

#include "compile/compile.hpp"

namespace sluice::compile {
namespace {

using Clock = std::chrono::steady_clock;
using Microseconds = std::chrono::duration<double, std::micro>;

std::string number(const char* prefix, std::uint32_t value) {
  return prefix + std::to_string(value);
}

/// All in as few networks as hold them.
class Cluster {
 public:
  Cluster(std::uint32_t services, std::uint32_t pods) : services_(services), pods_(pods) {
    settings_.secret[0] = 1;
    settings_.secret[1] = 2;
    limits_.max_endpoint_slots = std::max<std::uint32_t>(limits_.max_endpoint_slots, services * pods * 2);
    limits_.max_frontend_slots = std::max<std::uint32_t>(limits_.max_frontend_slots, services * 4);
    limits_.backend_arena = std::max<std::uint32_t>(limits_.backend_arena, services * pods * 4);
    limits_.ring_arena = std::max<std::uint32_t>(limits_.ring_arena, services * pods * 8);
    limits_.max_pairs = 4000000;
    for (std::uint32_t i = 0; i < services; i++) add_service(i);
  }

  [[nodiscard]] Input input() const { return {state, assignments, attachments, uplinks_, settings_, limits_}; }
  [[nodiscard]] const Limits& limits() const { return limits_; }
  static model::Name service_name(std::uint32_t i) { return {network(i), number("service-", i)}; }
  model::Name pod_name(std::uint32_t service, std::uint32_t i) const {
    return {network(service), number("pod-", service * (pods_ + 1) + i)};
  }

  void add_service(std::uint32_t i) {
    const std::string in = network(i);
    if (!state.networks.contains(in)) {
      model::Network made;
      made.name = in;
      made.cidr4 = Cidr4::parse("10.0.0.0/8").value();
      assignments.network_ids[in] = assignments.network_slots[in] = 1 + i / kServicesInANetwork;
      state.networks[in] = made;
    }
    model::Service service;
    service.name = service_name(i);
    service.selector = {{"app", number("app-", i)}, {"env", "live"}};
    service.ports = {{"web", 80, model::Protocol::kTcp, std::uint16_t{8080}}};
    assignments.service_addresses[service.name] = Ipv4{0x0A800000 + i};
    state.services[service.name] = service;
    for (std::uint32_t pod = 0; pod < pods_; pod++) add_pod(i, pod);
  }

  void add_pod(std::uint32_t service, std::uint32_t i) {
    model::Pod pod;
    pod.name = pod_name(service, i);
    pod.labels = {{"app", number("app-", service)}, {"env", "live"}};
    const std::uint32_t place = service * (pods_ + 1) + i;
    assignments.pod_addresses[pod.name] = Ipv4{0x0A000100 + place};
    model::Attachment attachment;
    attachment.ifindex = 100 + place;
    attachment.mac = model::pod_mac(assignments.network_ids.at(pod.name.network), Ipv4{0x0A000100 + place});
    attachments[pod.name] = attachment;
    state.pods[pod.name] = pod;
  }

  model::State state;
  model::Assignments assignments;
  model::Attachments attachments;

 private:
  static constexpr std::uint32_t kServicesInANetwork = 16000;
  static std::string network(std::uint32_t service) { return number("net-", service / kServicesInANetwork); }

  std::uint32_t services_;
  std::uint32_t pods_;
  std::vector<Uplink> uplinks_;
  sluice_settings settings_{};
  Limits limits_;
};

void report(const char* what, std::vector<double> times, std::size_t writes) {
  std::ranges::sort(times);
  std::printf("%-28s median %9.1f us   p99 %9.1f us   %zu writes\n", what, times[times.size() / 2],
              times[times.size() * 99 / 100], writes);
}

class Bench {
 public:
  Bench(Cluster& cluster, std::uint32_t services) : cluster_(cluster), services_(services), space_(cluster.limits()) {
    const auto begin = Clock::now();
    index_ = model::Index(cluster.state);
    const auto indexed = Clock::now();
    actual_ = compile(cluster.input(), {}, index_, space_).value();
    const auto compiled = Clock::now();
    space_ = Space(cluster.limits(), actual_);
    const auto spaced = Clock::now();
    std::printf("index %.1f ms, first compile %.1f ms, space %.1f ms\n", Microseconds(indexed - begin).count() / 1000,
                Microseconds(compiled - indexed).count() / 1000, Microseconds(spaced - compiled).count() / 1000);
  }

  /// change(service) changes the cluster and says how.
  void run(const char* what, const std::function<model::Change(std::uint32_t)>& change) {
    std::vector<double> times;
    std::size_t writes = 0;
    for (std::uint32_t round = 0; round < 500; round++) {
      const model::Change made = change(round * 7919 % services_);
      const auto begin = Clock::now();
      index_.update(cluster_.state, made);
      const std::optional<Plan> plan = follow(cluster_.input(), actual_, made, index_, space_);
      if (!plan || plan->empty()) {
        std::printf("%s: no plan in round %u\n", what, round);
        std::exit(1);
      }
      apply(*plan, actual_, space_);
      times.push_back(Microseconds(Clock::now() - begin).count());
      writes = plan->size();
    }
    report(what, std::move(times), writes);
  }

  void run_full() {
    std::vector<double> times;
    std::size_t writes = 0;
    for (int round = 0; round < 5; round++) {
      const auto begin = Clock::now();
      const Plan plan = diff(actual_, compile(cluster_.input(), actual_, index_, space_).value());
      times.push_back(Microseconds(Clock::now() - begin).count());
      writes = plan.size();
    }
    report("full compile, no change", std::move(times), writes);
  }

 private:
  Cluster& cluster_;
  std::uint32_t services_;
  model::Index index_;
  Tables actual_;
  Space space_;
};

void run(std::uint32_t services, std::uint32_t pods) {
  std::printf("%u services with %u pods each\n", services, pods);
  Cluster cluster(services, pods);
  Bench bench(cluster, services);
  bench.run_full();
  bench.run("attachment of a pod", [&](std::uint32_t i) {
    model::Change change;
    const model::Name name = cluster.pod_name(i, 0);
    cluster.attachments.at(name).ifindex += 10000000;
    change.attachments.insert(name);
    return change;
  });
  bench.run("pod starts or ends draining", [&](std::uint32_t i) {
    model::Change change;
    model::Pod& pod = cluster.state.pods.at(cluster.pod_name(i, 0));
    change.pods[pod.name] = {pod, cluster.assignments.pod_addresses.at(pod.name)};
    pod.draining = !pod.draining;
    return change;
  });
  bench.run("weight of a pod", [&](std::uint32_t i) {
    model::Change change;
    model::Pod& pod = cluster.state.pods.at(cluster.pod_name(i, 1));
    change.pods[pod.name] = {pod, cluster.assignments.pod_addresses.at(pod.name)};
    pod.weight = pod.weight == 1 ? 2 : 1;
    return change;
  });
  bench.run("pod added or deleted", [&](std::uint32_t i) {
    model::Change change;
    const model::Name name = cluster.pod_name(i, pods);
    const auto pod = cluster.state.pods.find(name);
    if (pod == cluster.state.pods.end()) {
      change.pods[name] = std::nullopt;
      cluster.add_pod(i, pods);
    } else {
      change.pods[name] = {pod->second, cluster.assignments.pod_addresses.at(name)};
      cluster.state.pods.erase(pod);
      cluster.attachments.erase(name);
    }
    change.attachments.insert(name);
    return change;
  });
  bench.run("service port changes", [&](std::uint32_t i) {
    model::Change change;
    model::Service& service = cluster.state.services.at(Cluster::service_name(i));
    change.services[service.name] = {service, cluster.assignments.service_addresses.at(service.name)};
    service.ports[0].port++;
    return change;
  });
  std::uint32_t next = services;
  bench.run("service added with its pods", [&](std::uint32_t) {
    model::Change change;
    const std::string before = cluster.state.networks.contains(Cluster::service_name(next).network) ? "" : "new";
    cluster.add_service(next);
    if (!before.empty()) change.networks[Cluster::service_name(next).network] = std::nullopt;
    change.services[Cluster::service_name(next)] = std::nullopt;
    for (std::uint32_t pod = 0; pod < pods; pod++) change.pods[cluster.pod_name(next, pod)] = std::nullopt;
    next++;
    return change;
  });
}

}  // namespace
}  // namespace sluice::compile

int main(int argc, char** argv) {
  const auto argument = [&](int i, std::uint32_t otherwise) {
    return argc > i ? static_cast<std::uint32_t>(std::strtoul(argv[i], nullptr, 10)) : otherwise;
  };
  sluice::compile::run(argument(1, 1000), argument(2, 5));
}
