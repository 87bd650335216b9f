// SPDX-License-Identifier: Apache-2.0
// The parts of the configuration about who may call, and about the rules of resources.
#pragma once

#include <array>
#include <string_view>
#include <vector>

#include "api/server.hpp"
#include "model/world.hpp"
#include "store/fields.hpp"

namespace sluice::daemon {

/// socket, socket_owner, socket_group, socket_mode, read_only_socket, read_only_group.
void read_sockets(const store::Fields& fields, api::ServerOptions& options);
/// max_connections, max_connections_per_user, max_watches, max_watches_per_user.
void read_limits(const store::Fields& fields, api::Limits& limits);
/// Of an entry of floating_ip_pools.
inline constexpr std::array<std::string_view, 2> kPoolKeys{"name", "prefixes"};
/// floating_ip_pools.
void read_pools(const store::Fields& fields, const store::Context& context, std::vector<model::Pool>& pools);

}  // namespace sluice::daemon
