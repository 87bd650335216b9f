// SPDX-License-Identifier: Apache-2.0
// Network namespaces with real sockets behind the devices of the test program, for what only a whole stack shows.
#pragma once

#include <cstdint>
#include <functional>
#include <string>

#include "harness/frame.hpp"

namespace bpftest {

/// Owns a descriptor.
class Descriptor {
 public:
  Descriptor() = default;
  explicit Descriptor(int number) : number_(number) {}
  ~Descriptor();
  Descriptor(Descriptor&& other) noexcept : number_(other.number_) { other.number_ = -1; }
  Descriptor& operator=(Descriptor&& other) noexcept;
  [[nodiscard]] int get() const { return number_; }

 private:
  int number_ = -1;
};

/// A new network namespace. Devices that it took go back at the end, because a veth dies with its namespace.
class Namespace {
 public:
  Namespace();
  ~Namespace();
  Namespace(const Namespace&) = delete;
  Namespace& operator=(const Namespace&) = delete;

  /// Takes a device of the test program's namespace, gives it an address and brings it up. The default
  /// route leads to `router`.
  void take(const std::string& device, const Mac& mac, const Address& address, unsigned prefix_length,
            const Address& router);
  /// Runs `work` in a thread inside the namespace and waits for it.
  void run(const std::function<void()>& work) const;
  /// A counter of /proc/net/snmp: counter("Tcp", "InCsumErrors").
  [[nodiscard]] std::uint64_t counter(const std::string& protocol, const std::string& name) const;

 private:
  Descriptor home_;
  Descriptor self_;
  std::string device_;
};

/// In the calling thread's namespace. Without IPv6, whose neighbour discovery would be counted among the test's frames.
void bring_up(const std::string& device);
/// Until then the kernel drops what is sent by the device: it hears of a new carrier a moment after it is there.
void wait_until_running(const std::string& device);
/// With prefix length 0, takes the address away.
void set_address(const std::string& device, const Address& address, unsigned prefix_length);
void set_transmit_checksums(const std::string& device, bool on);
void set_receive_offload(const std::string& device, bool on);

std::string device_name_of(std::uint32_t ifindex);

}  // namespace bpftest
