// SPDX-License-Identifier: Apache-2.0
// sluicectl: for people and scripts.
#include <unistd.h>

#include <cstdlib>
#include <iostream>
#include <string_view>

#include "cli/application.hpp"

namespace {

/// On a terminal only, and not where NO_COLOR is set to anything (no-color.org) or the terminal is a dumb one.
bool wants_colour() {
  const char* no_colour = std::getenv("NO_COLOR");
  const char* terminal = std::getenv("TERM");
  const bool refused = no_colour != nullptr && *no_colour != '\0';
  return ::isatty(STDOUT_FILENO) == 1 && !refused && terminal != nullptr && std::string_view(terminal) != "dumb";
}

}  // namespace

int main(int argc, char** argv) {
  return static_cast<int>(sluice::cli::run_application(argc, argv, {std::cout, std::cerr, wants_colour()}));
}
