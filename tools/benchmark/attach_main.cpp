// SPDX-License-Identifier: Apache-2.0
// sluice_attach_benchmark: from the call that attaches a pod to its first served byte. Called by tools/bench attach.
#include <net/if.h>
#include <sched.h>

#include <CLI/CLI.hpp>
#include <iostream>
#include <memory>
#include <string>
#include <vector>

#include "attach_daemon.hpp"
#include "attach_pods.hpp"
#include "attach_report.hpp"
#include "datapath/namespaces.hpp"
#include "datapath/veth.hpp"
#include "exit_status.hpp"
#include "timing.hpp"

namespace sluice::benchmark {
namespace {

constexpr std::size_t kAttachesOfStatus = 10;

struct Options {
  std::string daemon;
  bool json = false;
  unsigned pods = 100;
  unsigned cold = 5;
  unsigned services = 0;
};

class Bench {
 public:
  Bench(const Options& options, AttachFigures& figures) : options_(options), figures_(figures) {}
  Status run();

 private:
  struct Times {
    double call = 0;
    double byte = 0;
  };
  Status prepare();
  Result<Times> attach(api::Client& client, unsigned service);
  Status measure_cold(unsigned service);
  Status measure_warm(api::Client& client, unsigned service);
  Status measure_floor(unsigned number);

