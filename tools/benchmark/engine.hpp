// SPDX-License-Identifier: Apache-2.0
// Runs a program many times on restored packets and takes the time.
#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "base/result.hpp"

struct sluice_restore;

namespace sluice::benchmark {

enum class Hook : std::uint8_t { kTc, kXdp };

/// Where the two parts of a flow's index go: `low` (10 bits) into a port, `high` (the rest) into another field. The
/// frame has zero bits there.
enum class Field : std::uint8_t { kSourceAddress, kDestinationAddress, kSourcePort, kDestinationPort };

/// The packets of one measured case.
struct Traffic {
  std::vector<std::uint8_t> frame;
  Field low = Field::kSourcePort;
  Field high = Field::kDestinationAddress;
  bool for_this_host = true;  ///< packet type HOST, otherwise OTHERHOST
};

/// Which flows a run goes through: `count` of them from `first` on, in an order without locality.
struct Flows {
  std::uint32_t first = 0;
  std::uint32_t count = 1;
};

/// Flow indexes wrap around here.
inline constexpr std::uint32_t kFlowSpace = 1U << 18;
inline constexpr std::uint32_t kLowSpace = 1U << 10;

class Engine {
 public:
  static Result<Engine> open();

  /// Chooses the program (a descriptor) and its packets for the runs that follow.
  [[nodiscard]] Status select(Hook hook, int program, const Traffic& traffic, const Flows& flows);
  /// Runs it `repeat` times, going on where the last run stopped; nanoseconds of this thread's CPU time in all.
  /// kPrecondition if the last verdict is not `verdict`. `ifindex` is the device that the packets came in by.
  [[nodiscard]] Result<double> run(std::uint32_t ifindex, std::uint32_t repeat, int verdict);

  /// The program that is subtracted: it only returns kTrivialTc or kTrivialXdp.
  [[nodiscard]] int trivial(Hook hook) const;
  /// The reference of lower_bound.h: opens or translates a flow; and takes back what it has opened.
  [[nodiscard]] int lower_bound() const;
  [[nodiscard]] int lower_bound_close() const;

 private:
  struct Destroy {
    void operator()(sluice_restore* skeleton) const;
  };
  using Skeleton = std::unique_ptr<sluice_restore, Destroy>;
  explicit Engine(Skeleton skeleton) : skeleton_(std::move(skeleton)) {}

  Skeleton skeleton_;
  Hook hook_ = Hook::kTc;
  std::vector<std::uint8_t> frame_;
};

}  // namespace sluice::benchmark
