// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <gtest/gtest.h>

#include <memory>
#include <string>
#include <utility>

#include "states.hpp"
#include "store/repository.hpp"
#include "store/sqlite_key_values.hpp"
#include "temporary_folder.hpp"

namespace sluice::store {

/// A repository over the real store in a folder of its own.
class RepositoryTest : public testing::Test {
 protected:
  RepositoryTest() { reopen(); }

  void reopen() {
    repository_.reset();
    auto key_values = SqliteKeyValues::open(folder_.path());
    ASSERT_TRUE(key_values) << key_values.error().message;
    auto opened = Repository::open(std::move(*key_values), capacity_);
    ASSERT_TRUE(opened) << opened.error().message;
    repository_ = std::move(*opened);
  }

  /// What the store has after it was made to hold state_.
  model::Assignments assign() {
    const auto written = repository_->replace(state_, {});
    if (written) return repository_->updates(0).value().assignments;
    ADD_FAILURE() << written.error().message;
    return {};
  }
  Error refusal() {
    const auto written = repository_->replace(state_, {});
    if (!written) return written.error();
    ADD_FAILURE() << "was not refused";
    return {};
  }

  TemporaryFolder folder_;
  model::Capacity capacity_;
  std::unique_ptr<Repository> repository_;
  model::State state_;
};

inline WriteRequest::Edit put_edit(model::Resource resource, std::optional<std::uint64_t> expected = std::nullopt) {
  const model::Key key = model::key_of(resource);
  return {{key, std::move(resource)}, expected};
}
inline WriteRequest::Edit delete_edit(model::Key key, std::optional<std::uint64_t> expected = std::nullopt) {
  return {{std::move(key), std::nullopt}, expected};
}
inline model::Key pod_key(const std::string& network, const std::string& name) {
  return {model::Kind::kPod, {network, name}};
}
inline model::Key network_key(const std::string& name) {
  return {model::Kind::kNetwork, {"", name}};
}

}  // namespace sluice::store
