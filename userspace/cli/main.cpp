// SPDX-License-Identifier: Apache-2.0
// sluicectl: for people and scripts.
#include <iostream>

#include "cli/application.hpp"

int main(int argc, char** argv) {
  return static_cast<int>(sluice::cli::run_application(argc, argv, {std::cout, std::cerr}));
}
