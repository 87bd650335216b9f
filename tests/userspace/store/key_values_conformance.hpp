// SPDX-License-Identifier: Apache-2.0
// What every KeyValues must do. An implementation instantiates the suite with a factory:
//   INSTANTIATE_TEST_SUITE_P(Sqlite, KeyValuesConformance, testing::Values(KeyValuesFactory{...}));
#pragma once

#include <gtest/gtest.h>

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "store/key_values.hpp"

namespace sluice::store {

/// An empty store of its own at each call; what it needs lives as long as the pointer.
using KeyValuesFactory = std::function<std::shared_ptr<KeyValues>()>;

class KeyValuesConformance : public testing::TestWithParam<KeyValuesFactory> {
 protected:
  void SetUp() override {
    store_ = GetParam()();
    ASSERT_NE(store_, nullptr);
  }

  CommitReply commit(std::vector<Compare> compares, std::vector<Operation> operations);
  std::uint64_t put(const std::string& key, const std::string& value);
  std::uint64_t erase(const std::string& key);
  std::vector<KeyValue> items(const std::string& prefix);
  std::vector<std::string> keys(const std::string& prefix);
  std::vector<Event> changes(const Position& after, std::size_t limit = 1000);
  std::uint64_t revision();

  std::shared_ptr<KeyValues> store_;
};

inline Operation put_of(std::string key, std::string value) {
  return {Operation::Kind::kPut, std::move(key), std::move(value)};
}
inline Operation erase_of(std::string key) {
  return {Operation::Kind::kDelete, std::move(key), {}};
}

}  // namespace sluice::store
