// SPDX-License-Identifier: Apache-2.0
// Inside the store's file, for store_database.cpp alone: tables, versions, checks.
#pragma once

#include <cstdint>
#include <span>

#include "base/result.hpp"
#include "store/sqlite.hpp"
#include "store/store_database.hpp"

namespace sluice::store {

Status check_version(std::int64_t application, std::int64_t version, std::span<const Migration> migrations);
/// The tables are exactly those that the migrations make up to the file's version.
Status check_schema(Database& database, std::span<const Migration> migrations);
Status write_epoch(Database& database, const StoreMeta& meta);

}  // namespace sluice::store
