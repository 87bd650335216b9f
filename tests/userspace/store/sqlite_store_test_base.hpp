// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <gtest/gtest.h>

#include <filesystem>
#include <memory>
#include <string>

#include "key_values_conformance.hpp"
#include "store/sqlite_key_values.hpp"
#include "temporary_folder.hpp"

namespace sluice::store {

inline std::unique_ptr<SqliteKeyValues> open_or_fail(const std::filesystem::path& folder, SqliteOptions options = {}) {
  auto opened = SqliteKeyValues::open(folder, options);
  if (opened) return std::move(*opened);
  ADD_FAILURE() << opened.error().message;
  return nullptr;
}

inline Error opening_error(const std::filesystem::path& folder, SqliteOptions options = {}) {
  auto opened = SqliteKeyValues::open(folder, options);
  if (!opened) return opened.error();
  ADD_FAILURE() << "was opened";
  return {};
}

inline std::uint64_t put(KeyValues& store, const std::string& key, const std::string& value) {
  const auto reply = store.commit({{}, {put_of(key, value)}});
  EXPECT_TRUE(reply) << reply.error().message;
  return reply ? reply->revision : 0;
}

}  // namespace sluice::store