  Options options_;
  AttachFigures& figures_;
  std::unique_ptr<Daemon> daemon_;
  UniqueFd client_namespace_;
  std::vector<UniqueFd> pods_;   ///< by service
  std::vector<UniqueFd> plain_;  ///< for the floor
  ByteServer server_;
};

Status Bench::prepare() {
  // The node's own namespace; the daemon inherits it.
  if (unshare(CLONE_NEWNET) != 0) return fail_errno("make a network namespace");
  auto client = new_namespace();
  if (!client) return std::unexpected(client.error());
  client_namespace_ = std::move(*client);
  for (unsigned i = 0; i < options_.cold + options_.pods; i++) {
    auto pod = new_namespace();
    auto plain = new_namespace();
    if (!pod || !plain) return std::unexpected((pod ? plain : pod).error());
    if (auto listening = server_.listen(*pod); !listening) return listening;
    pods_.push_back(std::move(*pod));
    plain_.push_back(std::move(*plain));
  }
  if (auto started = server_.start(); !started) return started;
  auto daemon = Daemon::make(options_.daemon, options_.services);
  if (!daemon) return std::unexpected(daemon.error());
  daemon_ = std::move(*daemon);
  return daemon_->start();
}

/// The first pod of its service: nobody else can answer for it. Even services are asked by the pod's address, odd ones
/// by the service's.
Result<Bench::Times> Bench::attach(api::Client& client, unsigned service) {
  auto socket = client_socket(client_namespace_);
  if (!socket) return std::unexpected(socket.error());
  v1::AttachPodRequest request;
  request.set_network("bench");
  request.set_name(pod_name(service, 0));
  request.set_netns(path_of(pods_.at(service)));
  const auto begin = Clock::now();
  const auto reply = client.attach_pod(request);
  const auto answered = Clock::now();
  if (!reply) return std::unexpected(reply.error());
  const bool direct = service % 2 == 0;
  const std::string pod = reply->address4().substr(0, reply->address4().find('/'));
  const Status fetched =
      direct ? fetch_byte(*socket, pod, ByteServer::kPort) : fetch_byte(*socket, service_address(service), 80);
  const auto served = Clock::now();
  if (!fetched) return fail_in("pod " + pod_name(service, 0), fetched);
  return Times{milliseconds(answered - begin), milliseconds(served - begin)};
}

Status Bench::measure_cold(unsigned service) {
  if (auto stopped = daemon_->stop(); !stopped) return stopped;
  if (auto started = daemon_->start(); !started) return started;
  auto client = daemon_->client();
  if (!client) return std::unexpected(client.error());
  const auto times = attach(**client, service);
  if (!times) return std::unexpected(times.error());
  figures_.cold.push_back(times->byte);
  return {};
}

Status Bench::measure_warm(api::Client& client, unsigned service) {
  const auto times = attach(client, service);
  if (!times) return std::unexpected(times.error());
  figures_.byte.push_back(times->byte);
  (service % 2 == 0 ? figures_.byte_of_pod : figures_.byte_of_service).push_back(times->byte);
  figures_.call.push_back(times->call);
  // The answer names every pod, which would disturb the next attach if all were asked.
  if (figures_.call.size() % kAttachesOfStatus != 0) return {};
  const auto status = client.status();
  if (!status) return std::unexpected(status.error());
  figures_.reconcile.push_back(static_cast<double>(status->last_reconcile_microseconds()) / 1000);
  return {};
}

/// What nobody gets around: a veth pair born in the namespace, its address and default route, both ends up.
Status Bench::measure_floor(unsigned number) {
  datapath::PodDevice device;
  device.mac = *Mac::parse("02:00:00:00:00:02");
  device.address = *Ipv4::parse("172.16.0.2");
  device.cidr = {*Ipv4::parse("172.16.0.0"), 16};
  device.router = *Ipv4::parse("172.16.0.1");
  const std::string name = "plain" + std::to_string(number);
  const auto begin = Clock::now();
  auto outside = datapath::NetlinkSocket::open();
  if (!outside) return std::unexpected(outside.error());
  constexpr std::uint32_t kGroup = 0;  // nobody's
  if (const int error = create_pair(*outside, name, kGroup, plain_.at(number), device); error != 0) {
    return fail(ErrorCode::kSystem, "make a plain veth pair: errno " + std::to_string(error));
  }
  if (auto up = bring_up_silently(*outside, if_nametoindex(name.c_str())); !up) return up;
  auto configured = datapath::run_in_netns(plain_.at(number), [&device]() -> Status {
    auto inside = datapath::NetlinkSocket::open();
    if (!inside) return std::unexpected(inside.error());
    return datapath::configure_pod(*inside, device);
  });
  figures_.floor.push_back(milliseconds(Clock::now() - begin));
  return configured;
}

Status Bench::run() {
  if (auto ready = prepare(); !ready) return ready;
  auto client = daemon_->client();
  if (!client) return std::unexpected(client.error());
  v1::AttachPodRequest request;
  request.set_network("bench");
  request.set_name("client");
  request.set_netns(path_of(client_namespace_));
  if (auto attached = (*client)->attach_pod(request); !attached) return fail_in("pod client", attached);
  // Channels to the same socket share a connection: one that is left open would break with the daemon's stop.
  client->reset();
  for (unsigned i = 0; i < options_.cold; i++) {
    if (auto measured = measure_cold(i); !measured) return measured;
  }
  client = daemon_->client();
  if (!client) return std::unexpected(client.error());
  if (auto status = (*client)->status(); !status) return std::unexpected(status.error());
  for (unsigned i = options_.cold; i < options_.cold + options_.pods; i++) {
    if (auto measured = measure_floor(i); !measured) return measured;
    if (auto measured = measure_warm(**client, i); !measured) return measured;
  }
  return daemon_->stop();
}

Status measure(const Options& options) {
  AttachFigures figures;
  figures.environment = read_environment();
  figures.services = options.services;
  figures.pods = options.services * kPodsOfService + 1;
  if (auto done = Bench(options, figures).run(); !done) return done;
  (options.json ? print_json : print_table)(std::cout, figures);
  return {};
}

}  // namespace
}  // namespace sluice::benchmark

int main(int argc, char** argv) {
  using namespace sluice::benchmark;
  Options options;
  CLI::App app("Attaches pods to a daemon of its own and waits for the first byte that each serves.");
  app.add_option("--daemon", options.daemon, "the sluiced to measure")->required()->check(CLI::ExistingFile);
  app.add_flag("--json", options.json, "print JSON");
  app.add_option("--pods", options.pods, "pods to attach, one after the other")->check(CLI::Range(10, 2000));
  app.add_option("--cold", options.cold, "starts of the daemon, with one pod each")->check(CLI::Range(1, 100));
  app.add_option("--services", options.services,
                 "declared services, each with three pods; if not given, one for each attached pod")
      ->check(CLI::Range(1, 20000));
  CLI11_PARSE(app, argc, argv);
  if (options.services == 0) options.services = options.pods + options.cold;
  if (options.services < options.pods + options.cold) {
    std::cerr << "sluice_attach_benchmark: --services " << options.services << " is less than --pods plus --cold ("
              << options.pods + options.cold << "): each attached pod has a service of its own\n";
    return 2;
  }
  return exit_status("sluice_attach_benchmark", measure(options));
}
