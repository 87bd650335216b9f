// SPDX-License-Identifier: Apache-2.0
#include "daemon/config_api.hpp"

#include <grp.h>
#include <pwd.h>

#include <algorithm>
#include <charconv>
#include <optional>
#include <set>
#include <string>
#include <utility>

#include "api/socket_path.hpp"
#include "model/names.hpp"
#include "model/problems.hpp"
#include "model/validate.hpp"

namespace sluice::daemon {
namespace {

/// A name or a number, as chown(1) takes it. `look_up`: the id of that name, if there is one.
template <typename Id>
std::optional<Id> id_of(const store::Fields& fields, std::string_view field, std::string_view what,
                        std::optional<Id> (*look_up)(const char* name)) {
  const auto name = fields.text(field);
  if (!name) return std::nullopt;
  if (const auto found = look_up(name->c_str())) return found;
  Id id = 0;
  const auto [stop, error] = std::from_chars(name->data(), name->data() + name->size(), id);
  if (error == std::errc{} && stop == name->data() + name->size() && !name->empty()) return id;
  fields.problem(
      field, model::in_quotes(*name) + " is no " + std::string(what) + " of this machine; make it, or name another");
  return std::nullopt;
}

std::optional<gid_t> group_of(const store::Fields& fields, std::string_view field) {
  return id_of<gid_t>(fields, field, "group", [](const char* name) {
    const group* found = ::getgrnam(name);
    return found == nullptr ? std::optional<gid_t>() : found->gr_gid;
  });
}

std::optional<uid_t> user_of(const store::Fields& fields, std::string_view field) {
  return id_of<uid_t>(fields, field, "user", [](const char* name) {
    const passwd* found = ::getpwnam(name);
    return found == nullptr ? std::optional<uid_t>() : found->pw_uid;
  });
}

void read_path(const store::Fields& fields, std::string_view field, std::filesystem::path& path) {
  const auto value = fields.text(field);
  if (!value) return;
  if (auto good = api::check_socket_path(*value); !good) {
    fields.problem(field, good.error().message);
  } else {
    path = *value;
  }
}

/// Octal, as chmod(1) takes it. Nobody else may ever write: whoever opens the socket commands the node's network.
void read_mode(const store::Fields& fields, mode_t& mode) {
  const auto value = fields.text("socket_mode");
  if (!value) return;
  unsigned number = 0;
  constexpr int kOctal = 8;
  const auto [stop, error] = std::from_chars(value->data(), value->data() + value->size(), number, kOctal);
  const bool whole = error == std::errc{} && stop == value->data() + value->size() && !value->empty();
  if (!whole || number > 0777 || (number & 0007) != 0 || (number & 0600) != 0600) {
    fields.problem("socket_mode", model::in_quotes(*value) + " is no mode of a socket; use 0600, or 0660 for a group");
  } else {
    mode = number;
  }
}

/// `shortest`: the least length that is allowed.
template <typename Cidr>
void read_prefix(const store::Fields& item, const store::YamlNode& node, unsigned shortest,
                 std::vector<Cidr>& prefixes) {
  const auto prefix = Cidr::parse(node.text);
  if (!prefix) {
    item.problem("prefixes", prefix.error().message);
  } else if (!model::is_unicast(prefix->first()) || prefix->length < shortest) {
    item.problem("prefixes",
                 prefix->text() + " is no range of public addresses of /" + std::to_string(shortest) + " or longer");
  } else {
    prefixes.push_back(*prefix);
  }
}

void read_pool(const store::Fields& item, const store::YamlNode* list, model::Pool& pool) {
  if (list == nullptr || list->items.empty()) {
    item.problem("prefixes", "is missing or empty; list prefixes like 203.0.113.0/28 or 2001:db8:1::/64");
    return;
  }
  constexpr unsigned kShortest6 = 16;
  for (const store::YamlNode& node : list->items) {
    if (node.kind != store::YamlNode::Kind::kScalar) {
      item.problem("prefixes", "an entry is no text");
    } else if (node.text.find(':') != std::string::npos) {
      read_prefix(item, node, kShortest6, pool.prefixes6);
    } else {
      read_prefix(item, node, model::kMinPrefixLength, pool.prefixes);
    }
  }
}

template <typename Cidr>
void check_overlaps(const store::Fields& item, const std::vector<Cidr>& mine, const std::vector<Cidr>& theirs,
                    const std::string& other) {
  for (const Cidr& one : mine) {
    for (const Cidr& taken : theirs) {
      if (!one.overlaps(taken)) continue;
      item.problem("prefixes", one.text() + " overlaps " + taken.text() + " of pool " + other +
                                   "; each address belongs to one pool");
    }
  }
}

}  // namespace

void read_sockets(const store::Fields& fields, api::ServerOptions& options) {
  read_path(fields, "socket", options.socket.path);
  options.socket.owner = user_of(fields, "socket_owner");
  options.socket.group = group_of(fields, "socket_group");
  if (options.socket.group) options.socket.mode = 0660;
  read_mode(fields, options.socket.mode);

  api::SocketOptions reading{
      .path = options.socket.path.string() + ".ro", .mode = 0600, .owner = options.socket.owner, .group = {}};
  reading.group = group_of(fields, "read_only_group");
  if (!reading.group) reading.group = options.socket.group;
  if (reading.group) reading.mode = 0660;
  if (fields.has("read_only_socket") && fields.text("read_only_socket") == "none") return;
  read_path(fields, "read_only_socket", reading.path);
  if (auto good = api::check_socket_path(reading.path); !good) {
    fields.problem("read_only_socket", good.error().message + "; name one, or write: none");
  } else if (reading.path == options.socket.path) {
    fields.problem("read_only_socket", "is the same as socket; name another, or write: none");
  } else {
    options.read_only_socket = std::move(reading);
  }
}

void read_limits(const store::Fields& fields, api::Limits& limits) {
  constexpr std::uint32_t kMostConnections = 16'384;
  constexpr std::uint32_t kMostWatches = 65'536;
  const auto read = [&fields](std::string_view of_all, std::uint32_t& all, std::string_view of_user,
                              std::uint32_t& users, std::uint32_t most) {
    all = fields.number(of_all, 1, most).value_or(all);
    users = fields.number(of_user, 1, most).value_or(std::min(users, all));
    if (users <= all) return;
    fields.problem(of_user, std::to_string(users) + " is more than " + std::string(of_all) + ", which is " +
                                std::to_string(all) + "; raise that one, or lower this one");
  };
  read("max_connections", limits.connections, "max_connections_per_user", limits.connections_of_user, kMostConnections);
  read("max_watches", limits.watches, "max_watches_per_user", limits.watches_of_user, kMostWatches);
}

void read_pools(const store::Fields& fields, const store::Context& context, std::vector<model::Pool>& pools) {
  const store::YamlNode* list = fields.list_of_maps("floating_ip_pools");
  if (list == nullptr) return;
  std::set<std::string> names;
  for (std::size_t i = 0; i < list->items.size(); i++) {
    const store::Fields item(list->items[i], context, "floating_ip_pools[" + std::to_string(i) + "].");
    item.check({.known = {kPoolKeys.begin(), kPoolKeys.end()}, .later = {}});
    model::Pool pool;
    pool.name = item.text("name", true).value_or("");
    if (!model::is_dns_label(pool.name)) {
      item.problem("name", model::in_quotes(pool.name) + " is not a DNS label; " + std::string(model::kDnsLabelRule));
    } else if (!names.insert(pool.name).second) {
      item.problem("name", model::in_quotes(pool.name) + " stands twice; rename one", ErrorCode::kExists);
    }
    read_pool(item, item.list("prefixes"), pool);
    for (const model::Pool& other : pools) {
      check_overlaps(item, pool.prefixes, other.prefixes, other.name);
      check_overlaps(item, pool.prefixes6, other.prefixes6, other.name);
    }
    pools.push_back(std::move(pool));
  }
}

}  // namespace sluice::daemon
