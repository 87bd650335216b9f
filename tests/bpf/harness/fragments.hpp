// SPDX-License-Identifier: Apache-2.0
// Cuts packets into fragments, and puts fragments together as their receiver does.
#pragma once

#include <vector>

#include "harness/frame.hpp"

namespace bpftest {

/// `whole`, which may be cut; its identification is `id`, where a whole packet has one.
Frame divisible(const Frame& whole, std::uint32_t id);
/// The bytes from `begin` up to `end` of what follows the IP header of `whole`, as a fragment; the last one if they go
/// up to its end.
Frame fragment(const Frame& whole, std::uint32_t id, std::size_t begin, std::size_t end);
/// The whole in pieces of `size` bytes, a multiple of eight.
std::vector<Frame> fragments(const Frame& whole, std::uint32_t id, std::size_t size);
/// The packet that fragments make, by the header of the first. Ends the test program if they do not fit together.
Frame reassembled(const std::vector<Frame>& pieces);

}  // namespace bpftest
