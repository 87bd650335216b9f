// SPDX-License-Identifier: Apache-2.0
#include "environment.hpp"

#include <sys/utsname.h>
#include <unistd.h>

#include <array>
#include <cstdlib>
#include <ctime>
#include <fstream>
#include <nlohmann/json.hpp>
#include <ostream>

namespace sluice::benchmark {

namespace {

std::string read_cpu_model() {
  std::ifstream cpuinfo("/proc/cpuinfo");
  for (std::string line; std::getline(cpuinfo, line);) {
    const auto colon = line.find(": ");
    if (line.starts_with("model name") && colon != std::string::npos) return line.substr(colon + 2);
  }
  return "unknown";
}

std::string utc_now() {
  const std::time_t now = std::time(nullptr);
  std::tm parts{};
  gmtime_r(&now, &parts);
  std::array<char, 32> text{};
  return {text.data(), std::strftime(text.data(), text.size(), "%Y-%m-%dT%H:%M:%SZ", &parts)};
}

}  // namespace

Environment read_environment() {
  Environment environment;
  utsname names{};
  if (uname(&names) == 0) {
    environment.kernel = names.release;
    environment.machine = names.machine;
  }
  environment.cpu_model = read_cpu_model();
  environment.cpus = static_cast<unsigned>(sysconf(_SC_NPROCESSORS_ONLN));
  environment.date = utc_now();
  std::array<double, 1> load{};
  if (getloadavg(load.data(), 1) == 1) environment.load = load[0];
  return environment;
}

std::ostream& operator<<(std::ostream& out, const Environment& environment) {
  return out << "kernel " << environment.kernel << ' ' << environment.machine << ", " << environment.cpus << " x "
             << environment.cpu_model << ", load " << environment.load << ", " << environment.date;
}

nlohmann::json json_of(const Environment& environment) {
  return {{"kernel", environment.kernel}, {"machine", environment.machine}, {"cpu", environment.cpu_model},
          {"cpus", environment.cpus},     {"date", environment.date},       {"load", environment.load}};
}

}  // namespace sluice::benchmark
