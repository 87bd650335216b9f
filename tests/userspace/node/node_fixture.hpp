// SPDX-License-Identifier: Apache-2.0
// A node with real maps, devices, manifests and database, its loop on a thread.
#pragma once

#include <gtest/gtest.h>

#include <cstdint>
#include <filesystem>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "../datapath/support.hpp"
#include "node/node.hpp"

namespace sluice::node::testing {

/// A started node and its thread; destroying it is a stop that leaves the datapath running.
class Running {
 public:
  Running(std::unique_ptr<EventLoop> loop, std::unique_ptr<Node> node);
  ~Running();
  Running(const Running&) = delete;
  Running& operator=(const Running&) = delete;
  Node* operator->() const { return node_.get(); }
  /// Fails the test if the node does not answer.
  [[nodiscard]] NodeStatus status() const;
  /// Runs on the loop's thread; does not wait.
  void post(EventLoop::Task task) const { EXPECT_TRUE(loop_->post(std::move(task))); }

 private:
  std::unique_ptr<EventLoop> loop_;
  std::unique_ptr<Node> node_;
  std::thread thread_;
};

class NodeTest : public datapath::testing::DatapathTest {
 protected:
  NodeTest();
  ~NodeTest() override;

  /// Replaces the manifests in one step, as a careful editor does.
  void write_manifests(const std::string& yaml) const;
  [[nodiscard]] Options node_options() const;
  [[nodiscard]] datapath::Options datapath_options() const;
  /// A node on the maps, manifests and database of this test; fails the test if it does not start.
  std::unique_ptr<Running> start(const Options& options, const datapath::Options& datapath_options);
  std::unique_ptr<Running> start(const Options& options) { return start(options, datapath_options()); }
  std::unique_ptr<Running> start() { return start(node_options()); }
  [[nodiscard]] std::filesystem::path state_folder() const { return folder_ / "state"; }

  /// Called with the parts of each node before it is made: a test may put something around one of them.
  std::function<void(Parts&)> adjust_parts_;

  /// What the pinned maps hold, read beside the node.
  [[nodiscard]] std::optional<sluice_endpoint4> endpoint(const std::string& address) const;
  [[nodiscard]] std::optional<sluice_port> port(std::uint32_t ifindex) const;
  [[nodiscard]] std::optional<sluice_frontend4> frontend(const std::string& address) const;
  bool remove_frontend(const std::string& address) const;
  /// Every key and value of every map that the daemon writes, for "nothing has changed".
  [[nodiscard]] std::vector<std::string> everything() const;

 private:
  std::filesystem::path folder_;
};

/// A namespace that an AttachRequest can name as long as this lives.
struct PodNamespace {
  UniqueFd fd = datapath::testing::new_namespace();
  [[nodiscard]] std::filesystem::path path() const { return "/proc/self/fd/" + std::to_string(fd.get()); }
};

/// Two networks with the same addresses; "one" has two web pods behind a service on 172.16.9.9:80.
std::string two_networks();

}  // namespace sluice::node::testing
