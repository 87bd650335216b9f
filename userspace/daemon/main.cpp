// SPDX-License-Identifier: Apache-2.0
// sluiced, the node daemon.
#include <pthread.h>
#include <spdlog/sinks/basic_file_sink.h>
#include <spdlog/sinks/stdout_sinks.h>
#include <spdlog/spdlog.h>
#include <sys/stat.h>

#include <CLI/CLI.hpp>
#include <csignal>
#include <cstdio>
#include <exception>
#include <filesystem>
#include <iostream>
#include <string>
#include <utility>

#include "daemon/config.hpp"
#include "daemon/privileges.hpp"
#include "daemon/run.hpp"
#include "node/log.hpp"

namespace {

constexpr const char* kVersion = SLUICE_VERSION;

void start_log(const std::string& level) {
  spdlog::set_default_logger(spdlog::stderr_logger_mt("sluiced"));
  spdlog::set_pattern("time=%Y-%m-%dT%H:%M:%S.%f%z level=%l %v");
  spdlog::set_level(spdlog::level::from_str(level));
  spdlog::flush_on(spdlog::level::info);
}

/// The audit log's own file: for root alone, appended to.
sluice::Status start_audit_log(const std::filesystem::path& path) {
  if (path.empty()) return {};
  const mode_t before = ::umask(0077);
  try {
    const auto logger = spdlog::basic_logger_mt("audit", path.string());
    logger->set_pattern("time=%Y-%m-%dT%H:%M:%S.%f%z %v");
    logger->flush_on(spdlog::level::info);
  } catch (const spdlog::spdlog_ex& error) {
    ::umask(before);
    return sluice::fail(sluice::ErrorCode::kSystem, "audit_log: " + std::string(error.what()));
  }
  ::umask(before);
  return {};
}

/// Before any thread is made, so that every thread inherits it and only the loop sees the signals.
void block_signals() {
  sigset_t set;
  sigemptyset(&set);
  for (const int number : {SIGTERM, SIGINT, SIGHUP}) sigaddset(&set, number);
  pthread_sigmask(SIG_BLOCK, &set, nullptr);
  std::signal(SIGPIPE, SIG_IGN);
}

/// 1 for what may work another time, 2 for input that is wrong.
int failed(const sluice::Error& error) {
  std::cerr << "sluiced: " << error.message << '\n';
  return error.code == sluice::ErrorCode::kInvalid ? 2 : 1;
}

struct Arguments {
  std::filesystem::path config;
  bool check = false;
  bool reserve_ports = false;
  bool purge = false;
  bool purge_state = false;
};

int work(const Arguments& arguments) {
  auto config = sluice::daemon::load_config(arguments.config);
  if (!config) return failed(config.error());
  start_log(config->log_level);
  if (arguments.check) {
    auto checked = sluice::daemon::check(*config);
    if (!checked) return failed(checked.error());
    std::cout << *checked << '\n';
    return 0;
  }
  if (arguments.reserve_ports) {
    auto reserved = sluice::daemon::reserve_ports(*config);
    return reserved ? 0 : failed(reserved.error());
  }
  if (auto dropped = sluice::daemon::drop_privileges(); !dropped) return failed(dropped.error());
  if (auto started = start_audit_log(config->audit_log); !started) return failed(started.error());
  const bool purge = arguments.purge || arguments.purge_state;
  block_signals();
  auto done = purge ? sluice::daemon::purge(*config, arguments.purge_state)
                    : sluice::daemon::run(arguments.config, std::move(*config), kVersion);
  return done ? 0 : failed(done.error());
}

}  // namespace

int main(int argc, char** argv) try {
  Arguments arguments;
  CLI::App app("Sluice's node daemon: private networks and load-balanced services in the kernel", "sluiced");
  app.add_option("--config", arguments.config, "the configuration file (docs/config.md)")
      ->default_val("/etc/sluice/sluiced.yaml");
  app.add_flag("--check", arguments.check, "read configuration and manifests, say what is wrong, change nothing");
  app.add_flag(
      "--reserve-ports", arguments.reserve_ports,
      "keep the host's sockets from the ports of egress.ports if pods leave by the node's own address, then exit");
  app.add_flag("--purge", arguments.purge, "remove pins, programs and pods' devices from the kernel, then exit");
  app.add_flag("--purge-state", arguments.purge_state, "as --purge, and forget every address that was assigned");
  app.set_version_flag("--version", std::string("sluiced ") + kVersion);
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    return app.exit(error) == 0 ? 0 : 2;
  }
  return work(arguments);
} catch (const std::exception& error) {
  std::fprintf(stderr, "sluiced: %s\n", error.what());
  return 1;
}
