// SPDX-License-Identifier: Apache-2.0
#include "attach_daemon.hpp"

#include <fcntl.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <csignal>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <nlohmann/json.hpp>
#include <sstream>
#include <thread>

#include "base/fd.hpp"

namespace sluice::benchmark {
namespace {

constexpr std::chrono::seconds kStartLimit{120};
constexpr std::chrono::seconds kStopLimit{20};
constexpr unsigned kAddressesOfByte = 250;

}  // namespace

std::string service_address(unsigned service) {
  return "172.16." + std::to_string(128 + service / kAddressesOfByte) + "." +
         std::to_string(1 + service % kAddressesOfByte);
}

std::string pod_name(unsigned service, unsigned pod) {
  return "p" + std::to_string(service) + "-" + std::to_string(pod);
}

Result<std::unique_ptr<Daemon>> Daemon::make_folder(const std::filesystem::path& program) {
  std::string folder = std::filesystem::temp_directory_path() / "sluice-bench-XXXXXX";
  if (mkdtemp(folder.data()) == nullptr) return fail_errno("make the folder " + folder);
  const std::filesystem::path pins = std::filesystem::path("/sys/fs/bpf") / std::filesystem::path(folder).filename();
  return std::unique_ptr<Daemon>(new Daemon(std::filesystem::absolute(program), folder, pins));
}

Result<std::unique_ptr<Daemon>> Daemon::make(const std::filesystem::path& program, unsigned services) {
  auto daemon = make_folder(program);
  if (!daemon) return daemon;
  if (auto written = (*daemon)->write_manifests(services); !written) return std::unexpected(written.error());
  if (auto written = (*daemon)->write_config(true); !written) return std::unexpected(written.error());
  return daemon;
}

Result<std::unique_ptr<Daemon>> Daemon::make_empty(const std::filesystem::path& program) {
  auto daemon = make_folder(program);
  if (!daemon) return daemon;
  if (auto written = (*daemon)->write_config(false); !written) return std::unexpected(written.error());
  return daemon;
}

Status Daemon::write_manifests(unsigned services) const {
  using nlohmann::json;
  std::filesystem::create_directory(folder_ / "manifests");
  std::ofstream manifest(folder_ / "manifests" / "all.yaml");
  manifest << json{{"kind", "Network"}, {"name", "bench"}} << "\n---\n"
           << json{{"kind", "Pod"}, {"network", "bench"}, {"name", "client"}} << '\n';
  for (unsigned service = 0; service < services; service++) {
    const json label = {{"app", "a" + std::to_string(service)}};
    manifest << "---\n"
             << json{{"kind", "Service"},
                     {"network", "bench"},
                     {"name", "s" + std::to_string(service)},
                     {"address4", service_address(service)},
                     {"selector", label},
                     {"ports", {{{"port", 80}, {"target_port", 8080}}}}}
             << '\n';
    for (unsigned pod = 0; pod < kPodsOfService; pod++) {
      manifest << "---\n"
               << json{{"kind", "Pod"}, {"network", "bench"}, {"name", pod_name(service, pod)}, {"labels", label}}
               << '\n';
    }
  }
  manifest.close();
  if (!manifest) return fail(ErrorCode::kSystem, "cannot write to " + folder_.string());
  return {};
}

Status Daemon::write_config(bool manifests) const {
  nlohmann::json keys = {
      {"state_dir", folder_ / "state"}, {"socket", folder_ / "socket"}, {"pin_root", pins_}, {"max_flows", 65536}};
  if (manifests) keys["manifests"] = folder_ / "manifests";
  std::ofstream config(folder_ / "sluiced.yaml");
  config << keys;
  config.close();
  if (!config) return fail(ErrorCode::kSystem, "cannot write to " + folder_.string());
  return {};
}

Status Daemon::start() {
  const std::string config = folder_ / "sluiced.yaml";
  const std::string log_file = folder_ / "log";
  process_ = fork();
  if (process_ < 0) return fail_errno("fork");
  if (process_ == 0) {
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    const int output = open(log_file.c_str(), O_WRONLY | O_CREAT | O_APPEND, 0600);
    dup2(output, STDOUT_FILENO);
    dup2(output, STDERR_FILENO);
    execl(program_.c_str(), program_.c_str(), "--config", config.c_str(), nullptr);
    _exit(127);
  }
  const auto end = std::chrono::steady_clock::now() + kStartLimit;
  while (!accepts()) {
    if (waitpid(process_, nullptr, WNOHANG) == process_) {
      process_ = 0;
      return fail(ErrorCode::kSystem, program_.string() + " has ended: " + log());
    }
    if (std::chrono::steady_clock::now() > end) {
      return fail(ErrorCode::kSystem, program_.string() + " does not accept connections: " + log());
    }
    std::this_thread::sleep_for(std::chrono::milliseconds(5));
  }
  return {};
}

bool Daemon::accepts() const {
  const UniqueFd fd(socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
  const std::string path = folder_ / "socket";
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  if (path.size() >= sizeof(address.sun_path)) return false;
  std::memcpy(address.sun_path, path.c_str(), path.size());
  return connect(fd.get(), reinterpret_cast<const sockaddr*>(&address), sizeof(address)) == 0;
}

std::string Daemon::log() const {
  std::ostringstream text;
  text << std::ifstream(folder_ / "log").rdbuf();
  constexpr std::size_t kShown = 2000;
  const std::string all = text.str();
  return all.size() <= kShown ? all : all.substr(all.size() - kShown);
}

Status Daemon::stop() {
  if (process_ == 0) return {};
  kill(process_, SIGTERM);
  int status = 0;
  const auto end = std::chrono::steady_clock::now() + kStopLimit;
  while (waitpid(process_, &status, WNOHANG) == 0) {
    if (std::chrono::steady_clock::now() > end) kill(process_, SIGKILL);
    std::this_thread::sleep_for(std::chrono::milliseconds(5));
  }
  process_ = 0;
  if (status != 0) return fail(ErrorCode::kSystem, program_.string() + " ended badly: " + log());
  return {};
}

Daemon::~Daemon() {
  static_cast<void>(stop());
  std::error_code ignored;
  for (const auto& folder : {pins_, folder_}) static_cast<void>(std::filesystem::remove_all(folder, ignored));
}

}  // namespace sluice::benchmark
