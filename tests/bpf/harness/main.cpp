// SPDX-License-Identifier: Apache-2.0
#include <gtest/gtest.h>

#include "harness/devices.hpp"

int main(int argc, char** argv) {
  ::testing::InitGoogleTest(&argc, argv);
  bpftest::register_devices();
  return RUN_ALL_TESTS();
}
